"""Simulators for tests: which are there, and designs that are built once for all tests."""

from functools import cache
from pathlib import Path

import pytest

from mixdit_hw.emit import emit_verilog
from mixdit_hw.errors import ToolError
from mixdit_hw.params import Params
from mixdit_hw.sim.plan import NO_PACE, NO_STALLS, Pace, Stalls
from mixdit_hw.sim.run import Simulator
from mixdit_hw.sim.tools import find_icarus, find_verilator

ROOT = Path(__file__).parents[2]
BUILD_DIR = ROOT / "sim_build"  # kept between test runs: an unchanged design is not compiled again
VERILOG_ENGINES = ("verilator", "icarus")


def need_engine(engine: str) -> None:
    """Skip a test, to be named in the summary, where a simulator's tools are missing."""
    finders = {"verilator": find_verilator, "icarus": find_icarus}
    try:
        if engine in finders:
            finders[engine]()
    except ToolError as e:
        pytest.skip(f"NOT RUN: tests on {engine}: {e}")


@cache
def design_of(params: Params) -> str:
    """Emitted Verilog of a design."""
    return emit_verilog(params)


def simulator_of(engine: str, params: Params, stalls: Stalls = NO_STALLS, pace: Pace = NO_PACE) -> Simulator:
    """A design in a simulator, with all tests' builds in one folder; skips where the simulator is missing."""
    need_engine(engine)
    design = None if engine == "amaranth" else design_of(params)
    return Simulator(
        engine=engine, params=params, design=design, build_dir=BUILD_DIR, stalls=stalls, pace=pace, timeout=1800
    )
