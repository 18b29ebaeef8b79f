"""The schedule of the MixDiT authors' public simulator, for comparison.

Their engine, DaCapo's, has sixteen multipliers of 2-bit digits: a block pair takes the product of both formats' 2-bit
digits in cycles, 4 for MX6 by MX6 (4 multiplications per cycle), 8 for MX9 by MX6, 16 for MX9 by MX9. The output's M
runs over the columns of the array and N over its rows. Tiles follow each other without overlap: each pays the skew of
the engines that it uses, and a product pays 137 cycles before the first one.

All heads of one format and both samples are stacked along M into one product; a linear layer with outlier channels is
two products, of the inliers and of the outliers.
"""

from dataclasses import dataclass
from functools import cache

from golden.formats import BLOCK_SIZE, get_format

from ..workloads import Gemm

START = 137  # cycles of a product before its tiles
MACS_PER_ENGINE = 4  # MX6 multiplications per cycle
_DIGIT_BITS = 2
_QUEUE = 16  # K blocks that the engines' queues hold


@dataclass(frozen=True, kw_only=True)
class AuthorsCost:
    """What a product takes there.

    Parameters
    ----------
    cycles
        Clock cycles.
    busy
        Cycles in which engines work for outputs and K blocks that exist, summed over all engines.
    """

    cycles: int
    busy: int

    def utilisation(self, rows: int, columns: int) -> float:
        """Share of the engines' cycles in which they work."""
        return self.busy / (rows * columns * self.cycles)


def block_cycles(a: str, w: str) -> int:
    """Cycles of a block pair of these formats: 16, 8, 4, 2 or 1."""
    digits = [-(-get_format(f).magnitude_bits // _DIGIT_BITS) for f in (a, w)]
    return digits[0] * digits[1]


@cache
def tile_cycles(skew: int, blocks: int, pace: int) -> int:
    """Cycles of a tile.

    Parameters
    ----------
    skew
        Rows plus columns that the tile uses, less 2: steps until the farthest engine starts.
    blocks
        K blocks.
    pace
        Cycles of a block pair.

    Up to 16 K blocks, all operands of an engine find room in its queue and the tile takes skew + pace * blocks. With
    more, an engine that works slower than operands come holds its neighbours up once its queue is full; ``start[h]`` is
    when the engine h steps away starts.
    """
    if blocks <= _QUEUE or pace == 1:
        return skew + pace * blocks
    start = [1]
    for step in range(skew):
        held = min(step + 1, blocks)
        value = start[step] + 1
        if held > _QUEUE:
            value = max(value, start[max(0, step + 1 - blocks)] + pace * (held - _QUEUE) + 1)
        start.append(value)
    return start[skew] - 1 + pace * blocks


def product_cycles(m: int, n: int, k: int, pace: int, *, rows: int, columns: int) -> int:
    """Cycles of one product of M x K by K x N on rows x columns engines, each tile with the engines that it uses."""
    blocks = -(-k // BLOCK_SIZE)
    cycles = START
    for used_columns, m_tiles in _cuts(m, columns):
        for used_rows, n_tiles in _cuts(n, rows):
            cycles += m_tiles * n_tiles * tile_cycles(used_rows + used_columns - 2, blocks, pace)
    return cycles


def authors_cost(gemm: Gemm, *, rows: int, columns: int) -> AuthorsCost:
    """Cost of a step's products of one kind, all instances of a block stacked along M.

    Parameters
    ----------
    gemm
        The products; outlier channels count once, in a product of their own.
    rows, columns
        Engines, of 4 MX6 multiplications per cycle each.

    Raises
    ------
    ValueError
        Less than one row or column.
    """
    for name, value in (("rows", rows), ("columns", columns)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    cycles = busy = 0
    m = gemm.m * gemm.count
    for segment, k in zip(gemm.segments, gemm.channels, strict=True):
        if k:
            pace = block_cycles(segment.a, segment.w)
            cycles += product_cycles(m, gemm.n, k, pace, rows=rows, columns=columns)
            busy += m * gemm.n * -(-k // BLOCK_SIZE) * pace
    return AuthorsCost(cycles=cycles * gemm.times, busy=busy * gemm.times)


def _cuts(length: int, size: int) -> list[tuple[int, int]]:
    """Whole pieces and the rest of a length: size and number of each."""
    full, rest = divmod(length, size)
    return [(size, full)] * (full > 0) + [(rest, 1)] * (rest > 0)
