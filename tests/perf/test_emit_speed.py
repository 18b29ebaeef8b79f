"""Time to emit a 16x16 array, as CPU time of this process and of Yosys, so that other load does not count."""

import os

from mixdit_hw.emit import emit_verilog
from mixdit_hw.presets import get_preset

LIMIT = 10.0  # seconds


def cpu_seconds() -> float:
    """User and system time of this process and of its ended children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def test_16x16_is_emitted_in_10_seconds() -> None:
    emit_verilog(get_preset("tiny"))  # the first call compiles Yosys
    start = cpu_seconds()
    emit_verilog(get_preset("base"))
    assert cpu_seconds() - start <= LIMIT
