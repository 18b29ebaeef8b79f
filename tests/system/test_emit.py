"""Emitted Verilog: deterministic, lint-clean, one module per distinct unit."""

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import golden
from mixdit_hw.emit import UNITS, emit_verilog, generate, read_waivers
from mixdit_hw.emit.contract import numerics_digest
from mixdit_hw.errors import InputError, OutputError
from mixdit_hw.params import Params
from mixdit_hw.presets import get_preset
from mixdit_hw.sim.tools import find_verilator
from tests.support.simulation import need_engine

TINY = get_preset("tiny")


@cache
def tiny_text() -> str:
    return emit_verilog(TINY)


def lint(folder: Path, name: str) -> str:
    """What Verilator's lint says of a design in a folder, with its waivers."""
    need_engine("verilator")
    tools = find_verilator()
    command = [tools.verilator, "--lint-only", "-Wall", "--quiet", "--top-module", name, f"{name}.vlt", f"{name}.v"]
    result = subprocess.run(
        command, cwd=folder, env=tools.environment(), capture_output=True, text=True, check=False, timeout=120
    )
    return result.stdout + result.stderr + (f"status {result.returncode}" if result.returncode else "")


@pytest.mark.parametrize(
    ("unit", "params"),
    [
        ("core", TINY),
        *((unit, get_preset("small")) for unit in UNITS),
        ("core", TINY.replace(formats=("mx6",), drain=2, interleave=5, a_depth=32)),
        ("converter", TINY.replace(rounding="runtime", subnormals="exact", nonfinite="saturate")),
    ],
)
def test_lint_is_clean(unit: str, params: Params, tmp_path: Path) -> None:
    generate(params, tmp_path, unit)
    assert lint(tmp_path, f"mixdit_{unit}") == ""


def test_lint_sees_an_unused_signal_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "x.v").write_text("module x (input wire a, output wire b);\n  wire left;\n  assign b = a;\nendmodule\n")
    (tmp_path / "x.vlt").write_text(read_waivers())
    assert "UNUSEDSIGNAL" in lint(tmp_path, "x")


@pytest.mark.parametrize("preset", ["tiny", "base"])
def test_each_distinct_unit_is_one_module(preset: str) -> None:
    params = get_preset(preset)
    text = emit_verilog(params)
    assert re.findall(r"^module (mixdit_engine\w*) ", text, re.MULTILINE).count("mixdit_engine") == 1
    assert len(re.findall(r"^  mixdit_engine engine_\d+_\d+ \($", text, re.MULTILINE)) == params.rows * params.columns


def test_names_need_no_escape_and_nothing_tells_of_place_or_time() -> None:
    text = tiny_text()
    assert "\\" not in text
    assert "/" not in re.sub(r"^ *//.*$", "", text, flags=re.MULTILINE)
    assert not re.search(r"\b20\d\d-\d\d|auto\$|\.py|\.cc", text)


def test_text_depends_on_parameters_only() -> None:
    code = "import sys; from mixdit_hw.emit import *; from mixdit_hw.presets import *; "
    code += "sys.stdout.write(emit_verilog(get_preset('tiny')))"
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        ).stdout
        for seed in ("0", "4242")
    }
    assert texts == {tiny_text()}


def test_generated_files(tmp_path: Path) -> None:
    paths = generate(TINY, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == [f"mixdit_core{s}" for s in (".json", ".core", ".f", ".vlt", ".v")]
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(p.name for p in paths)
    assert paths[-1].read_text() == tiny_text()
    assert paths[2].read_text() == "mixdit_core.v\n"
    assert "toplevel: mixdit_core" in paths[1].read_text()


def test_manifest_tells_the_ports_of_the_text(tmp_path: Path) -> None:
    path = generate(TINY, tmp_path)[0]
    manifest = json.loads(path.read_text())
    head = re.search(r"^module mixdit_core \((.*?)^\);", tiny_text(), re.MULTILINE | re.DOTALL)
    assert head is not None
    found = [
        (name, direction, int(top or 0) + 1)
        for direction, top, name in re.findall(r"^  (\w+) +(?:wire|reg) +(?:\[(\d+):0\])? *(\w+)", head[1], re.M)
    ]
    assert [(p["name"], p["direction"], p["width"]) for p in manifest["ports"]] == found
    assert all(p["meaning"] for p in manifest["ports"])
    assert manifest["parameters"] == TINY.to_dict()
    assert manifest["numerics"] == {"sha256": numerics_digest()}
    engine = next(m for m in manifest["modules"] if m["name"] == "mixdit_engine")
    assert engine["instances"] == 4
    assert engine["latency"] > 0


def test_digest_follows_the_numerics(monkeypatch: pytest.MonkeyPatch) -> None:
    assert numerics_digest.__wrapped__() == numerics_digest()
    multiply = golden.gemm
    monkeypatch.setattr(golden, "gemm", lambda a, w: -multiply(a, w))
    assert numerics_digest.__wrapped__() != numerics_digest()


def test_unknown_unit_is_refused() -> None:
    with pytest.raises(InputError) as error:
        emit_verilog(TINY, "motor")
    assert str(error.value) == "unit must be one of core, array, engine, converter, outlier_split, not 'motor'"


def test_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError) as error:
        generate(TINY, tmp_path / "file", "converter")
    assert str(error.value) == f"{tmp_path / 'file'}: cannot be written: File exists"
