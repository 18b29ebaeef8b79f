"""Failures become one line and an exit status."""

import errno
import subprocess
import sys

import click
import pytest

from mixdit_hw import cli
from mixdit_hw.errors import CheckError, InputError, OutputError, ToolError


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (CheckError("they differ"), 1, "they differ"),
        (InputError("x.npy: wrong"), 2, "x.npy: wrong"),
        (ValueError("rows must be\n 1"), 2, "rows must be 1"),
        (click.UsageError("no such thing"), 2, "no such thing"),
        (ToolError("make not found"), 3, "make not found"),
        (OutputError("x: cannot be written"), 3, "x: cannot be written"),
        (OSError(errno.ENOSPC, "No space left on device", "x.npy"), 3, "x.npy: No space left on device"),
        (OSError(errno.EPIPE, "Broken pipe"), 3, "Broken pipe"),
        (MemoryError(), 3, "out of memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (KeyError("x"), 3, "internal error: KeyError: 'x' (MIXDIT_DEBUG=1 shows where)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_status_and_text(error: BaseException, status: int, text: str) -> None:
    assert cli.exit_status(error) == (status, text)


def test_every_command_is_found_and_helps(capsys: pytest.CaptureFixture[str]) -> None:
    names = cli.cli.list_commands(click.Context(cli.cli))
    assert {"generate", "gemm", "quantize"} <= set(names)
    for name in names:
        assert cli.run([name, "--help"]) == 0
        assert capsys.readouterr().out.startswith(f"Usage: mixdit {name} ")


def test_without_arguments_it_helps_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([]) == 2
    assert capsys.readouterr().err.startswith("Usage: mixdit ")


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["nosuch"], "mixdit nosuch: No such command 'nosuch'."),
        (["--nosuch"], "mixdit: No such option '--nosuch'."),
        (["generate", "--preset", "huge"], "mixdit generate: Invalid value for '--preset': 'huge' is not one of "),
        (
            ["generate", "--config", "a", "--preset", "tiny"],
            "mixdit generate: --preset and --config exclude each other",
        ),
        (["generate", "--set", "rows=0"], "mixdit generate: --set rows=0: rows must be 1 to 128, not 0"),
        (["generate", "-o", "/proc/x"], "mixdit generate: /proc/x: cannot be written: No such file or directory"),
    ],
    ids=lambda value: None if isinstance(value, str) else " ".join(value),
)
def test_wrong_usage_is_one_line(capsys: pytest.CaptureFixture[str], args: list[str], line: str) -> None:
    assert cli.run(args) == (3 if "-o" in args else 2)
    captured = capsys.readouterr()
    assert captured.err.startswith(line)
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_debug_shows_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cli.DEBUG, "1")
    with pytest.raises(click.UsageError):
        cli.run(["nosuch"])


def test_full_device_is_an_error_without_traceback() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "mixdit_hw", "--version"]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 3
    assert result.stderr == "mixdit: No space left on device\n"
