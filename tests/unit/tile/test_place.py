"""Places of blocks against nested loops."""

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest

import golden
from golden.formats import BLOCK_SIZE
from mixdit_hw.job import blocks_of
from mixdit_hw.params import Params
from mixdit_hw.tile.place import PlaceWalk, splits
from mixdit_hw.tile.slots import SIDES, slot_count, slot_entries
from tests.support.clocked import Clocked
from tests.support.operands import Operand, random_operand
from tests.support.streams import pattern

SMALL = Params(
    rows=2, columns=20, share_rows=1, share_columns=1, interleave=5, a_depth=32, k_depth=4, a_slots=3, outlier_depth=1
)  # fmt: skip
NARROW = SMALL.replace(formats=("mx6", "mx4"), columns=3, rows=1, a_slots=2)
OUTPUTS = ("o.valid", "o.payload")
Place = dict[str, int]


@cache
def bench(params: Params, side: str) -> tuple[PlaceWalk, Clocked]:
    dut = PlaceWalk(params, side)
    return dut, Clocked(dut)


def expected(operand: Operand) -> Iterator[Place]:
    """All places; of W by rows, those of squares."""
    p, side = operand.params, operand.side
    t = p.interleave if side == "a" else 1
    step = 1 if operand.columns else BLOCK_SIZE
    last_channels = blocks_of(operand.k) - 1
    for number, slot in enumerate(operand.slots()):
        base = number % slot_count(p, side) * slot_entries(p, side)
        for line in slot.lines[::step]:
            at = line - slot.lines.start
            for block in range(operand.blocks) if operand.outliers else slot.blocks:
                place = {"format": golden.FORMATS[operand.formats[block]].code, "keep": int(block in slot.blocks)}
                if place["keep"]:
                    place["bank"] = at // t
                    place["address"] = base + (block - slot.blocks.start) * t + at % t
                place["done"] = int(line + step >= slot.lines.stop and block == slot.blocks[-1])
                if splits(p, side):
                    place["fetched"] = int(not operand.outliers or block <= last_channels)
                    if place["fetched"]:
                        place["outliers"] = operand.mask[block] if operand.outliers else 0
                        if operand.outliers:
                            place["window_end"] = max(0, slot.blocks.stop - last_channels - 1)
                if not operand.columns:
                    place["rows"] = min(BLOCK_SIZE, operand.k - BLOCK_SIZE * block)
                    place["columns"] = min(BLOCK_SIZE, slot.lines.stop - line)
                yield place


def walk(params: Params, side: str, operands: list[Operand], ready: str, seed: int) -> None:
    """Take the places of each job, and free slots at random times; none is used that is not free."""
    dut, clocked = bench(params, side)

    def rows():
        rng = np.random.default_rng(seed)
        willing = pattern(ready, seed)
        for operand in operands:
            for address, word in enumerate(operand.mask) if splits(params, side) else ():
                yield {"mask_en": 1, "mask_address": address, "mask_data": word}
            bits = operand.bits()
            want = list(expected(operand))
            yield {"job": bits, "start": 1}
            done = used = freed = quiet = 0
            place = iter(want)
            while done < len(want) or quiet < 20:
                take, free = int(next(willing)), int(freed < used and rng.random() < 0.03)
                yield {"job": bits, "o.ready": take, "free": free}
                quiet = quiet + 1 if done == len(want) else 0
                if clocked.outputs["o.valid"][-1]:
                    shown = dut.o.payload.shape().from_bits(clocked.outputs["o.payload"][-1])
                    assert not shown.entry.keep or used - freed < slot_count(params, side), "the slot is not free"
                    if take:
                        found = {name: getattr(shown.entry, name) for name in ("bank", "address", "keep", "done")}
                        found |= {name: shown[name] for name, _ in dut.o.payload.shape() if name != "entry"}
                        now = next(place)
                        assert {name: found[name] for name in now} == now, f"place {done}"
                        done += 1
                        used += now["done"]
                freed += free

    clocked.run(rows(), OUTPUTS)


@pytest.mark.parametrize("params", [SMALL, NARROW], ids=["small", "narrow"])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("seed", [1])
def test_random_jobs(params: Params, side: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    walk(params, side, [random_operand(rng, params, side, most=200) for _ in range(20)], "mostly", seed)


@pytest.mark.parametrize("side", SIDES)
def test_latency_and_rate(side: str) -> None:
    """No cycle is lost between lines and slots, while slots are free."""
    rng = np.random.default_rng(5)
    operand = next(
        o for o in iter(lambda: random_operand(rng, SMALL, side, most=200), None)
        if len(list(o.slots())) == slot_count(SMALL, side) and o.chunked
    )  # fmt: skip
    count = len(list(expected(operand)))
    rows = [{"job": operand.bits(), "start": int(i == 0), "o.ready": 1} for i in range(count + 20)]
    out = bench(SMALL, side)[1].run(rows, OUTPUTS)
    assert [cycle for cycle, valid in enumerate(out["o.valid"]) if valid] == [4 + i for i in range(count)]
