"""Carry-save addition against Python's sums."""

import random

import pytest
from amaranth.hdl import Module, Signal

from mixdit_hw.arith.carry_save import carry_save
from tests.support.clocked import Clocked, Function


def sums(width: int, widths: list[int], carries: int, rows: list[dict[str, int]]) -> list[int]:
    """Save word plus carry word of each row of operands x0, x1 ... and carry-ins c0, c1 ..."""

    def build(m: Module, **inputs: Signal) -> dict:
        operands = [inputs[f"x{k}"] for k in range(len(widths))]
        save, carry = carry_save(m, operands, width, [inputs[f"c{k}"] for k in range(carries)])
        assert len(save) == len(carry) == width
        return {"total": (save + carry)[:width]}

    shapes = {f"x{k}": w for k, w in enumerate(widths)} | {f"c{k}": 1 for k in range(carries)}
    return Clocked(Function(shapes, build)).run(rows, ["total"])["total"]


@pytest.mark.parametrize("operands", range(2, 11))
def test_random(operands):
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
    assert sums(width, widths, carries, rows) == [sum(row.values()) % (1 << width) for row in rows]


def test_all_values():
    """Four words of two bits with both carry-ins."""
    names = ("x0", "x1", "x2", "x3")
    rows = [
        {name: n >> 2 * k & 3 for k, name in enumerate(names)} | {"c0": n >> 8 & 1, "c1": n >> 9}
        for n in range(1 << 10)
    ]
    assert sums(4, [2] * 4, 2, rows) == [sum(row.values()) % 16 for row in rows]


def test_arguments():
    m = Module()
    words = [Signal(4) for _ in range(3)]
    bits = [Signal() for _ in range(2)]
    with pytest.raises(ValueError, match=r"^operands must be at least two, not 1$"):
        carry_save(m, words[:1], 4)
    with pytest.raises(ValueError, match=r"^carry_ins must be at most 1, not 2$"):
        carry_save(m, words, 4, bits)
