"""The cocotb side of a simulated GEMM: clock, reset, one long wait, and a report of how it ended.

It runs inside the simulator, in the run's folder, and writes ``outcome.json`` there: counters, flags and the seconds
that the simulation itself took.
"""

import json
import os
import time
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

from mixdit_hw.sim.bench import COUNTERS

RESET_CYCLES = 4
VALUES = (
    *(f"core_{name}" for name in COUNTERS),
    "cycles",
    "a_taken",
    "a_total",
    "w_taken",
    "w_total",
    "cmd_taken",
    "cmd_total",
    "c_taken",
    "hung",
    "unknown",
    "unstable",
    "short_file",
)


@cocotb.test()
async def gemm(dut) -> None:  # pyright: ignore[reportMissingParameterType]
    """Play the images and wait until the bench has finished."""
    start = time.perf_counter()
    dut.rst.value = 1
    Clock(dut.clk, 2, unit="step", impl="gpi").start()
    await ClockCycles(dut.clk, RESET_CYCLES)
    dut.rst.value = 0
    await RisingEdge(dut.finished)
    await ClockCycles(dut.clk, 2)
    outcome: dict[str, float] = {name: int(getattr(dut, name).value) for name in VALUES}
    outcome["seconds"] = time.perf_counter() - start
    path = Path("outcome.json")
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(outcome))
    os.replace(partial, path)
