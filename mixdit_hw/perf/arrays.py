"""Designs of a wanted number of multiplications per cycle, for comparison at equal sizes."""

from math import isqrt

from golden.formats import BLOCK_SIZE

from ..params import Params, power_of_two_from
from .authors import MACS_PER_ENGINE
from .core import full_rate_c_depth

_LARGEST = 128  # rows or columns
_SHORT_TILE = 5  # K blocks of QK^T with heads of 65 to 80: as few as the result port shall keep pace with


def array_of(macs: int) -> Params:
    """The squarest array of so many MX6 multiplications per cycle, with queues for full speed.

    Results leave fast enough for tiles of 5 K blocks in MX6: the least ``drain`` that divides R and is at
    least R/5; the result memories keep pace with tiles of R/drain passes.

    Raises
    ------
    ValueError
        It is no multiple of 16, or no array of up to 128 rows and columns has so many; the text says what is near.
    """
    if isinstance(macs, bool) or not isinstance(macs, int):
        raise TypeError(f"macs must be an integer, not {macs!r}")
    most = BLOCK_SIZE * _LARGEST**2
    if not BLOCK_SIZE <= macs <= most:
        raise ValueError(f"macs must be {BLOCK_SIZE} to {most}, not {macs}")
    engines, rest = divmod(macs, BLOCK_SIZE)
    if rest:
        raise ValueError(f"macs must be a multiple of {BLOCK_SIZE}, not {macs}; {_nearest(macs)}")
    sides = _sides(engines)
    if sides is None:
        product = f"{BLOCK_SIZE} x rows x columns, each at most {_LARGEST}"
        raise ValueError(f"macs must be {product}, not {macs} = {BLOCK_SIZE} x {engines}; {_nearest(macs)}")
    return array(*sides)


def array(rows: int, columns: int, interleave: int = 4) -> Params:
    """An array of that shape with queues for full speed and results as in `array_of`."""
    wanted = -(-rows // _SHORT_TILE)
    drain = next(d for d in range(wanted, rows + 1) if rows % d == 0)
    tile = power_of_two_from(max(4, rows // drain * interleave))
    params = Params(rows=rows, columns=columns, interleave=interleave, drain=drain, c_depth=tile)
    return params.replace(
        a_depth=params.full_rate_a_depth,
        w_depth=params.full_rate_w_depth,
        c_depth=full_rate_c_depth(params, rows // drain),
    )


def authors_array(params: Params) -> tuple[int, int]:
    """Rows and columns of the authors' engines that multiply as much per cycle: four of them for each of ours."""
    factor = BLOCK_SIZE // MACS_PER_ENGINE
    rows = 2 * params.rows
    return rows, factor * params.rows * params.columns // rows


def _sides(engines: int) -> tuple[int, int] | None:
    """Rows and columns of the squarest array of so many engines, no more columns than 128; None where there is none."""
    rows = next(r for r in range(isqrt(engines), 0, -1) if engines % r == 0)
    return (rows, engines // rows) if engines // rows <= _LARGEST else None


def _nearest(macs: int) -> str:
    """What numbers an array can have below and above one that it cannot."""
    below = next(e for e in range((macs - 1) // BLOCK_SIZE, 0, -1) if _sides(e))
    above = next(e for e in range(macs // BLOCK_SIZE + 1, _LARGEST**2 + 1) if _sides(e))
    return f"the nearest are {BLOCK_SIZE * below} and {BLOCK_SIZE * above}"
