"""``mixdit generate``: the same bytes for the same design, and one engine module however many engines there are."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mixdit_hw.cli import run

FILES = {"mixdit_core.v", "mixdit_core.json", "mixdit_core.core", "mixdit_core.f", "mixdit_core.vlt"}
PROGRAMS = {"mixdit_registers.h", "mixdit_registers.svd"}


def test_base_is_the_same_for_any_hash_seed(tmp_path: Path) -> None:
    runs = []
    for seed in ("1", "2"):
        code = "import sys; from mixdit_hw.cli import run; sys.exit(run())"
        command = [
            sys.executable,
            "-c",
            code,
            "generate",
            "--preset",
            "base",
            "--unit",
            "core",
            "-o",
            str(tmp_path / seed),
        ]
        runs.append(subprocess.Popen(command, env={**os.environ, "PYTHONHASHSEED": seed}))
    assert [r.wait(timeout=300) for r in runs] == [0, 0]
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / seed).iterdir()} for seed in ("1", "2"))
    assert first == second
    assert set(first) == FILES
    text = first["mixdit_core.v"].decode()
    assert len(re.findall(r"^module mixdit_engine\b", text, re.M)) == 1
    assert len(re.findall(r"^\s*mixdit_engine \w+ \(", text, re.M)) == 8
    assert len(re.findall(r"^\s*mixdit_cluster \w+ \(", text, re.M)) == 32
    modules = json.loads(first["mixdit_core.json"])["modules"]
    instances = {m["name"]: m["instances"] for m in modules}
    assert (instances["mixdit_cluster"], instances["mixdit_engine"]) == (32, 256)


def test_unit_and_settings(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    args = ["generate", "--unit", "engine", "--set", "interleave=5", "--set", "a_depth=32", "-o", str(tmp_path / "new")]
    assert run(args) == 0
    out, err = capfd.readouterr()
    assert err == ""
    names = {p.name for p in (tmp_path / "new").iterdir()}
    assert names == {name.replace("core", "engine", 1) for name in FILES}
    for name in names:
        assert f"{name}: {(tmp_path / 'new' / name).stat().st_size} bytes" in out
    assert "//   interleave = 5\n" in (tmp_path / "new" / "mixdit_engine.v").read_text()


def test_config_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "design.toml").write_text('rows = 1\ncolumns = 1\nformats = ["mx6"]\n')
    assert run(["generate", "--config", str(tmp_path / "design.toml"), "-o", str(tmp_path / "out")]) == 0
    manifest = json.loads((tmp_path / "out" / "mixdit_accelerator.json").read_text())
    assert manifest["parameters"]["formats"] == ["mx6"]
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == PROGRAMS | {name.replace("core", "accelerator", 1) for name in FILES}


def test_output_is_a_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("mine")
    assert run(["generate", "--preset", "tiny", "-o", str(tmp_path / "out")]) == 3
    assert capfd.readouterr().err == f"mixdit generate: {tmp_path}/out: cannot be written: File exists\n"
    assert (tmp_path / "out").read_text() == "mine"


def test_one_file_cannot_be_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The others are not written either, and nothing is elaborated for them."""
    name = "mixdit_registers.h"
    (tmp_path / name).mkdir()
    assert run(["generate", "--preset", "tiny", "-o", str(tmp_path)]) == 3
    assert capfd.readouterr().err == f"mixdit generate: {tmp_path}/{name}: cannot be written: not a regular file\n"
    assert os.listdir(tmp_path) == [name]
