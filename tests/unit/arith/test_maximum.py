"""The maximum against Python's."""

import random
from itertools import product

import pytest
from amaranth.hdl import Value
from amaranth.sim import Simulator

from mixdit_hw.arith.maximum import Maximum
from tests.support.clocked import Clocked


def _check(width: int, count: int, cases: list[tuple[int, ...]], lower: int = 0) -> None:
    dut = Maximum(width, count, lower)

    async def testbench(ctx):
        for case in cases:
            ctx.set(Value.cast(dut.i), sum(x << k * width for k, x in enumerate(case)))
            top = max(case)
            assert ctx.get(dut.o) == top, case
            assert ctx.get(dut.equal) == sum((x == top) << k for k, x in enumerate(case)), case
            upper = [x >> lower == top >> lower for x in case]
            assert ctx.get(dut.upper_equal) == sum(x << k for k, x in enumerate(upper)), case

    simulator = Simulator(dut)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize(("width", "count"), [(1, 1), (3, 1), (1, 5), (3, 2), (5, 2), (6, 2), (2, 4), (4, 3)])
def test_all_values(width, count):
    for lower in range(width):
        _check(width, count, list(product(range(1 << width), repeat=count)), lower)


def test_latency():
    out = Clocked(Maximum(4, 2)).run([{}, {"i": 0x37}, {}, {}], ["o"])["o"]
    assert out == [7 * (cycle == 1 + Maximum.latency) for cycle in range(4)]


@pytest.mark.parametrize(("width", "count"), [(8, 7), (8, 16), (9, 3), (5, 17), (8, 65)])
def test_random_values(width, count):
    rng = random.Random(count)
    cases = []
    for _ in range(500):
        spread = rng.choice([1, 4, 20, 1 << width])
        base = rng.randrange((1 << width) + 1 - spread)
        cases.append(tuple(base + rng.randrange(spread) for _ in range(count)))
    for lower in (0, 3):
        _check(width, count, cases, lower)


@pytest.mark.parametrize(
    ("width", "count", "lower", "kind", "text"),
    [
        (0, 2, 0, ValueError, r"^width must be at least 1, not 0$"),
        (8, -1, 0, ValueError, r"^count must be at least 1, not -1$"),
        (8, 2, 8, ValueError, r"^lower must be 0 to 7, not 8$"),
        (8, 2, -1, ValueError, r"^lower must be 0 to 7, not -1$"),
        (8.0, 2, 0, TypeError, r"^width must be an integer, not 8\.0$"),
        (8, "2", 0, TypeError, r"^count must be an integer, not '2'$"),
        (8, 2, None, TypeError, r"^lower must be an integer, not None$"),
    ],
)
def test_bad_arguments(width, count, lower, kind, text):
    with pytest.raises(kind, match=text):
        Maximum(width, count, lower)
