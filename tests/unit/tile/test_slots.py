"""The walk through slots against nested loops."""

from collections.abc import Iterator
from functools import cache
from itertools import islice

import numpy as np
import pytest

from mixdit_hw.params import Params
from mixdit_hw.tile.slots import SIDES, SlotWalk
from tests.support.clocked import Clocked
from tests.support.operands import Operand, random_operand
from tests.support.streams import pattern

SMALL = Params(
    rows=3, columns=5, share_rows=1, share_columns=1, interleave=5, a_depth=32, k_depth=4, a_slots=4, outlier_depth=3
)  # fmt: skip
DESIGNS = {"small": SMALL, "deep": SMALL.replace(outlier_depth=5)}  # deep: short chunks fill a slot
OUTPUTS = ("o.valid", "o.payload")


@cache
def bench(side: str, params: Params = SMALL) -> tuple[SlotWalk, Clocked]:
    dut = SlotWalk(params, side)
    return dut, Clocked(dut)


def walk(side: str, operands: list[Operand], ready: str, seed: int = 0) -> tuple[list[list[tuple]], list[int]]:
    """The slots of each job, one after the other without a reset, and the cycles of the last job in which they came."""
    dut, clocked = bench(side, operands[0].params)
    found: list[list[tuple]] = []
    cycles: list[int] = []

    def rows():
        willing = pattern(ready, seed)
        for operand in operands:
            slots, quiet, now, start = [], 0, 0, 1
            cycles.clear()
            while quiet < 40:
                take = int(next(willing))
                yield {"job": operand.bits(), "start": start, "o.ready": take}
                start, quiet = 0, quiet + 1
                if clocked.outputs["o.valid"][-1] and take:
                    slot = dut.o.payload.shape().from_bits(clocked.outputs["o.payload"][-1])
                    slots.append(tuple(slot[name] for name in ("lines", "first", "end", "last", "advance")))
                    cycles.append(now)
                    quiet = 0
                now += 1
            found.append(slots)

    clocked.run(rows(), OUTPUTS)
    return found, cycles


def expected(operand: Operand) -> Iterator[tuple]:
    return ((len(s.lines), s.blocks.start, s.blocks.stop, s.last, s.advance) for s in operand.slots())


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("seed", [1, 2])
def test_random_jobs(name: str, side: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    operands = [random_operand(rng, DESIGNS[name], side) for _ in range(25)]
    endless = iter(lambda: random_operand(rng, DESIGNS[name], side), None)
    operands += islice((operand for operand in endless if operand.short_chunks), 2)
    assert walk(side, operands, "random", seed)[0] == [list(expected(o)) for o in operands]


@pytest.mark.parametrize("side", SIDES)
def test_latency_and_rate(side: str) -> None:
    rng = np.random.default_rng(3)
    operand = next(
        o for o in iter(lambda: random_operand(rng, SMALL, side), None) if o.chunked and o.m > 15 and o.n > 5
    )
    found, cycles = walk(side, [operand], "always")
    assert found == [list(expected(operand))]
    assert cycles == [bench(side)[0].latency + i for i in range(len(cycles))]


@pytest.mark.parametrize("side", SIDES)
def test_largest_sizes(side: str) -> None:
    """Sizes at the ends of their fields, in the largest tiles."""
    large = Params(rows=128, columns=128, share_rows=1, share_columns=1, interleave=16, c_depth=2048, k_depth=4096)
    rng = np.random.default_rng(4)
    operand = random_operand(rng, large, side)
    changes = {"m": 65535, "n": 65535, "k": 65535, "segments": ((65535, "mx6"),)}
    operand = Operand(**{**vars(operand), **changes, "group": 1})
    dut, clocked = bench(side, large)
    rows = [{"job": operand.bits(), "start": int(i == 0), "o.ready": 1} for i in range(600)]
    out = clocked.run(rows, OUTPUTS)
    payloads = [p for valid, p in zip(*(out[name] for name in OUTPUTS), strict=True) if valid]
    slots = [dut.o.payload.shape().from_bits(p) for p in payloads]
    found = [tuple(s[name] for name in ("lines", "first", "end", "last", "advance")) for s in slots]
    assert len(found) > 590
    assert found == list(islice(expected(operand), len(found)))


def test_unknown_side() -> None:
    with pytest.raises(ValueError, match="side must be a or w, not 'c'"):
        SlotWalk(SMALL, "c")
