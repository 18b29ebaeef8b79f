"""Registers without reset: delay, name, shape."""

import random

import pytest
from amaranth.hdl import Module, Shape, Signal, signed

from mixdit_hw.arith.register import cut, register
from tests.support.clocked import Clocked, Function


@pytest.mark.parametrize("cycles", [1, 2, 5])
def test_delay_through_reset(cycles):
    """A value comes out that many cycles later, whether or not there is a reset on its way."""
    rng = random.Random(cycles)
    values = [rng.randrange(1 << 8) for _ in range(40)]
    bench = Clocked(Function({"x": 8}, lambda m, x: {"y": register(m, x, "y_held", cycles)}))
    rows = [{"x": value, "rst": rng.randrange(2)} for value in values]
    assert bench.run(rows, ["y"], tail=cycles)["y"] == [0] * cycles + values


def test_shape_and_name():
    m = Module()
    x = Signal(signed(5))
    y = register(m, x, "held", 3)
    assert y.shape() == Shape(5, signed=True)
    assert y.name == "held"
    assert register(m, x + 1, "next").shape() == Shape(6, signed=True)


@pytest.mark.parametrize("active", [True, False])
def test_cut(active):
    """Every value a cycle later, or at once."""
    rows = [{"x": n * 37 % 256, "y": n % 2} for n in range(20)]

    def build(m: Module, x: Signal, y: Signal) -> dict:
        s = cut(m, "_held", active, total=x + 1, flag=y)
        assert not active or (s.total.name, s.flag.name) == ("total_held", "flag_held")
        return {"total": s.total, "flag": s.flag}

    out = Clocked(Function({"x": 8, "y": 1}, build)).run(rows, ["total", "flag"], tail=1)
    assert out["total"][active:][: len(rows)] == [row["x"] + 1 for row in rows]
    assert out["flag"][active:][: len(rows)] == [row["y"] for row in rows]


def test_argument():
    with pytest.raises(ValueError, match=r"^cycles must be at least 1, not 0$"):
        register(Module(), Signal(), "none", 0)
