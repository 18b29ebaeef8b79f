"""Events that cost energy, counted; what each of them costs is a matter of technology and not said here."""

from dataclasses import dataclass

from golden.formats import BLOCK_SIZE, EXPONENT_BITS, PAIRS

from ..params import Params
from ..workloads import RESULT_BYTES, Gemm
from .memory import Traffic

_WORD_BITS = 8 * RESULT_BYTES


@dataclass(frozen=True, kw_only=True)
class Events:
    """Events of products; two of them add up.

    Parameters
    ----------
    macs
        Multiplications that are wanted, by pair of formats, A's first: ``9x6``.
    digit_products
        4-bit by 4-bit products that the lanes form, padding and zeros included.
    digit_passes
        Passes of single engines.
    accumulations
        FP32 additions: one for each K block of each output of a tile.
    a_written, a_read, w_written, w_read, c_written, c_read
        Bits into and out of the core's memories of A, W and results.
    memory_bytes
        Bytes to and from the memory behind the streams.
    """

    macs: dict[str, int]
    digit_products: int = 0
    digit_passes: int = 0
    accumulations: int = 0
    a_written: int = 0
    a_read: int = 0
    w_written: int = 0
    w_read: int = 0
    c_written: int = 0
    c_read: int = 0
    memory_bytes: int = 0

    def __add__(self, other: "Events") -> "Events":
        macs = {pair: self.macs.get(pair, 0) + other.macs.get(pair, 0) for pair in {**self.macs, **other.macs}}
        numbers = {name: getattr(self, name) + getattr(other, name) for name in _NUMBERS}
        return Events(macs=macs, **numbers)


_NUMBERS = tuple(name for name in Events.__dataclass_fields__ if name != "macs")


def container_bits(params: Params) -> int:
    """Bits of a block in the core's memories, whose container is that of the widest format."""
    return EXPONENT_BITS + PAIRS + BLOCK_SIZE * (params.magnitude_bits + 1)


def count_events(params: Params, gemm: Gemm, moved: Traffic) -> Events:
    """Events of all instances of a product in a step.

    Of each tile every block is written once and read for each of its passes: R*T of A per K block, C of W, which stand
    still in the engines for T cycles. All outputs of a tile are computed, those of its padding too.

    Parameters
    ----------
    params
        The design.
    gemm
        The product.
    moved
        What an instance moves to and from the memory.
    """
    tiles = gemm.instances * -(-gemm.m // params.tile_rows) * -(-gemm.n // params.columns)
    outputs = tiles * params.tile_rows * params.columns
    block = container_bits(params)
    macs: dict[str, int] = {}
    for segment, k in zip(gemm.segments, gemm.channels, strict=True):
        macs[segment.pair] = macs.get(segment.pair, 0) + gemm.instances * gemm.m * gemm.n * k
    return Events(
        macs={pair: n for pair, n in macs.items() if n},
        digit_products=outputs * gemm.total_passes * BLOCK_SIZE,
        digit_passes=outputs * gemm.total_passes,
        accumulations=outputs * gemm.blocks,
        a_written=tiles * gemm.blocks * params.tile_rows * block,
        a_read=tiles * gemm.total_passes * params.tile_rows * block,
        w_written=tiles * gemm.blocks * params.columns * block,
        w_read=tiles * gemm.total_passes * params.columns * block,
        c_written=outputs * _WORD_BITS,
        c_read=outputs * _WORD_BITS,
        memory_bytes=gemm.instances * moved.total,
    )
