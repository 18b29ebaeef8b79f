"""Shared options of the command line."""

import os
from pathlib import Path

import click
import pytest

from mixdit_hw.errors import InputError
from mixdit_hw.options import Amount, apply_settings, read_config
from mixdit_hw.params import Params
from mixdit_hw.presets import PRESETS
from tests.support.errors import raises_exactly


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("16", 16), ("1.5%", "1.5%"), ("100%", "100%")])
def test_amounts(text: str, value: int | str) -> None:
    assert Amount().convert(text, None, None) == value


@pytest.mark.parametrize("text", ["", "-1", "1.5", "x", "%", "101%", "-1%", "nan%", "1/0%", "1e999999999%"])
def test_wrong_amounts(text: str) -> None:
    wanted = f"must be a number of channels or a percentage such as 1.5%, not {text!r}"
    with raises_exactly(click.BadParameter, wanted):
        Amount().convert(text, None, None)


@pytest.mark.parametrize(("name", "write"), [("x.toml", Params.to_toml), ("x.json", Params.to_json)])
def test_config_goes_there_and_back(tmp_path: Path, name: str, write) -> None:
    (tmp_path / name).write_text(write(PRESETS["edge"]))
    assert read_config(tmp_path / name) == PRESETS["edge"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"rows = 0", "rows must be 1 to 128, not 0"),
        (b"rows = '4'", "rows must be an integer, not '4'"),
        (b"lines = 4", "unknown parameter 'lines'; known are "),
        (b"rows = ", "Invalid value"),
        (b"\xff\xfe", "must be UTF-8, which byte 0 is not"),
        (b"a = " + b"[" * 100_000, "must not nest so deeply"),
        (b"#" * ((1 << 20) + 1), "must have at most 1048576 bytes"),
    ],
    ids=["range", "kind", "unknown", "syntax", "encoding", "nested", "large"],
)
def test_wrong_config(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(InputError) as e:
        read_config(path)
    assert str(e.value).startswith(f"{path}: {text}")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("rows = 4\r\nmultipliers = pairs  # DSPs", '(at line 2, column 15): text must be in quotes, "pairs"'),
        ("rounding=nearest-even", '(at line 1, column 10): text must be in quotes, "nearest-even"'),
        ("formats = [\n  mx9, mx6]", '(at line 2, column 3): text must be in quotes, "mx9"'),
        ("rows = /4", "(at line 1, column 8)"),
        ("rows = ", "(at end of document)"),
    ],
)
def test_quotes_are_missing(tmp_path: Path, content: str, text: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content.encode())
    with raises_exactly(InputError, f"{path}: Invalid value {text}"):
        read_config(path)


def test_missing_config(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    with raises_exactly(InputError, f"{path}: cannot be read: No such file or directory"):
        read_config(path)


def test_config_is_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    os.mkfifo(path)
    with raises_exactly(InputError, f"{path}: cannot be read: not a regular file"):
        read_config(path)


def test_settings() -> None:
    small = PRESETS["small"]
    assert apply_settings(small, []) == small
    assert apply_settings(small, ["rows=2"]) == small.replace(rows=2)
    assert apply_settings(small, ["formats=mx6,mx4"]) == small.replace(formats=("mx6", "mx4"))
    assert apply_settings(small, ["rounding=truncate"]) == small.replace(rounding="truncate")
    assert apply_settings(small, ["rows=2", "rows=1"]) == small.replace(rows=1)


@pytest.mark.parametrize("settings", [["interleave=16", "a_depth=64"], ["rows=3", "drain=3"]])
def test_order_of_settings_does_not_matter(settings: list[str]) -> None:
    """Each of them alone, or the first before the second, does not fit."""
    start = PRESETS["small"].replace(drain=4)
    both = start.replace(**{key: int(value) for key, value in (s.split("=") for s in settings)})
    assert apply_settings(start, settings) == apply_settings(start, settings[::-1]) == both


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("rows", "--set must be key=value, not 'rows'"),
        ("rows=x", "--set rows=x: rows must be an integer, not 'x'"),
        ("rows=٣", "--set rows=٣: rows must be an integer, not '٣'"),
        ("rows= 4", "--set rows= 4: rows must be an integer, not ' 4'"),
        ("a_depth=6_4", "--set a_depth=6_4: a_depth must be an integer, not '6_4'"),
        ("rows=+4", "--set rows=+4: rows must be an integer, not '+4'"),
        ("rows=-4", "--set rows=-4: rows must be 1 to 128, not -4"),
        ("rows=4\n", "--set rows=4\n: rows must be an integer, not '4\\n'"),
        ("rows=0", "--set rows=0: rows must be 1 to 128, not 0"),
        ("drain=3", "--set drain=3: drain must divide rows=4, not 3"),
        ("formats=mx6,mx7", "--set formats=mx6,mx7: format must be one of mx9, mx6, mx4, not 'mx7'"),
    ],
)
def test_wrong_settings(setting: str, text: str) -> None:
    with raises_exactly(InputError, text):
        apply_settings(PRESETS["small"], [setting])


def test_settings_that_do_not_fit_together() -> None:
    with raises_exactly(InputError, "--set rows=6 --set drain=4: drain must divide rows=6, not 4"):
        apply_settings(PRESETS["small"], ["rows=6", "drain=4"])
