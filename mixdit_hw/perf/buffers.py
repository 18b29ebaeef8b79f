"""What the accelerator's operand buffers do for a product: how often A and W are read, and whether that is hidden.

A slot of A's buffer holds a panel of R*T rows, one of W's a tile of C columns, of up to ``k_depth`` K blocks. Where
all K blocks fit, and outliers go in one pass, A is read once, and W once for each group of panels; otherwise each tile
reads its K blocks of both again, chunk by chunk, and where A has outliers that are to be kept apart, its rows from end
to end for each chunk. While the core is at one slot, the next is loaded: a block of A and one of W per cycle, as far as
the bus brings them.
"""

from dataclasses import dataclass

from golden.formats import get_format

from ..params import Params
from ..workloads import Gemm

BOUNDS = ("engines", "a", "w", "bus")


@dataclass(frozen=True, kw_only=True)
class Buffering:
    """How a product goes through the buffers.

    Parameters
    ----------
    chunked
        The K blocks do not fit a slot, or the outliers not into the outlier split.
    chunk
        Most K blocks of a slot.
    group
        Panels of A that share each tile of W.
    a_reads, w_reads
        How often A and W are read from memory.
    engines, a, w, bus
        Cycles that the digit passes take, the loading of A's and of W's blocks, and the bus for the operands: of the
        whole product, without start and end.
    """

    chunked: bool
    chunk: int
    group: int
    a_reads: int
    w_reads: int
    engines: int
    a: int
    w: int
    bus: int

    @property
    def bound(self) -> str:
        """What takes longest: ``engines`` where loading is hidden behind them, or else ``a``, ``w`` or ``bus``."""
        return max(BOUNDS, key=lambda name: getattr(self, name))

    @property
    def overlaps(self) -> bool:
        """Loading goes on behind computing, but for the first slots."""
        return self.bound == "engines"


def buffering(gemm: Gemm, params: Params, *, a_bytes: int | None = 4, w_bytes: int | None = None) -> Buffering:
    """One instance of a product.

    Parameters
    ----------
    gemm
        The product.
    params
        The design.
    a_bytes, w_bytes
        Of an element in memory: 4 for FP32, 2 for BF16, None for packed blocks of the segments' formats. The outliers
        of a packed A are in their places already.
    """
    p = params
    panels, tiles = -(-gemm.m // p.tile_rows), -(-gemm.n // p.columns)
    outliers = 0 if a_bytes is None else sum(s.k for s in gemm.segments) - gemm.k
    many = outliers > p.most_outliers
    chunked = many or gemm.blocks > p.k_depth
    chunk = p.outlier_chunk if many else min(gemm.blocks, p.k_depth)
    group = 1 if chunked else min(panels, p.a_slots if panels <= p.a_slots else p.a_slots - 1)
    a_reads, w_reads = (tiles, panels) if chunked else (1, -(-panels // group))
    if chunked and outliers:
        a_reads *= -(-gemm.blocks // chunk)
    beat = p.axi_width // 8
    read = a_reads * gemm.m * -(-_row_bytes(gemm, "a", a_bytes) // beat)
    read += w_reads * gemm.n * -(-_row_bytes(gemm, "w", w_bytes) // beat)
    return Buffering(
        chunked=chunked,
        chunk=chunk,
        group=group,
        a_reads=a_reads,
        w_reads=w_reads,
        engines=panels * tiles * p.interleave * gemm.total_passes,
        a=a_reads * gemm.m * gemm.blocks,
        w=w_reads * gemm.n * gemm.blocks,
        bus=read,
    )


def _row_bytes(gemm: Gemm, side: str, element: int | None) -> int:
    """Bytes of a row of A, or of a column of W."""
    if element is not None:
        return element * gemm.k
    return sum(s.blocks * get_format(getattr(s, side)).block_bytes for s in gemm.segments)
