"""Simulators' versions."""

import re

import pytest

from mixdit_hw.errors import ToolError
from mixdit_hw.sim.tools import simulator_versions
from tests.support.simulation import VERILOG_ENGINES, need_engine


@pytest.mark.parametrize("engine", VERILOG_ENGINES)
def test_versions(engine: str) -> None:
    need_engine(engine)
    versions = simulator_versions(engine)
    assert set(versions) == {engine, "cocotb"}
    assert all(re.fullmatch(r"\d+\.\d+\S*", number) for number in versions.values())


def test_amaranth_needs_nothing() -> None:
    assert simulator_versions("amaranth") == {}


def test_missing_tool(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r"^iverilog not found: "):
        simulator_versions("icarus")
