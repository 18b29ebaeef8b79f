"""Carry-select addition against Python's sums."""

import random

import pytest
from amaranth.hdl import Module, Signal

from mixdit_hw.arith.carry_select import carry_select_add
from tests.support.clocked import Clocked, Function


def sums(width: int, segments: tuple[int, ...], rows: list[dict[str, int]]) -> list[int]:
    def build(m: Module, **inputs: Signal) -> dict:
        total = carry_select_add(inputs["a"], inputs["b"], inputs["c"], segments)
        assert len(total) == width + 1
        return {"total": total}

    return Clocked(Function({"a": width, "b": width, "c": 1}, build)).run(rows, ["total"])["total"]


@pytest.mark.parametrize("segments", [(4,), (1, 3), (2, 1, 1)])
def test_all_words_of_four_bits(segments):
    rows = [{"a": a, "b": b, "c": c} for a in range(16) for b in range(16) for c in range(2)]
    assert sums(4, segments, rows) == [sum(row.values()) for row in rows]


@pytest.mark.parametrize("segments", [(9, 9, 9), (5, 7, 8, 7)])
def test_long_carries(segments):
    seed = sum(segments) + len(segments)
    rng = random.Random(seed)
    rows = []
    for _ in range(300):
        a = rng.getrandbits(27)
        b = ~a & (1 << 27) - 1 if rng.random() < 0.5 else rng.getrandbits(27)  # a carry that goes all the way
        rows.append({"a": a, "b": b ^ (1 << rng.randrange(27) if rng.random() < 0.5 else 0), "c": rng.randrange(2)})
    assert sums(27, segments, rows) == [sum(row.values()) for row in rows]


def test_arguments():
    a, b, c = Signal(5), Signal(5), Signal()
    with pytest.raises(ValueError, match=r"^segments must add up to the words' 5 and 5 bits, not \(2, 2\)$"):
        carry_select_add(a, b, c, (2, 2))
    with pytest.raises(ValueError, match=r"^segments must add up to the words' 5 and 4 bits, not \(3, 2\)$"):
        carry_select_add(a, b[:4], c, (3, 2))
