"""The loader behind a model of memory, against the golden model: whole slots of the operands' buffers, bit by bit."""

from collections import deque
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pytest

from mixdit_hw.job import Data
from mixdit_hw.params import Params
from mixdit_hw.tile.load import OperandLoader
from mixdit_hw.tile.place import splits
from mixdit_hw.tile.slots import SIDES, slot_count, slot_entries
from tests.support.clocked import Clocked
from tests.support.operands import Operand, Stored, random_operand, stored
from tests.support.streams import pattern

ODD = Params(
    rows=3, columns=5, share_rows=1, share_columns=1, interleave=5, a_depth=32, k_depth=4, a_slots=3, outlier_depth=2
)  # fmt: skip
WIDE = ODD.replace(
    rows=2, columns=18, interleave=4, k_depth=8, a_slots=2, rounding="runtime", subnormals="exact", nonfinite="saturate"
)  # fmt: skip
NARROW = ODD.replace(rows=1, columns=1, interleave=7, formats=("mx6", "mx4"), rounding="half-away")
DESIGNS = {"odd": ODD, "wide": WIDE, "narrow": NARROW}
OUTPUTS = (
    "run.valid", "run.payload", "item.ready", "filled", "write_en", "write_bank", "write_address", "write_block",
)  # fmt: skip
HANG_CYCLES = 2000


@dataclass(kw_only=True)
class Played:
    """What came of a job: cycles, counted from its start, of items taken, of writes and of filled slots."""

    items: list[int] = field(default_factory=list)
    writes: list[int] = field(default_factory=list)
    filled: list[int] = field(default_factory=list)


@cache
def bench(params: Params, side: str) -> tuple[OperandLoader, Clocked]:
    dut = OperandLoader(params, side)
    return dut, Clocked(dut)


def play(jobs: list[Stored], *, runs: str = "always", items: str = "always", free: float = 1, seed: int = 0):
    """Load the jobs' operands one after the other, without a reset, and compare all slots.

    Runs are taken, and items offered, in the patterns of those names; filled slots become free with probability
    ``free`` in each cycle. Returns a `Played` for each job.
    """
    operand = jobs[0].operand
    params, side = operand.params, operand.side
    dut, clocked = bench(params, side)
    results = []

    def rows():
        rng = np.random.default_rng(seed)
        takes, offers = pattern(runs, seed), pattern(items, seed + 1)
        for job in jobs:
            yield from _mask(job.operand)
            played = Played()
            results.append(played)
            yield from _job(dut, clocked, job, played, takes, offers, lambda: rng.random() < free)

    clocked.run(rows(), OUTPUTS)
    return results


def _mask(operand: Operand):
    if splits(operand.params, operand.side):
        for address, word in enumerate(operand.mask):
            yield {"mask_en": 1, "mask_address": address, "mask_data": word}


def _job(dut, clocked, job: Stored, played: Played, takes, offers, frees):
    """A job's cycles, to some after its last slot."""
    operand = job.operand
    params, side = operand.params, operand.side
    bits, slots = operand.bits(), list(operand.slots())
    entries, count = slot_entries(params, side), slot_count(params, side)
    wanted = iter(operand.runs())
    queue: deque[int] = deque()  # items of the runs so far
    written: dict[tuple[int, int], int] = {}
    freed = now = quiet = since = 0
    offered = False
    while len(played.filled) < len(slots) or quiet < 30:
        row = {"job": bits, "start": int(now == 0), "run.ready": int(next(takes))}
        offered = offered or bool(queue and next(offers))
        if offered:
            row |= {"item.valid": 1, "item.payload": queue[0]}
        row["free"] = int(freed < len(played.filled) and frees())
        yield row
        out = {name: values[-1] for name, values in clocked.outputs.items()}
        if out["write_en"]:
            number = len(played.filled)
            assert number < len(slots), "a write after the last slot"
            assert number - freed < count, "the slot is not free"
            place = out["write_bank"], out["write_address"] - number % count * entries
            assert place not in written, f"bank and entry {place} are written twice"
            written[place] = out["write_block"]
            played.writes.append(now)
        if out["filled"]:
            slot = slots[len(played.filled)]
            expected = {(bank, at): job.blocks[line][block] for line, block, bank, at in operand.entries(slot)}
            assert written == expected, f"slot {len(played.filled)}"
            written = {}
            played.filled.append(now)
        if offered and out["item.ready"]:
            queue.popleft()
            offered = False
            played.items.append(now)
        if out["run.valid"] and row["run.ready"]:
            run = dut.run.payload.shape().from_bits(out["run.payload"])
            address, size, item = next(wanted)
            address %= 1 << params.address_bits
            assert (run.address, run.bytes, run.item) == (address, size, item)
            queue.extend(_items(job, address, size, item))
        freed += row["free"]
        quiet = quiet + 1 if len(played.filled) == len(slots) else 0
        since = 0 if out["write_en"] or out["item.ready"] or out["run.valid"] else since + 1
        assert since < HANG_CYCLES
        now += 1
    assert next(wanted, None) is None, "a run is missing"
    assert not queue, "items are left"


def _items(job: Stored, address: int, size: int, item: int):
    """Payloads of a run's items."""
    for at in range(0, size, item):
        count = min(item, size - at)
        yield job.item(address + at, count) | int(at + item >= size) << 512


def some(
    seed: int, params: Params, side: str, count: int, *, kind: Data | None = None, most: int = 150
) -> list[Stored]:
    rng = np.random.default_rng(seed)
    return [stored(rng, random_operand(rng, params, side, kind=kind, most=most)) for _ in range(count)]


@pytest.mark.parametrize("params", DESIGNS.values(), ids=DESIGNS.keys())
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("kind", list(Data), ids=lambda kind: kind.name)
@pytest.mark.parametrize("seed", [1])
def test_random_jobs(params: Params, side: str, kind: Data, seed: int) -> None:
    play(some(seed, params, side, 5, kind=kind), runs="mostly", items="mostly", free=0.2, seed=seed)
