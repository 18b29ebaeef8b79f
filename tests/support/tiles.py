"""Random tiles, the core's stream beats of them, and their exact results."""

from dataclasses import dataclass

import numpy as np

from golden.formats import Format
from mixdit_hw.params import Params
from mixdit_hw.shapes import FP32_BITS, BlockLayout
from tests.support.blocks import Block, accumulate, join, random_block


@dataclass(frozen=True)
class Tile:
    """A's blocks by [K block][row], W's by [K block][column]."""

    a: list[list[Block]]
    w: list[list[Block]]

    def passes(self) -> int:
        """Digit passes that the tile takes."""
        return sum(a[0].fmt.digits * w[0].fmt.digits for a, w in zip(self.a, self.w, strict=True))


def random_tile(rng: np.random.Generator, params: Params, pairs: list[tuple[Format, Format]]) -> Tile:
    """A tile with a K block for each pair of formats."""
    spread = int(rng.choice([1, 6, 20]))
    return Tile(
        [[random_block(rng, fa, spread=spread) for _ in range(params.tile_rows)] for fa, _ in pairs],
        [[random_block(rng, fw, spread=spread) for _ in range(params.columns)] for _, fw in pairs],
    )


def random_tiles(rng: np.random.Generator, params: Params, count: int, blocks: int) -> list[Tile]:
    """Tiles of 1 to ``blocks`` K blocks in any of the design's formats."""
    formats = params.format_set

    def pair() -> tuple[Format, Format]:
        return formats[rng.integers(len(formats))], formats[rng.integers(len(formats))]

    return [random_tile(rng, params, [pair() for _ in range(rng.integers(1, blocks + 1))]) for _ in range(count)]


def blocks_bits(blocks: list[Block], magnitude_bits: int) -> int:
    """Bits of an array of blocks in the container of that width."""
    return join((block.container(magnitude_bits) for block in blocks), BlockLayout(magnitude_bits).size)


def a_rows(tile: Tile, params: Params) -> list[list[Block]]:
    """Blocks of A by [beat][array row]."""
    turns = params.interleave
    return [[rows[r * turns + t] for r in range(params.rows)] for rows in tile.a for t in range(turns)]


def _beat(blocks: list[Block], magnitude_bits: int) -> int:
    format_at = len(blocks) * BlockLayout(magnitude_bits).size
    return blocks_bits(blocks, magnitude_bits) | blocks[0].fmt.code << format_at


def a_beats(tile: Tile, params: Params) -> list[int]:
    """Beats of a tile on the core's stream ``a``."""
    return [_beat(blocks, params.magnitude_bits) for blocks in a_rows(tile, params)]


def w_beats(tile: Tile, params: Params) -> list[int]:
    """Beats of a tile on the core's stream ``w``."""
    return [_beat(blocks, params.magnitude_bits) for blocks in tile.w]


def _words(tile: Tile, params: Params, parts: int) -> list[int]:
    """Word g*C + c of entry i is that of column c in row i of the g-th of so many equal parts of a tile's rows."""
    size = params.tile_rows // parts

    def word(row: int, column: int) -> int:
        return accumulate([(a[row], w[column]) for a, w in zip(tile.a, tile.w, strict=True)])

    return [
        join((word(g * size + i, c) for g in range(parts) for c in range(params.columns)), FP32_BITS)
        for i in range(size)
    ]


def lane_words(tile: Tile, params: Params) -> list[int]:
    """Bits of the exact words of each entry of the result lanes that a tile takes, chain by chain."""
    return _words(tile, params, params.chains)


def result_words(tile: Tile, params: Params) -> list[int]:
    """Bits of the exact words of each result beat of a tile."""
    return _words(tile, params, params.drain)


def result_beats(tile: Tile, params: Params) -> list[int]:
    """Beats of a tile on the core's stream ``c``."""
    words = result_words(tile, params)
    words[-1] |= 1 << params.drain * params.columns * FP32_BITS
    return words
