"""The loader behind a model of memory, against the golden model: whole slots of the operands' buffers, bit by bit."""

import subprocess
from collections import deque
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixdit_hw.emit import read_waivers
from mixdit_hw.emit.verilog import build_design
from mixdit_hw.job import Data
from mixdit_hw.params import Params
from mixdit_hw.sim.tools import find_verilator
from mixdit_hw.tile.load import OperandLoader
from mixdit_hw.tile.place import splits
from mixdit_hw.tile.slots import SIDES, slot_count, slot_entries
from mixdit_hw.tile.turn import Turner
from tests.support.clocked import Clocked
from tests.support.operands import Operand, Stored, random_operand, stored
from tests.support.simulation import need_engine
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


def some(seed: int, params: Params, side: str, count: int, most: int) -> list[Stored]:
    """Random jobs, as many of each type."""
    rng = np.random.default_rng(seed)
    kinds = [kind for kind in Data for _ in range(count)]
    return [stored(rng, random_operand(rng, params, side, kind=kind, most=most)) for kind in kinds]


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("seed", [1])
def test_random_jobs(name: str, side: str, seed: int) -> None:
    play(some(seed, DESIGNS[name], side, 1, 50), runs="mostly", items="mostly", free=0.5, seed=seed)


@pytest.mark.nightly
@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("seed", [2, 3, 4, 5])
def test_more_random_jobs(name: str, side: str, seed: int) -> None:
    runs = ("mostly", "bursts", "rarely", "always")[seed % 4]
    items, free = (("mostly", 0.2), ("random", 0.05), ("bursts", 1), ("always", 1))[seed % 4]
    play(some(seed, DESIGNS[name], side, 4, 200), runs=runs, items=items, free=free, seed=seed)


def operand(side: str, kind: Data, lines: int, k: int, segments: tuple[tuple[int, str], ...], **others) -> Stored:
    """One of the odd design, with the other size such that there is one tile, unless it is among the others."""
    sizes = {"m": lines, "n": 1} if side == "a" else {"m": 1, "n": lines}
    fields: dict[str, Any] = {"address": 4096, "stride": 8192, "params": ODD} | sizes | others
    made = Operand(side=side, kind=kind, k=k, segments=segments, **fields)
    return stored(np.random.default_rng(11), made)


OUTLIERS = (
    0,
    1,
    15,
    16,
    *range(33, 49),
    64,
    73,
    74,
)  # the first and last channels, all of a block, and pairs of blocks


@pytest.mark.parametrize("outliers", [OUTLIERS, (74,), tuple(range(16))], ids=["many", "last", "first"])
def test_outliers_in_chunks(outliers: tuple[int, ...]) -> None:
    """Rows that are read again for each chunk, of which the outliers begin or lie within the second."""
    segments = ((2, "mx4"), (3, "mx6"), (-(-len(outliers) // 16), "mx9"))
    mask = [sum(1 << c % 16 for c in outliers if c // 16 == b) for b in range(5)]
    job = operand("a", Data.FP32, 3, 75, segments, n=6, outliers=outliers, mask=mask)
    assert job.operand.chunked
    play([job, job], free=0.1)


@pytest.mark.parametrize("count", [47, 48, 49, 64, 75], ids=lambda count: f"{count}-outliers")
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_more_outliers_than_the_split_holds(count: int, first: bool) -> None:
    """Up to 47 go in one pass; with more, chunks are of 2 blocks, in some of which there are both kinds."""
    outliers = tuple(range(count) if first else range(75 - count, 75))
    mask = [sum(1 << c % 16 for c in outliers if c // 16 == b) for b in range(5)]
    segments = ((2, "mx4"), (3, "mx6"), (-(-count // 16), "mx9"))
    job = operand("a", Data.FP32, 7, 75, segments, n=6, outliers=outliers, mask=mask, short_chunks=count > 47)
    play([job, job], runs="mostly", items="mostly", free=0.3)


@pytest.mark.parametrize("count", [95, 96, 107])
def test_split_that_holds_more_than_a_slot(count: int) -> None:
    """Up to 95 outliers go in one pass; with more, chunks are of all 4 blocks of a slot, and never of 5."""
    segments = ((7, "mx6"), (-(-count // 16), "mx9"))
    mask = [sum(1 << c % 16 for c in range(count) if c // 16 == b) for b in range(7)]
    others: dict[str, Any] = {"n": 6, "mask": mask, "short_chunks": count > 95, "params": ODD.replace(outlier_depth=5)}
    job = operand("a", Data.FP32, 7, 107, segments, outliers=tuple(range(count)), **others)
    play([job, job], runs="mostly", items="mostly", free=0.3)


@pytest.mark.parametrize("side", SIDES)
def test_start_frees_all_slots(side: str) -> None:
    """A job that uses every slot, of which nobody says that it became free, and the same again."""
    job = operand(side, Data.MX, 2, 48, ((3, "mx6"),), **({"m": 32} if side == "a" else {"n": 6}))
    assert len(list(job.operand.slots())) == slot_count(ODD, side)
    play([job, job], free=0)


def test_latency_and_rate() -> None:
    """Blocks leave in every cycle, over the ends of lines and slots, after the latencies that are told."""
    for side, kind, lines, k in (("a", Data.FP32, 20, 64), ("a", Data.MX, 20, 48), ("w", Data.FP32, 7, 60)):
        blocks = -(-k // 16)
        (played,) = play([operand(side, kind, lines, k, ((blocks, "mx6"),))])
        begun = played.writes[0]
        assert played.writes == list(range(begun, begun + lines * blocks))
        latency = 1 if kind == Data.MX else bench(ODD, side)[0].latency
        assert begun - played.items[0] == latency
        assert played.filled[-1] == played.writes[-1]


def test_rate_with_outliers() -> None:
    segments, outliers = ((2, "mx6"), (1, "mx9")), (3, 20)
    job = operand("a", Data.FP32, 15, 32, segments, outliers=outliers, mask=[1 << 3, 1 << 4])
    (played,) = play([job])
    assert played.writes == list(range(played.writes[0], played.writes[0] + 45))


def test_rate_by_rows() -> None:
    """A row of W is taken in every cycle, but for one cycle between 16 columns and the next."""
    params = WIDE
    job = operand("w", Data.FP32, 18, 48, ((3, "mx6"),), params=params, columns=False)
    (played,) = play([job])
    begun = played.items[0]
    assert played.items == [*range(begun, begun + 48), *range(begun + 49, begun + 97)]
    latency = bench(params, "w")[0].latency + Turner.latency
    assert played.writes[0] - played.items[15] == latency
    assert played.writes[:48] == list(range(played.writes[0], played.writes[0] + 48))


def test_bad_parameters() -> None:
    with pytest.raises(TypeError, match="params must be a Params, not 3"):
        OperandLoader(3, "a")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="side must be a or w, not 'b'"):
        OperandLoader(ODD, "b")


@pytest.mark.parametrize(
    ("name", "side"),
    [("odd", "a"), ("wide", "w"), *(pytest.param("narrow", side, marks=pytest.mark.nightly) for side in SIDES)],
)
def test_lint_is_clean(name: str, side: str, tmp_path: Path) -> None:
    need_engine("verilator")
    tools, design = find_verilator(), build_design(OperandLoader(DESIGNS[name], side))
    (tmp_path / "x.v").write_text(design.text(DESIGNS[name]))
    (tmp_path / "x.vlt").write_text(read_waivers())
    command = [tools.verilator, "--lint-only", "-Wall", "--quiet", "--top-module", design.name, "x.vlt", "x.v"]
    result = subprocess.run(
        command, cwd=tmp_path, env=tools.environment(), capture_output=True, text=True, check=False, timeout=120
    )
    assert result.stdout + result.stderr == ""
    assert result.returncode == 0
