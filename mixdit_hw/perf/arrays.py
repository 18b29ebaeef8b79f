"""Designs of a wanted number of multiplications per cycle, for comparison at equal sizes."""

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
        It is no multiple of 16, or an array would have more than 128 rows or columns.
    """
    if isinstance(macs, bool) or not isinstance(macs, int):
        raise TypeError(f"macs must be an integer, not {macs!r}")
    engines, rest = divmod(macs, BLOCK_SIZE)
    sides = [] if rest or macs < 1 or engines > _LARGEST**2 else range(1, _LARGEST + 1)
    shapes = [(r, engines // r) for r in sides if engines % r == 0 and r <= engines // r <= _LARGEST]
    if not shapes:
        raise ValueError(f"macs must be 16 for each engine of an array of at most 128 x 128, not {macs}")
    return array(*shapes[-1])


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
