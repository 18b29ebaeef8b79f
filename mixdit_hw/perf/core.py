"""Cycles of a matrix product on the core whose operands are always there and whose results are always taken."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..params import Params

_PIPELINE = 17  # cycles from a step's decision to its first result beat, without skew


@dataclass(frozen=True, kw_only=True)
class CoreCost:
    """What the core's counters say of one product.

    Parameters
    ----------
    cycles
        Clock cycles from the first pass to the last result.
    passes
        Steps, of T cycles each, in which a digit pass entered.
    wait_a, wait_w, wait_result, wait_drain
        Steps that waited for A, for W, for space for results, for the result chains.
    """

    cycles: int
    passes: int
    wait_a: int = 0
    wait_w: int = 0
    wait_result: int = 0
    wait_drain: int = 0


def core_cost(params: Params, *, m: int, n: int, passes: Sequence[int], instances: int = 1) -> CoreCost:
    """Cost of C (M x N) = A W on one core.

    Provisional: tiles of R*T x C follow each other at one pass per step, a tile ends no earlier than R/drain steps
    after the one before, and skew and the last tile's results are paid once.

    Parameters
    ----------
    params
        The design.
    m, n
        Rows and columns of the output.
    passes
        Digit passes of each K block in stored order: 1 for MX6 by MX6, 2 for MX9 by MX6, 4 for MX9 by MX9.
    instances
        Products of this kind back to back.

    Raises
    ------
    ValueError
        A number is less than 1, or there is no K block.
    """
    for name, value in (("m", m), ("n", n), ("instances", instances), ("passes", min(passes, default=0))):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    tiles = -(-m // params.tile_rows) * -(-n // params.columns) * instances
    tile_passes = sum(passes)
    segment = params.rows // params.drain
    wait_drain = (tiles - 1) * max(0, segment - tile_passes)
    steps = tiles * tile_passes + wait_drain
    skew = (params.rows - segment) * (params.interleave - 1) + params.columns - 1
    cycles = steps * params.interleave + _PIPELINE + skew + segment * params.interleave
    return CoreCost(cycles=cycles, passes=tiles * tile_passes, wait_drain=wait_drain)
