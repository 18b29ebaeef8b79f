"""The maximum tree against Python's max."""

import random
from itertools import product

import pytest
from amaranth.hdl import Value
from amaranth.sim import Simulator

from mixdit_hw.arith.maximum import Maximum


def _maxima(width: int, count: int, cases: list[tuple[int, ...]]) -> list[int]:
    dut = Maximum(width, count)
    results = []

    async def testbench(ctx):
        for case in cases:
            ctx.set(Value.cast(dut.i), sum(x << k * width for k, x in enumerate(case)))
            results.append(ctx.get(dut.o))

    simulator = Simulator(dut)
    simulator.add_testbench(testbench)
    simulator.run()
    return results


@pytest.mark.parametrize(("width", "count"), [(1, 1), (3, 1), (1, 5), (3, 2), (2, 4), (4, 3)])
def test_all_values(width, count):
    cases = list(product(range(1 << width), repeat=count))
    assert _maxima(width, count, cases) == [max(case) for case in cases]


@pytest.mark.parametrize("count", [7, 16])
def test_random_values(count):
    rng = random.Random(count)
    cases = []
    for _ in range(500):
        spread = rng.choice([1, 4, 256])
        base = rng.randrange(257 - spread)
        cases.append(tuple(base + rng.randrange(spread) for _ in range(count)))
    assert _maxima(8, count, cases) == [max(case) for case in cases]


@pytest.mark.parametrize(
    ("width", "count", "kind", "text"),
    [
        (0, 2, ValueError, r"^width must be at least 1, not 0$"),
        (8, -1, ValueError, r"^count must be at least 1, not -1$"),
        (8.0, 2, TypeError, r"^width must be an integer, not 8\.0$"),
        (8, "2", TypeError, r"^count must be an integer, not '2'$"),
    ],
)
def test_bad_arguments(width, count, kind, text):
    with pytest.raises(kind, match=text):
        Maximum(width, count)
