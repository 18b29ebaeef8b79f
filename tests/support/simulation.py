"""Simulators for tests: which are there, and designs that are built once for all tests."""

import hashlib
import os
from functools import cache
from pathlib import Path

import pytest

from mixdit_hw.emit import emit_verilog
from mixdit_hw.emit.verilog import tool_versions
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


@cache
def accelerator_of(params: Params) -> str:
    """Emitted Verilog of an accelerator, kept between test runs until a file of the package changes."""
    path = BUILD_DIR / f"accelerator-{_sources()}-{hashlib.sha256(params.to_toml().encode()).hexdigest()[:16]}.v"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        work = path.with_suffix(f".{os.getpid()}")
        work.write_text(emit_verilog(params, "accelerator"))
        os.replace(work, path)
    return path.read_text()


@cache
def _sources() -> str:
    """Digest of all that an emitted design depends on, but its parameters."""
    found = hashlib.sha256(repr(sorted(tool_versions().items())).encode())
    for folder in ("golden", "mixdit_hw"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            found.update(f"{path.relative_to(ROOT)}".encode() + path.read_bytes())
    return found.hexdigest()[:16]


def simulator_of(engine: str, params: Params, stalls: Stalls = NO_STALLS, pace: Pace = NO_PACE) -> Simulator:
    """A design in a simulator, with all tests' builds in one folder; skips where the simulator is missing."""
    need_engine(engine)
    design = None if engine == "amaranth" else design_of(params)
    return Simulator(
        engine=engine, params=params, design=design, build_dir=BUILD_DIR, stalls=stalls, pace=pace, timeout=1800
    )
