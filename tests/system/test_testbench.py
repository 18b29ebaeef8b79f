"""The testbench of the integration guide: its vectors pass on the committed Verilog in Icarus; a wrong one fails."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.simulation import ROOT, need_engine

EXAMPLE = ROOT / "examples" / "testbench"


def run(*command: str, cwd: Path) -> str:
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


@pytest.fixture(scope="module")
def testbench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_engine("icarus")
    folder = tmp_path_factory.mktemp("testbench")
    sources = [str(EXAMPLE / "tb_tiny.v"), str(ROOT / "rtl" / "tiny" / "mixdit_core.v")]
    assert run("iverilog", "-g2005", "-Wall", "-o", "tb", *sources, cwd=folder) == ""
    return folder


@pytest.mark.parametrize("seed", [0, 1])
def test_passes(testbench: Path, seed: int) -> None:
    run(sys.executable, str(EXAMPLE / "vectors.py"), "--seed", str(seed), "-o", str(testbench), cwd=ROOT)
    assert run("vvp", "tb", cwd=testbench) == "PASS: 8 results\n"


def test_sees_a_wrong_result(testbench: Path) -> None:
    run(sys.executable, str(EXAMPLE / "vectors.py"), "-o", str(testbench), cwd=ROOT)
    lines = (testbench / "c.hex").read_text().splitlines()
    lines[3] = f"{int(lines[3], 16) ^ 1:x}"
    (testbench / "c.hex").write_text("\n".join(lines) + "\n")
    out = run("vvp", "tb", cwd=testbench)
    assert out.startswith("row 3: ")
    assert out.endswith("FAIL: 1 of 8 results differ\n")
