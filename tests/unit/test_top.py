"""The core against exact arithmetic: every format, tile order, stalls on all streams, accumulation over commands."""

from dataclasses import dataclass

import numpy as np
import pytest

from golden.formats import Format, get_format
from mixdit_hw.params import Params
from mixdit_hw.shapes import FP32_BITS
from mixdit_hw.top import Core
from tests.support.blocks import Block, accumulate, random_block
from tests.support.streams import Bench, Sink, Source

SMALL = Params(rows=2, columns=2, a_depth=16, w_depth=4, c_depth=16)


@dataclass(frozen=True)
class Tile:
    """A's blocks by [K block][row], W's by [K block][column]."""

    a: list[list[Block]]
    w: list[list[Block]]


def random_tile(rng: np.random.Generator, params: Params, pairs: list[tuple[Format, Format]]) -> Tile:
    spread = int(rng.choice([1, 6, 20]))
    return Tile(
        [[random_block(rng, fa, spread=spread) for _ in range(params.tile_rows)] for fa, _ in pairs],
        [[random_block(rng, fw, spread=spread) for _ in range(params.columns)] for _, fw in pairs],
    )


def random_tiles(rng: np.random.Generator, params: Params, count: int, blocks: int) -> list[Tile]:
    formats = params.format_set

    def pair() -> tuple[Format, Format]:
        return formats[rng.integers(len(formats))], formats[rng.integers(len(formats))]

    return [random_tile(rng, params, [pair() for _ in range(rng.integers(1, blocks + 1))]) for _ in range(count)]


def beat(blocks: list[Block], magnitude_bits: int) -> int:
    width = 16 + 16 * (magnitude_bits + 1)
    bits = sum(block.container(magnitude_bits) << i * width for i, block in enumerate(blocks))
    return bits | blocks[0].fmt.code << len(blocks) * width


def a_beats(tile: Tile, p: Params) -> list:
    return [
        beat([rows[r * p.interleave + t] for r in range(p.rows)], p.magnitude_bits)
        for rows in tile.a
        for t in range(p.interleave)
    ]


def result_beats(tile: Tile, p: Params) -> list[int]:
    beats = []
    for i in range(p.tile_beats):
        word = int(i == p.tile_beats - 1) << p.drain * p.columns * FP32_BITS
        for g in range(p.drain):
            row = g * p.tile_beats + i
            for c in range(p.columns):
                value = accumulate([(a[row], w[c]) for a, w in zip(tile.a, tile.w, strict=True)])
                word |= value << (g * p.columns + c) * FP32_BITS
        beats.append(word)
    return beats


class CoreBench:
    """A core, compiled once."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self.core = Core(params)
        self.bench = Bench(self.core)

    def run(self, tiles: list[Tile], commands=None, *, idle="always", backpressure="always", seed=0) -> Sink:
        p, core = self.params, self.core
        commands = [len(t.a) for t in tiles] if commands is None else commands
        expected = [word for tile in tiles for word in result_beats(tile, p)]
        sink = Sink(core.c, len(expected), backpressure=backpressure, seed=seed)
        self.bench.run(
            Source(core.a, [b for tile in tiles for b in a_beats(tile, p)], idle=idle, seed=seed + 1),
            Source(core.w, [beat(b, p.magnitude_bits) for tile in tiles for b in tile.w], idle=idle, seed=seed + 2),
            Source(core.cmd, commands, idle=idle, seed=seed + 3),
            sink,
        )
        for i, (got, want) in enumerate(zip(sink.items, expected, strict=True)):
            assert got == want, f"beat {i}: {got:x}, not {want:x}"
        return sink


@pytest.mark.parametrize(
    "params",
    [
        SMALL,
        SMALL.replace(rows=4, columns=1, drain=2, interleave=5, a_depth=32),
        SMALL.replace(rows=3, columns=3, drain=3, c_depth=4, w_depth=8),
        SMALL.replace(rows=1, columns=2, formats=("mx6", "mx4"), c_depth=4),
        SMALL.replace(rows=1, columns=1, formats=("mx4",), interleave=6, a_depth=32, c_depth=8),
    ],
    ids=["2x2", "4x1-drain2-T5", "3x3-drain3", "1x2-mx6-mx4", "1x1-mx4-T6"],
)
def test_random_tiles(params):
    bench = CoreBench(params)
    rng = np.random.default_rng(3)
    bench.run(random_tiles(rng, params, 6, 5), seed=10)
    bench.run(random_tiles(rng, params, 6, 5), idle="random", backpressure="bursts", seed=20)
    bench.run(random_tiles(rng, params, 6, 3), idle="bursts", backpressure="rarely", seed=30)


def test_accumulate():
    """A tile cut in several commands gives the same sums, and nothing leaves before the last one."""
    rng = np.random.default_rng(4)
    tiles = random_tiles(rng, SMALL, 3, 6)
    commands = []
    for tile in tiles:
        blocks = len(tile.a)
        cut = int(rng.integers(1, blocks)) if blocks > 1 else blocks
        parts = [cut, blocks - cut] if cut < blocks else [blocks]
        commands += [n | (i < len(parts) - 1) << 16 for i, n in enumerate(parts)]
    assert len(commands) > len(tiles)
    CoreBench(SMALL).run(tiles, commands, idle="mostly", backpressure="random", seed=5)


@pytest.mark.parametrize(("fmt", "passes"), [("mx6", 1), ("mx9", 4)])
def test_full_rate(fmt, passes):
    """Tiles follow each other without a bubble: the result tiles are as far apart as their digit passes are long."""
    rng = np.random.default_rng(6)
    f = get_format(fmt)
    blocks = 4
    tiles = [random_tile(rng, SMALL, [(f, f)] * blocks) for _ in range(4)]
    bench = CoreBench(SMALL)
    sink = bench.run(tiles, seed=7)
    firsts = sink.cycles[:: SMALL.tile_beats]
    distance = blocks * passes * SMALL.interleave
    assert [b - a for a, b in zip(firsts, firsts[1:], strict=False)] == [distance] * 3
