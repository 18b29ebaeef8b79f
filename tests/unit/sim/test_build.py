"""The cache of compiled simulations."""

import multiprocessing
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from mixdit_hw.errors import OutputError, ToolError
from mixdit_hw.presets import PRESETS
from mixdit_hw.sim import build as unit
from mixdit_hw.sim.bench import bench_verilog
from mixdit_hw.sim.build import build, control_file
from mixdit_hw.sim.tools import find_verilator
from tests.support.errors import raises_exactly
from tests.support.simulation import VERILOG_ENGINES, design_of, need_engine

TINY = PRESETS["tiny"]
PORTS = re.findall(r"\.(\w+)\(", bench_verilog(TINY).split("u_core (")[1])
EMPTY = f"module mixdit_core ({', '.join(f'input {port}' for port in PORTS)});\nendmodule\n"  # quick to build


def build_in(folder: str, design: str) -> str:
    return str(build("icarus", design, TINY, Path(folder)))


def test_unchanged_design_is_not_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_engine("icarus")
    first = build("icarus", design_of(TINY), TINY, tmp_path)
    assert first.is_file()

    def fail(*args: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(unit, "_build_icarus", fail)
    assert build("icarus", design_of(TINY), TINY, tmp_path) == first


def test_folder_with_spaces(tmp_path: Path) -> None:
    for engine in VERILOG_ENGINES:
        need_engine(engine)
        assert build(engine, EMPTY, TINY, tmp_path / "a b").is_file()


def test_outer_make_keeps_its_settings_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    need_engine("verilator")
    monkeypatch.setenv("MAKEFLAGS", "-j1 --jobserver-auth=3,4")
    assert "MAKEFLAGS" not in find_verilator().environment()


def test_any_change_compiles_anew(tmp_path: Path) -> None:
    need_engine("icarus")
    first = build("icarus", design_of(TINY), TINY, tmp_path)
    second = build("icarus", design_of(TINY) + "// changed\n", TINY, tmp_path)
    assert first != second
    assert first.is_file()
    assert second.is_file()


def test_two_processes_at_once_build_once(tmp_path: Path) -> None:
    need_engine("icarus")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        paths = pool.starmap(build_in, [(str(tmp_path), design_of(TINY))] * 2)
    assert paths[0] == paths[1]
    assert sorted(p.suffix for p in tmp_path.iterdir()) == ["", ".lock"]


def test_killed_build_leaves_nothing_that_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_engine("icarus")
    real = unit._build_icarus

    def killed(tools: object, work: Path, program: Path, *_: object) -> None:
        program.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(unit, "_build_icarus", killed)
    with pytest.raises(KeyboardInterrupt):
        build("icarus", design_of(TINY), TINY, tmp_path)
    assert not list(tmp_path.glob("icarus-*/simulation.vvp")) or all(
        p.parent.suffix == ".partial" for p in tmp_path.glob("icarus-*/simulation.vvp")
    )
    monkeypatch.setattr(unit, "_build_icarus", real)
    program = build("icarus", design_of(TINY), TINY, tmp_path)
    assert program.read_text() != "half"
    assert not list(tmp_path.glob("*.partial"))


def test_design_that_does_not_compile(tmp_path: Path) -> None:
    need_engine("icarus")
    with pytest.raises(ToolError) as e:
        build("icarus", "module mixdit_core (;\nendmodule\n", TINY, tmp_path)
    assert "\n" not in str(e.value)
    assert str(e.value).startswith("iverilog failed with status ")
    assert "design.v:1: syntax error" in str(e.value)


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    need_engine("icarus")
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "sub"
    with raises_exactly(OutputError, f"cannot write the simulation build in {str(folder)!r}: Not a directory"):
        build("icarus", design_of(TINY), TINY, folder)


@pytest.mark.parametrize(
    ("engine", "text"),
    [
        ("icarus", "iverilog not found: Icarus Verilog (Debian package 'iverilog') is missing; "),
        ("verilator", "make not found: make is missing; "),
    ],
)
def test_missing_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, text: str) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    other = {"icarus": "verilator", "verilator": "icarus"}[engine]
    with raises_exactly(ToolError, f"{text}--engine {other} or --engine amaranth can work without it"):
        build(engine, "", TINY, tmp_path)


def test_missing_compiler_names_engines_that_still_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("NOT RUN: make is missing")
    os.symlink(make, tmp_path / "make")
    monkeypatch.setenv("PATH", str(tmp_path))
    text = "g++ not found: the C++ compiler is missing; --engine icarus or --engine amaranth can work without it"
    with raises_exactly(ToolError, text):
        build("verilator", "", TINY, tmp_path)


def test_modules_with_many_instances_stay_apart() -> None:
    leaf = "module leaf (\n  input a\n);\nendmodule\n"
    row = (
        "module row (\n  input a\n);\n" + "".join(f"  leaf l{i} (\n    .a(a)\n  );\n" for i in range(4)) + "endmodule\n"
    )
    top = (
        "module top (\n  input a\n);\n" + "".join(f"  row r{i} (\n    .a(a)\n  );\n" for i in range(4)) + "endmodule\n"
    )
    assert control_file(leaf + row + top) == '`verilator_config\nno_inline -module "leaf"\n'


def test_bench_depends_on_nothing_but_the_parameters() -> None:
    assert bench_verilog(TINY) == bench_verilog(TINY.replace())
    assert sys.executable not in bench_verilog(TINY)
