"""What follows from the latencies of the engine's parts."""

import pytest

from mixdit_hw.dot.timing import TIMINGS, timing_of


@pytest.mark.parametrize(
    ("loop_latency", "times"), [(4, (0, 1, 1, 3, 5, 9, 10)), (8, (1, 2, 2, 5, 8, 16, 17))], ids=["4", "8"]
)
def test_times(loop_latency, times):
    t = timing_of(loop_latency)
    assert (t.w_micro, t.micro, t.block, t.exponent, t.start, t.end, t.latency) == times
    assert t.adder == loop_latency


def test_held_operand():
    """W stands for T cycles, at least as many as the loop has, and its exponents are taken within them."""
    assert all(t.exponent < loop_latency for loop_latency, t in TIMINGS.items())


def test_argument():
    with pytest.raises(ValueError, match=r"^loop_latency must be one of 4, 8, not 6$"):
        timing_of(6)
