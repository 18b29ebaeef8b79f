"""The core against exact arithmetic: formats, stalls, accumulation, rate, latency, counters, reset, least depths."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from golden.formats import get_format
from mixdit_hw.params import Params
from mixdit_hw.presets import PRESETS
from mixdit_hw.tile.counters import STEP_EVENTS, Counters
from mixdit_hw.top import Core
from tests.support.streams import Bench, Sink, Source
from tests.support.tiles import Tile, a_beats, random_tile, random_tiles, result_beats, w_beats

SMALL = Params(rows=2, columns=2, a_depth=16, w_depth=4, c_depth=16)
ACCUMULATE = 1 << 16


class CoreBench:
    """A core, compiled once."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self.core = Core(params)
        self.bench = Bench(self.core)

    def ends(self, tiles: list[Tile], commands=None, *, idle="always", backpressure="always", seed=0):
        """Sources of all blocks and commands, and a sink of the results."""
        p, core = self.params, self.core
        commands = [len(t.a) for t in tiles] if commands is None else commands
        return (
            Source(core.a, [b for tile in tiles for b in a_beats(tile, p)], idle=idle, seed=seed + 1),
            Source(core.w, [b for tile in tiles for b in w_beats(tile, p)], idle=idle, seed=seed + 2),
            Source(core.cmd, commands, idle=idle, seed=seed + 3),
            Sink(core.c, len(tiles) * p.tile_beats, backpressure=backpressure, seed=seed),
        )

    def run(self, tiles: list[Tile], commands=None, *, watch=(), interrupted=(), after=0, **patterns) -> Sink:
        """Multiply tiles and check every result beat."""
        ends = self.ends(tiles, commands, **patterns)
        self.bench.run(*ends, watch=watch, interrupted=interrupted, after=after)
        sink = ends[-1]
        expected = [word for tile in tiles for word in result_beats(tile, self.params)]
        for i, (got, want) in enumerate(zip(sink.items, expected, strict=True)):
            assert got == want, f"beat {i}: {got:x}, not {want:x}"
        return sink


bench_of = cache(CoreBench)


@pytest.mark.parametrize(
    "params",
    [
        SMALL,
        SMALL.replace(rows=4, columns=1, drain=2, interleave=5, a_depth=32),
        SMALL.replace(rows=3, columns=2, drain=3, c_depth=4, w_depth=8),
        SMALL.replace(rows=1, columns=2, formats=("mx6", "mx4"), c_depth=4),
        SMALL.replace(rows=1, columns=1, formats=("mx4",), interleave=6, a_depth=32, c_depth=8),
        SMALL.replace(rows=4, columns=2, share_rows=1, share_columns=1, formats=("mx6",)),
        SMALL.replace(rows=4, columns=1, share_rows=4),
        SMALL.replace(rows=6, columns=2, drain=3, formats=("mx4",), c_depth=8),
        SMALL.replace(rows=2, columns=3, c_depth=8),
    ],
    ids=[
        *("2x2", "4x1-drain2-T5", "3x2-drain3", "1x2-mx6-mx4", "1x1-mx4-T6"),
        *("4x2-share1", "4x1-share4", "6x2-drain3", "2x3"),
    ],
)
def test_random_tiles(params):
    bench = bench_of(params)
    rng = np.random.default_rng(3)
    bench.run(random_tiles(rng, params, 6, 5), seed=10)
    bench.run(random_tiles(rng, params, 5, 5), idle="random", backpressure="bursts", seed=20)
    bench.run(random_tiles(rng, params, 4, 3), idle="bursts", backpressure="rarely", seed=30)


def test_accumulate():
    """A tile cut in several commands gives the same sums, and nothing leaves before the last one."""
    rng = np.random.default_rng(4)
    tiles = random_tiles(rng, SMALL, 3, 6)
    commands = []
    for tile in tiles:
        blocks = len(tile.a)
        cut = int(rng.integers(1, blocks)) if blocks > 1 else blocks
        parts = [cut, blocks - cut] if cut < blocks else [blocks]
        commands += [n | ACCUMULATE * (i < len(parts) - 1) for i, n in enumerate(parts)]
    assert len(commands) > len(tiles)
    bench_of(SMALL).run(tiles, commands, idle="mostly", backpressure="random", seed=5)


@pytest.mark.parametrize(("fmt", "passes"), [("mx6", 1), ("mx9", 4)])
def test_full_rate(fmt, passes):
    """Tiles follow each other without a bubble: the result tiles are as far apart as their digit passes are long."""
    rng = np.random.default_rng(6)
    f = get_format(fmt)
    blocks = 4
    tiles = [random_tile(rng, SMALL, [(f, f)] * blocks) for _ in range(3)]
    sink = bench_of(SMALL).run(tiles, seed=7)
    firsts = sink.cycles[:: SMALL.tile_beats]
    distance = blocks * passes * SMALL.interleave
    assert [b - a for a, b in pairwise(firsts)] == [distance] * 2


@pytest.mark.parametrize(
    "params",
    [
        SMALL,
        SMALL.replace(rows=4, columns=1, drain=2, interleave=5, a_depth=32),
        SMALL.replace(rows=3, columns=2, drain=3, c_depth=4, w_depth=8),
        SMALL.replace(rows=4, columns=2, share_rows=1, share_columns=1, formats=("mx6",)),
        SMALL.replace(rows=4, columns=1, share_rows=4),
        SMALL.replace(rows=6, columns=2, drain=3, formats=("mx4",), c_depth=8),
    ],
    ids=["2x2", "4x1-drain2-T5", "3x2-drain3", "4x2-share1", "4x1-share4", "6x2-drain3"],
)
def test_latency_and_counters(params):
    """Decisions for the first and the last pass show in the counters, as much later as these say."""
    bench = bench_of(params)
    core = bench.core
    counters = [getattr(core, name) for name in STEP_EVENTS]
    tile = random_tiles(np.random.default_rng(8), params, 1, 4)[0]
    sink = bench.run([tile], watch=[core.cycles, *counters], idle="random", seed=3)
    passes = [values[1] for values in bench.bench.watched]
    total = tile.passes()
    first, last = passes.index(1) - Counters.latency, passes.index(total) - Counters.latency
    assert sink.cycles == [last + core.latency + i for i in range(params.tile_beats)]
    cycles, *events = bench.bench.watched[-1]
    assert cycles == sink.cycles[-1] - first + 1
    assert events[0] == total
    # The steps from the first pass to the last are passes or waits, but there is one command only.
    assert sum(events) == (last - first) // params.interleave + 1


@pytest.mark.parametrize("preset", ["tiny", "small"])
@pytest.mark.parametrize("formats", [("mx6",), ("mx9",), ("mx9", "mx6", "mx4")], ids="-".join)
def test_presets_never_wait(preset, formats):
    """A pass in every step from the first to the last: 3 tiles, long enough for the memories to fill and empty."""
    params = PRESETS[preset]
    bench = bench_of(params)
    core = bench.core
    rng = np.random.default_rng(12)
    count = 24 if formats == ("mx6",) else 8
    f = [get_format(name) for name in formats]
    tiles = [
        random_tile(rng, params, [(f[rng.integers(len(f))], f[rng.integers(len(f))]) for _ in range(count)])
        for _ in range(3)
    ]
    sink = bench.run(tiles, watch=[core.cycles, *(getattr(core, name) for name in STEP_EVENTS)], seed=12)
    cycles, *events = bench.bench.watched[-1]
    passes = sum(tile.passes() for tile in tiles)
    assert events == [passes, 0, 0, 0, 0]
    assert cycles == (passes - 1) * params.interleave + core.latency + params.tile_beats
    assert len(sink.cycles) == 3 * params.tile_beats


def test_clear():
    """Counters stay at zero while ``clear`` is held, whatever happens."""
    bench = bench_of(SMALL)
    core = bench.core
    tiles = random_tiles(np.random.default_rng(9), SMALL, 1, 2)
    ends = bench.ends(tiles)
    counters = [core.cycles, *(getattr(core, name) for name in STEP_EVENTS)]
    bench.bench.run(*ends, pins=[(core.clear, 1)], watch=counters)
    assert set(bench.bench.watched) == {(0,) * len(counters)}


RESET_CYCLES = sorted(np.random.default_rng(10).choice(180, 14, replace=False).tolist())


@pytest.mark.parametrize("after", RESET_CYCLES)
def test_reset_in_the_middle(after):
    """After a reset nothing of the old job comes out, and the next one is exact."""
    bench = bench_of(SMALL)
    rng = np.random.default_rng(after)
    old = bench.ends(random_tiles(rng, SMALL, 6, 3), idle="mostly", backpressure="mostly", seed=after)
    bench.run(random_tiles(rng, SMALL, 2, 2), idle="mostly", seed=after, interrupted=old, after=after)
    assert sum(len(end.cycles) for end in old[:3]) > 0 or after < 3


@pytest.mark.parametrize(
    "params",
    [
        SMALL.replace(rows=8, columns=1, c_depth=32, formats=("mx6", "mx4")),
        SMALL.replace(rows=6, columns=1, c_depth=4, drain=6, interleave=4),
        SMALL.replace(rows=1, columns=9, c_depth=4, formats=("mx6", "mx4"), cmd_depth=1),
    ],
    ids=["8x1", "6x1-drain6", "1x9"],
)
def test_least_depths(params):
    """Memories that hold less than the array's skew cost time, but neither results nor the way on."""
    assert params.a_depth == 4 * params.interleave
    assert (params.w_depth, params.c_depth) == (4, params.tile_beats)
    bench = bench_of(params)
    rng = np.random.default_rng(11)
    bench.run(random_tiles(rng, params, 4, 8), seed=40)
    bench.run(random_tiles(rng, params, 2, 6), idle="bursts", backpressure="bursts", seed=50)
