"""Sums of many words, by compressors and by carry chains, and products, against Python's."""

import random

import pytest
from amaranth.hdl import Module, Signal

from mixdit_hw.arith.compress import carry_save, chain_save, multiply
from tests.support.clocked import Clocked, Function

TREES = pytest.mark.parametrize("tree", [carry_save, chain_save], ids=["compressors", "chains"])


def sums(tree, width: int, widths: list[int], carries: int, rows: list[dict[str, int]]) -> list[int]:
    """Save word plus carry word of each row of operands x0, x1 ... and carry-ins c0, c1 ..."""

    def build(m: Module, **inputs: Signal) -> dict:
        operands = [inputs[f"x{k}"] for k in range(len(widths))]
        save, carry = tree(m, operands, width, [inputs[f"c{k}"] for k in range(carries)])
        assert len(save) == len(carry) == width
        return {"total": (save + carry)[:width]}

    shapes = {f"x{k}": w for k, w in enumerate(widths)} | {f"c{k}": 1 for k in range(carries)}
    return Clocked(Function(shapes, build)).run(rows, ["total"])["total"]


@TREES
@pytest.mark.parametrize("operands", range(2, 15))
def test_random(operands, tree):
    """As many carry-ins as there is room for; operands narrower than, as wide as and wider than the sum."""
    rng = random.Random(operands)
    width, carries = 9, operands - 2
    widths = [rng.choice([1, 5, 9, 9, 12]) for _ in range(operands)]
    rows = []
    for _ in range(100):
        extreme = rng.choice([None, None, 0, -1])
        row = {
            f"x{k}": (rng.randrange(1 << w) if extreme is None else extreme % (1 << w)) for k, w in enumerate(widths)
        }
        rows.append(row | {f"c{k}": rng.randrange(2) for k in range(carries)})
    assert sums(tree, width, widths, carries, rows) == [sum(row.values()) % (1 << width) for row in rows]


@TREES
def test_all_values(tree):
    """Four words of two bits with both carry-ins."""
    names = ("x0", "x1", "x2", "x3")
    rows = [
        {name: n >> 2 * k & 3 for k, name in enumerate(names)} | {"c0": n >> 8 & 1, "c1": n >> 9}
        for n in range(1 << 10)
    ]
    assert sums(tree, 4, [2] * 4, 2, rows) == [sum(row.values()) % 16 for row in rows]


@pytest.mark.parametrize(("a_bits", "b_bits"), [(4, 4), (1, 1), (3, 5), (6, 2)])
def test_products(a_bits, b_bits):
    """All pairs of words, plain and inverted."""

    def build(m: Module, a: Signal, b: Signal, invert: Signal) -> dict:
        return {"product": multiply(m, a, b, invert)}

    rows = [
        {"a": a, "b": b, "invert": invert}
        for a in range(1 << a_bits)
        for b in range(1 << b_bits)
        for invert in range(2)
    ]
    bench = Clocked(Function({"a": a_bits, "b": b_bits, "invert": 1}, build))
    mask = (1 << a_bits + b_bits) - 1
    assert bench.run(rows, ["product"])["product"] == [row["a"] * row["b"] ^ mask * row["invert"] for row in rows]


@TREES
def test_arguments(tree):
    m = Module()
    words = [Signal(4) for _ in range(3)]
    bits = [Signal() for _ in range(2)]
    with pytest.raises(ValueError, match=r"^operands must be at least two, not 1$"):
        tree(m, words[:1], 4)
    with pytest.raises(ValueError, match=r"^carry_ins must be at most 1, not 2$"):
        tree(m, words, 4, bits)
