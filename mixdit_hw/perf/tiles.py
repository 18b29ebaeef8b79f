"""Shapes of arrays and ways to lay attention's products onto them: what each loses.

Heads of 72 channels fit badly: QK^T has K = 72, 4.5 blocks of 16, and A V has N = 72 columns. A choice has a shape (one
array or several smaller ones side by side, each working on instances of its own) and, for each product, a way:

- ``plain``: C = A W, tokens along the rows of the array;
- ``swapped``: the transpose of C, with the operands' roles exchanged;
- ``N x h``: h heads side by side in N, their W on the diagonal of an otherwise empty matrix, K h times as long;
- ``K x h``: h heads one after the other in K and in M, each with zeros at the others' places.

Blocks of other heads add products with zero, which are +0. QK^T is packed without padding between heads, the most
favourable case: blocks where two heads meet share an exponent then, so that results differ in their last bits.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

from golden.formats import BLOCK_SIZE

from ..mixes import Segment
from ..params import Params
from ..workloads import Gemm
from .arrays import array
from .memory import Memory, memory_cost

PACKED = (2, 3, 4)  # heads in one product
_LARGEST = 128
_MANY = 720  # instances; a multiple of every number of packed heads
_MEMORY = Memory()


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Arrays of rows x columns engines, ``cores`` of them, with T outputs an engine."""

    rows: int
    columns: int
    cores: int = 1
    interleave: int = 4

    @property
    def engines(self) -> int:
        """Engines of all arrays."""
        return self.rows * self.columns * self.cores

    @property
    def params(self) -> Params:
        """One of the arrays, with queues and result port for full speed."""
        return _params(self.rows, self.columns, self.interleave)

    @property
    def operand_blocks(self) -> float:
        """Blocks per cycle that feed all arrays: R of A each cycle and C of W each step."""
        return self.cores * (self.rows + self.columns / self.interleave)

    @property
    def result_words(self) -> int:
        """FP32 words per cycle of all result ports."""
        return self.cores * self.params.drain * self.columns

    def __str__(self) -> str:
        cores = f"{self.cores} x " if self.cores > 1 else ""
        interleave = f", T = {self.interleave}" if self.interleave != 4 else ""
        return f"{cores}{self.rows} x {self.columns}{interleave}"


@cache
def _params(rows: int, columns: int, interleave: int) -> Params:
    return array(rows, columns, interleave)


def ways(gemm: Gemm) -> dict[str, Gemm]:
    """All ways to lay a product's instances onto an array; linear layers have the first two only."""
    found = {"plain": gemm, "swapped": gemm.swapped()}
    if gemm.layer not in ("qk", "av"):
        return found
    for heads in PACKED:
        (segment,) = gemm.segments
        whole = segment.k if gemm.layer == "qk" else BLOCK_SIZE * segment.blocks
        long = Segment(a=segment.a, w=segment.w, k=heads * whole)
        packed = replace(gemm, k=long.k, segments=(long,), count=-(-gemm.count // heads))
        found[f"N x {heads}"] = replace(packed, n=heads * gemm.n)
        found[f"K x {heads}"] = replace(packed, m=heads * gemm.m)
    return found


def shares(gemm: Gemm, cores: int) -> Iterator[Gemm]:
    """What one of several arrays does of a product: whole instances, or parts of M or of N where there are too few."""
    if gemm.count >= cores:
        yield replace(gemm, count=-(-gemm.count // cores))
        return
    parts = -(-cores // gemm.count)
    yield replace(gemm, count=1, m=-(-gemm.m // parts))
    yield replace(gemm, count=1, n=-(-gemm.n // parts))


def shape_cycles(shape: Shape, gemm: Gemm) -> int:
    """Cycles of a step's products of one kind, laid out as told, on all arrays."""
    costs = (memory_cost(shape.params, share, _MEMORY).cycles for share in shares(gemm, shape.cores))
    return min(costs) * gemm.times


def loss(shape: Shape, gemms: Sequence[Gemm], allowed: Sequence[str] = ("plain", "swapped")) -> float:
    """Share of all engines' cycles in which they do none of the wanted multiplications.

    Parameters
    ----------
    shape
        The arrays.
    gemms
        The products.
    allowed
        Ways that may be taken; the cheapest of them is, for each product.
    """
    cycles = 0
    for gemm in gemms:
        cycles += min(shape_cycles(shape, way) for name, way in ways(gemm).items() if name in allowed)
    return 1 - sum(gemm.digit_macs for gemm in gemms) / (BLOCK_SIZE * shape.engines * cycles)


def steady_loss(shape: Shape, gemm: Gemm, way: str) -> float:
    """As `loss` for one way, with so many instances that neither start nor an uneven split between arrays counts."""
    many = replace(ways(replace(gemm, count=_MANY))[way], times=1)
    cost = memory_cost(shape.params, many, _MEMORY)
    wanted = gemm.digit_macs // gemm.instances * _MANY
    return 1 - wanted / (shape.params.macs_per_cycle * (cost.cycles - cost.start))


def enumerate_shapes(
    engines: int, *, cores: Iterable[int] = (1, 2, 4, 8), interleave: Iterable[int] = (4,), least: float = 0.98
) -> Iterator[Shape]:
    """All shapes of at most so many engines and at least that share of them, none with fewer than 4 rows or columns."""
    for number in cores:
        for rows in range(4, _LARGEST + 1):
            columns = min(_LARGEST, engines // (number * rows))
            if columns >= 4 and number * rows * columns >= least * engines:
                for t in interleave:
                    yield Shape(rows=rows, columns=columns, cores=number, interleave=t)


def best_shapes(
    engines: int,
    gemms: Sequence[Gemm],
    *,
    number: int = 3,
    words: int | None = None,
    cores: Iterable[int] = (1, 2, 4, 8),
    interleave: Iterable[int] = (4,),
) -> list[Shape]:
    """The shapes of `enumerate_shapes` that lose least, those with fewer operand blocks per cycle first among equals.

    A shape's loss includes the engines it has fewer than ``engines``.

    Parameters
    ----------
    engines
        At most so many.
    gemms
        The products.
    number
        How many shapes are wanted.
    words
        Most result words per cycle, of all arrays; by default engines/4, what 64 x 64 engines need for tiles of 5 K
        blocks.
    cores, interleave
        Numbers of arrays and values of T that are tried.
    """

    def rank(shape: Shape) -> tuple[float, float]:
        kept = (1 - loss(shape, gemms)) * shape.engines / engines
        return -round(kept, 4), shape.operand_blocks

    most = engines // 4 if words is None else words
    shapes = enumerate_shapes(engines, cores=cores, interleave=tuple(interleave))
    return sorted((shape for shape in shapes if shape.result_words <= most), key=rank)[:number]
