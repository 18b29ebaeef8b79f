"""Leading zeros against Python's bit_length."""

import random

import pytest
from amaranth.hdl import Signal

from mixdit_hw.arith.lzc import leading_zeros
from tests.support.clocked import Clocked, Function


def counts(width: int, values: list[int]) -> list[int]:
    bench = Clocked(Function({"x": width}, lambda m, x: {"count": leading_zeros(x)}))
    return bench.run([{"x": value} for value in values], ["count"])["count"]


@pytest.mark.parametrize("width", range(1, 10))
def test_all_values(width):
    values = list(range(1 << width))
    assert counts(width, values) == [width - value.bit_length() for value in values]


@pytest.mark.parametrize("width", [14, 16, 22, 33])
def test_wide(width):
    rng = random.Random(width)
    values = [0] + [1 << k | rng.randrange(1 << k) for k in range(width) for _ in range(5)]
    assert counts(width, values) == [width - value.bit_length() for value in values]


@pytest.mark.parametrize(("width", "bits"), [(1, 1), (3, 2), (4, 3), (7, 3), (8, 4), (22, 5)])
def test_width_of_count(width, bits):
    """As many bits as the count of a zero word needs."""
    assert len(leading_zeros(Signal(width))) == bits


def test_argument():
    with pytest.raises(ValueError, match=r"^x must have at least one bit, not 0$"):
        leading_zeros(Signal(0))
