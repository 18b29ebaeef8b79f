"""Synthesis with a Yosys that gives prepared statistics; tests/synth has the real one."""

import json
import sys
from functools import cache

import pytest

from mixdit_hw.errors import CheckError, InputError, OutputError, ToolError
from mixdit_hw.params import Params
from mixdit_hw.report import synth, yosys
from mixdit_hw.report.liberty import parse_library
from mixdit_hw.report.memories import Macro
from mixdit_hw.report.synth import TARGETS, synthesize

PARAMS = Params(rows=1, columns=2, a_depth=16, w_depth=4, c_depth=4, formats=("mx6",))
LIBRARY = parse_library(
    b"""library (l) {
    cell (NAND) { area : 2; }
    cell (DFF) { area : 10; ff (Q, QN) { } }
    cell (BUF) { area : 3; pin (A) { direction : input; } pin (Y) { function : "A"; } }
    }""",
    "l.lib",
)
STAT = {
    "mixdit_array": {"NAND": 5, "$scopeinfo": 1, "mixdit_engine": 2},
    "mixdit_engine": {"NAND": 20, "DFF": 3},
}


emit_once = cache(synth.design_of)


@pytest.fixture(autouse=True)
def _emit_once(monkeypatch):
    monkeypatch.setattr(synth, "design_of", emit_once)


@pytest.fixture
def fake_yosys(tmp_path, monkeypatch):
    """A function that makes Yosys a Python program, run in the work folder."""

    def make(program: str) -> None:
        path = tmp_path / "fake-yosys"
        path.write_text(f"#!{sys.executable}\n{program}\n")
        path.chmod(0o755)
        monkeypatch.setattr(yosys, "find_yosys", lambda: str(path))

    return make


def writes(stat: dict[str, dict[str, int]]) -> str:
    """Program that writes that statistic."""
    text = json.dumps({"modules": {f"\\{name}": {"num_cells_by_type": cells} for name, cells in stat.items()}})
    return f"open('stat.json', 'w').write({text!r})"


def dumped(module: str, sizes: list[tuple[int, int]]) -> str:
    """What Yosys writes of a module's macros."""
    cells = "".join(
        f"  cell \\memory_macro \\m{n}\n    parameter \\WIDTH {width}\n    parameter \\SIZE {entries}\n  end\n"
        for n, (entries, width) in enumerate(sizes)
    )
    return f"\nmodule \\{module}\n{cells}end\n"


def test_areas_and_shares(tmp_path, fake_yosys, monkeypatch):
    monkeypatch.setattr(synth, "find_sta", lambda: None)
    fake_yosys(writes(STAT))
    said = []
    result = synthesize(PARAMS, "array", target="asic", library=LIBRARY, build_dir=tmp_path / "b", progress=said.append)
    assert result.total == {"cells": 51, "logic": 90.0, "registers": 60.0, "area": 150.0}
    assert [(u.module, u.instances, u.each, u.share) for u in result.units] == [
        ("mixdit_array", 1, {"cells": 5, "logic": 10.0, "registers": 0.0, "area": 10.0}, 10 / 150),
        ("mixdit_engine", 2, {"cells": 23, "logic": 40.0, "registers": 30.0, "area": 70.0}, 140 / 150),
    ]
    assert result.units[0].cells == {"NAND": 5}
    assert said[0] == "Verilog"
    missing = "not measured: opensta is missing (Debian's package opensta)"
    assert result.to_dict()["timing"] == {"period": None, "note": missing}

    assert [path.name for path in (tmp_path / "b").iterdir()] == [result.folder.name]
    kept = {path.name for path in result.folder.iterdir()}
    assert kept == {"cells.lib", "constraints", "design.v", "messages.log", "result.json", "script.ys", "stat.json"}
    assert (result.folder / "constraints").read_text() == "set_driving_cell BUF\nset_load 0.05\n"
    assert (result.folder / "cells.lib").read_bytes() == LIBRARY.data
    assert (result.folder / "script.ys").read_text().splitlines() == list(result.script)
    assert json.loads((result.folder / "result.json").read_text()) == result.to_dict()


def test_script_of_asic(tmp_path, fake_yosys, monkeypatch):
    monkeypatch.setattr(synth, "find_sta", lambda: None)
    fake_yosys(writes({"mixdit_engine": {"NAND": 1}}))
    result = synthesize(PARAMS, "engine", target="asic", library=LIBRARY, build_dir=tmp_path)
    assert result.script == (
        "read_verilog design.v",
        "hierarchy -check -top mixdit_engine",
        "proc",
        "setattr -unset init w:*",
        "synth -flatten -top mixdit_engine",
        "dfflibmap -liberty cells.lib",
        "abc -liberty cells.lib -constr constraints -D 1",
        "tee -q -o stat.json stat -json",
    )


def test_memories_as_macros(tmp_path, fake_yosys):
    """They are counted, with all instances of their units, and have no area; all else must be of the library."""
    stat = {
        "mixdit_array": {"NAND": 5, "memory_macro": 1, "mixdit_engine": 2},
        "mixdit_engine": {"NAND": 20, "DFF": 3, "memory_macro": 3},
    }
    cells = [("mixdit_array", [(64, 27)]), ("mixdit_engine", [(16, 8), (64, 27), (16, 8)])]
    dump = "".join(dumped(name, sizes) for name, sizes in cells)
    fake_yosys(f"{writes(stat)}\nopen('memories.txt', 'w').write({dump!r})")
    options = {"target": "asic", "library": LIBRARY, "timing": False, "build_dir": tmp_path}
    result = synthesize(PARAMS, "array", memories="macros", **options)
    deep = 64 * 27
    assert result.total == {
        "cells": 51,
        "logic": 90.0,
        "registers": 60.0,
        "area": 150.0,
        "macros": 7,
        "memory_bits": 3 * deep + 4 * 128,
    }
    assert result.macros == (Macro(entries=16, width=8, count=4), Macro(entries=64, width=27, count=3))
    array, engine = result.units
    assert (array.each["macros"], array.each["memory_bits"]) == (1, deep)
    assert engine.macros == (Macro(entries=16, width=8, count=2), Macro(entries=64, width=27, count=1))
    written = result.to_dict()
    assert written["memories"] == "macros"
    assert written["macros"][0] == {"entries": 16, "width": 8, "count": 4}
    assert json.loads((result.folder / "result.json").read_text()) == written
    with pytest.raises(CheckError, match=r"^1 cells memory_macro could not be mapped: l\.lib has no such cell$"):
        synthesize(PARAMS, "array", **options)


def test_a_macro_too_many(tmp_path, fake_yosys):
    """One that is not in the list of memories is an unknown cell."""
    dump = dumped("mixdit_engine", [(64, 27)])
    fake_yosys(f"{writes({'mixdit_engine': {'memory_macro': 2}})}\nopen('memories.txt', 'w').write({dump!r})")
    options = {"target": "asic", "library": LIBRARY, "timing": False, "build_dir": tmp_path, "memories": "macros"}
    with pytest.raises(CheckError, match=r"^1 cells memory_macro could not be mapped"):
        synthesize(PARAMS, "engine", **options)
    fake_yosys(writes({"mixdit_engine": {}}))
    with pytest.raises(ToolError, match=r"^Yosys wrote no list of memories: No such file or directory$"):
        synthesize(PARAMS, "engine", **options)


def test_macros_are_for_asic():
    with pytest.raises(InputError, match=r"^memories can be macros for asic only, not for ecp5$"):
        synthesize(PARAMS, "engine", target="ecp5", memories="macros")
    with pytest.raises(InputError, match=r"^memories must be one of cells, macros, not 'ram'$"):
        synthesize(PARAMS, "engine", target="asic", library=LIBRARY, memories="ram")


def test_another_order_of_cells(tmp_path, fake_yosys, monkeypatch):
    monkeypatch.setattr(synth, "find_sta", lambda: None)
    fake_yosys(writes({"mixdit_engine": {"NAND": 1}}))
    result = synthesize(PARAMS, "engine", target="asic", library=LIBRARY, order=3, build_dir=tmp_path)
    assert "rename -scramble-name -seed 3" in result.script


def test_order_from_one():
    with pytest.raises(InputError, match=r"^order must be at least 1, not 0$"):
        synthesize(PARAMS, "engine", target="asic", library=LIBRARY, order=0)


def test_units_keep_their_boundaries_unless_flat(tmp_path, fake_yosys):
    fake_yosys(writes({"mixdit_array": {"LUT4": 1}}))
    kept = synthesize(PARAMS, "array", target="ecp5", build_dir=tmp_path)
    flat = synthesize(PARAMS, "array", target="ecp5", flat=True, dsp=True, build_dir=tmp_path)
    (line,) = set(kept.script) - set(flat.script) - {"synth_ecp5 -abc9 -nowidelut -nodsp -top mixdit_array"}
    words = line.split()
    assert words[:4] == ["setattr", "-mod", "-set", "keep_hierarchy"]
    assert set(words[5:]) >= {"mixdit_engine", "mixdit_row_feeder", "mixdit_column_feeder", "mixdit_result_lane"}
    assert "mixdit_array" not in words
    assert set(flat.script) - set(kept.script) == {"synth_ecp5 -abc9 -nowidelut -top mixdit_array"}
    assert kept.folder != flat.folder


def test_without_timing(tmp_path, fake_yosys):
    fake_yosys(writes(STAT))
    result = synthesize(PARAMS, "array", target="asic", library=LIBRARY, timing=False, build_dir=tmp_path)
    assert result.to_dict()["timing"] == {"period": None, "note": "not asked for"}


def test_the_same_again_takes_the_same_place(tmp_path, fake_yosys):
    fake_yosys(writes(STAT))
    first = synthesize(PARAMS, "array", target="generic", build_dir=tmp_path / "b")
    second = synthesize(PARAMS, "array", target="generic", build_dir=tmp_path / "b")
    assert first == second
    assert [path.name for path in (tmp_path / "b").iterdir()] == [first.folder.name]


@pytest.mark.parametrize(
    ("program", "error", "message"),
    [
        ("print('ERROR: no such pass'); exit(1)", ToolError, "Yosys failed with status 1: ERROR: no such pass"),
        ("import os; os.kill(os.getpid(), 9)", ToolError, "Yosys was killed by SIGKILL"),
        ("import time; time.sleep(60)", ToolError, "Yosys took more than 1 s and was stopped"),
        ("pass", ToolError, "Yosys wrote no statistic: No such file or directory"),
        (writes({"other": {}}), ToolError, "Yosys's statistic has no module mixdit_engine"),
        (
            writes({"mixdit_engine": {"$_DFF_N_": 2}}),
            CheckError,
            "2 cells $_DFF_N_ could not be mapped: l.lib has no such cell",
        ),
    ],
)
def test_failures_leave_nothing(tmp_path, fake_yosys, monkeypatch, program: str, error: type, message: str):
    monkeypatch.setattr(synth, "find_sta", lambda: None)
    fake_yosys(program)
    with pytest.raises(error) as caught:
        synthesize(PARAMS, "engine", target="asic", library=LIBRARY, build_dir=tmp_path / "b", timeout=1)
    assert str(caught.value) == message
    assert list((tmp_path / "b").iterdir()) == []


def test_build_folder_that_cannot_be_made(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OutputError) as caught:
        synthesize(PARAMS, "engine", target="generic", build_dir=file / "b")
    assert str(caught.value) == f"cannot write in '{file}/b': Not a directory"


def test_unknown_target():
    with pytest.raises(InputError, match=f"^target must be one of {', '.join(TARGETS)}, not 'xc9'$"):
        synthesize(PARAMS, "engine", target="xc9")


def test_unknown_unit(tmp_path):
    with pytest.raises(InputError, match=r"^unit must be one of .*, not 'wheel'$"):
        synthesize(PARAMS, "wheel", target="generic", build_dir=tmp_path)


def test_library_and_target():
    with pytest.raises(InputError, match=r"^asic needs a library$"):
        synthesize(PARAMS, "engine", target="asic")
    with pytest.raises(InputError, match=r"^library must be given for asic only, not for ecp5$"):
        synthesize(PARAMS, "engine", target="ecp5", library=LIBRARY)
