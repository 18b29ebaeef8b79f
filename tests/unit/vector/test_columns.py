"""Scale and bias of columns: what is read, when tiles go on, and which words belong to them."""

import random
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from mixdit_hw.bus.layouts import TileLayout
from mixdit_hw.params import Params
from mixdit_hw.vector.columns import ONE, SETS, ColumnOperands
from tests.support.clocked import Clocked
from tests.support.results import COLUMN, NONE, TENSOR, Results

OUTPUTS = ("tile.ready", "run.valid", "run.payload", "item.ready", "o.valid", "o.payload", "scale", "bias")
MODES = [(NONE, NONE), (TENSOR, NONE), (COLUMN, NONE), (NONE, COLUMN), (TENSOR, COLUMN), (COLUMN, COLUMN)]


@cache
def _bench(columns: int) -> Clocked:
    return Clocked(ColumnOperands(Params(rows=1, columns=columns, a_slots=3)))


def words_of(job: Results, name: int, start: int, count: int) -> np.ndarray:
    """Words of columns as the hardware has them."""
    mode, words = job.modes[name], job.operands[name].view(np.uint32)
    if mode == COLUMN:
        words = words[start : start + count]
    else:
        words = np.full(count, words[0] if mode == TENSOR else (0 if name else ONE), np.uint32)
    return np.where(np.isnan(words.view(np.float32)), 0x7FC00000, words) if name else words


@pytest.mark.parametrize("busy", [1, 20])
@pytest.mark.parametrize("modes", MODES)
@pytest.mark.parametrize(("columns", "seed"), [(1, 1), (6, 2), (16, 3), (48, 4)])
def test_words_of_tiles(columns: int, seed: int, modes: tuple, busy: int) -> None:
    """Tiles are worked on for some cycles each, in which the words of all their columns are looked at."""
    rng = random.Random(seed)
    params = Params(rows=1, columns=columns, a_slots=3)
    bench, lanes = _bench(columns), params.store_lanes
    job = Results(params=params, m=21, n=3 * columns - columns // 3, modes=modes, group=3, seed=seed)
    tiles, items, runs = job.tile_bits(), job.items(), job.runs()
    todo = [(tile["columns"], column, row) for tile, row, column in job.tiles()]
    read: list[int] = []

    def stimulus() -> Iterator[dict[str, int]]:
        sent, delivered, allowed, left, work = 0, 0, 0, 0, (0, 0, 0)
        for _ in range(4000):
            index = rng.randrange(columns // lanes)
            row = {"job": job.job(), "index": index}
            give = delivered < allowed and rng.random() < 0.6
            if sent < len(tiles):
                row |= {"tile.valid": 1, "tile.payload": tiles[sent]}
            if give:
                row |= {"item.valid": 1, "item.payload": items[delivered]}
            row |= {"run.ready": int(rng.random() < 0.5), "o.ready": int(left <= 1)}
            yield row
            out = {name: bench.outputs[name][-1] for name in OUTPUTS}
            sent += int(sent < len(tiles) and out["tile.ready"])
            delivered += int(give and out["item.ready"])
            if row["run.ready"] and out["run.valid"]:
                read.append(out["run.payload"])
                allowed = sum(-(-len(content) // (4 * lanes)) for _, content in job.fetches()[: len(read)])
            if left:
                count = min(lanes, max(0, work[0] - index * lanes))
                for k, name in enumerate(("scale", "bias")):
                    got = [out[name] >> 32 * i & 0xFFFFFFFF for i in range(count)]
                    assert got == words_of(job, k, work[1] + index * lanes, count).tolist()
                left -= 1
            if row["o.ready"] and out["o.valid"]:
                tile, work, left = out["o.payload"], todo.pop(0), busy
                assert TileLayout().from_bits(tile).columns == work[0]
                if not todo:
                    break

    bench.run(stimulus(), OUTPUTS)
    assert not todo
    assert read == runs


def fetch_cycles(latency: int, busy: int) -> tuple[list[int], list[int]]:
    """Cycles in which runs are asked for, and in which tiles are taken, if each is worked on for so many cycles.

    A run's only item comes so many cycles after it.
    """
    params = Params(rows=1, columns=16)
    bench = _bench(16)
    job = Results(params=params, m=4, n=16 * 9, modes=(COLUMN, NONE))
    tiles, items = job.tile_bits(), job.items()
    asked: list[int] = []
    taken: list[int] = []

    def stimulus() -> Iterator[dict[str, int]]:
        sent = delivered = 0
        for cycle in range(1000):
            row = {"job": job.job(), "run.ready": 1, "o.ready": int(not taken or cycle - taken[-1] >= busy)}
            if sent < len(tiles):
                row |= {"tile.valid": 1, "tile.payload": tiles[sent]}
            give = delivered < len(asked) and cycle >= asked[delivered] + latency
            if give:
                row |= {"item.valid": 1, "item.payload": items[delivered]}
            yield row
            sent += int(sent < len(tiles) and bench.outputs["tile.ready"][-1])
            delivered += int(give and bench.outputs["item.ready"][-1])
            if bench.outputs["run.valid"][-1]:
                asked.append(cycle)
            if row["o.ready"] and bench.outputs["o.valid"][-1]:
                taken.append(cycle)
            if len(taken) == len(tiles):
                return

    bench.run(stimulus(), OUTPUTS)
    assert len(asked) == len(taken) == len(tiles)
    return asked, taken


def test_fetches_overlap_work() -> None:
    """Four tiles' words are asked for at once, the others' as sets become free; memory's latency is hidden."""
    asked, taken = fetch_cycles(latency=50, busy=20)
    assert asked[:SETS] == list(range(SETS))
    assert taken[0] == 51
    assert all(b - a == 20 for a, b in pairwise(taken[:SETS]))
    # The first tile's set is free when the second is taken.
    assert [a - b for a, b in zip(asked[SETS:], taken[1:], strict=False)] == [1] * (len(taken) - SETS)
    assert fetch_cycles(latency=55, busy=20)[1][-1] - taken[-1] == 5


def test_latency() -> None:
    job = Results(params=Params(rows=1, columns=16), m=4, n=16, modes=(NONE, TENSOR))
    tile = {"job": job.job(), "tile.valid": 1, "tile.payload": job.tile_bits()[0]}
    out = _bench(16).run([tile], OUTPUTS, tail=6)
    assert out["o.valid"].index(1) == ColumnOperands.latency
