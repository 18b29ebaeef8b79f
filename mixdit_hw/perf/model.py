"""A whole denoising step on a design: product after product, each paying its start and drain once per block."""

from collections.abc import Sequence
from dataclasses import dataclass

from golden.formats import BLOCK_SIZE

from ..params import Params
from ..workloads import Gemm
from .core import CAUSES
from .energy import Events, count_events
from .memory import Memory, MemoryCost, memory_cost

ROLES = ("fixed", "best")
PARTS = ("useful", "k_padding", "padding", *(f"wait_{cause}" for cause in CAUSES), "start")


@dataclass(frozen=True, kw_only=True)
class ProductCost:
    """What a step's products of one kind take.

    Parameters
    ----------
    gemm
        The products, roles as they were run.
    swapped
        Whether the operands' roles were exchanged.
    once
        Cost of a block's instances.
    params
        The design.
    """

    gemm: Gemm
    swapped: bool
    once: MemoryCost
    params: Params

    @property
    def cycles(self) -> int:
        """Clock cycles in a step."""
        return self.once.cycles * self.gemm.times

    @property
    def parts(self) -> dict[str, float]:
        """Where the cycles went; they add up to `cycles`.

        ``useful``: as many as the wanted multiplications take with every engine busy. ``k_padding``: the rest of whole
        K blocks, of outliers too, and zeros in place of outliers. ``padding``: rows and columns of tiles beyond M and
        N. ``wait_``: steps that waited for A, W, room for results, or the result chains. ``start``: skew, latency and
        the last results.
        """
        engines = self.params.rows * self.params.columns
        once = self.once
        useful = self.gemm.digit_macs / (BLOCK_SIZE * engines)
        needed = self.needed_passes / engines
        passes = once.core.passes * self.params.interleave * self.gemm.times
        return {
            "useful": useful,
            "k_padding": needed - useful,
            "padding": passes - needed,
            **{f"wait_{cause}": float(lost * self.gemm.times) for cause, lost in once.waits.items()},
            "start": float(once.start * self.gemm.times),
        }

    @property
    def needed_passes(self) -> int:
        """Digit passes of engines that the unpadded rows and columns need, over all K blocks."""
        return self.gemm.m * self.gemm.n * self.gemm.total_passes * self.gemm.instances

    @property
    def utilisation(self) -> float:
        """Needed digit passes over engines times cycles."""
        return self.needed_passes / (self.params.rows * self.params.columns * self.cycles)

    @property
    def useful(self) -> float:
        """Wanted multiplications, by their passes, over all that the engines could do."""
        return self.gemm.digit_macs / (self.params.macs_per_cycle * self.cycles)

    @property
    def bytes(self) -> dict[str, int]:
        """Bytes of A, W and C that a step moves to and from the memory."""
        moved = self.once.traffic
        return {name: getattr(moved, name) * self.gemm.instances for name in ("a", "w", "c")}

    @property
    def events(self) -> Events:
        """Events that cost energy."""
        return count_events(self.params, self.gemm, self.once.traffic)


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """A step's products, one kind after the other.

    Parameters
    ----------
    params
        The design.
    products
        Cost of each kind.
    """

    params: Params
    products: tuple[ProductCost, ...]

    @property
    def cycles(self) -> int:
        """Clock cycles of a step."""
        return sum(p.cycles for p in self.products)

    @property
    def utilisation(self) -> float:
        """Digit passes needed by unpadded rows and columns, over engines times cycles."""
        needed = sum(p.needed_passes for p in self.products)
        return needed / (self.params.rows * self.params.columns * self.cycles)

    @property
    def useful(self) -> float:
        """Wanted multiplications, by their passes, over all that the engines could do."""
        return sum(p.gemm.digit_macs for p in self.products) / (self.params.macs_per_cycle * self.cycles)

    @property
    def parts(self) -> dict[str, float]:
        """Cycles by where they went."""
        each = [p.parts for p in self.products]
        return {part: sum(parts[part] for parts in each) for part in PARTS}

    @property
    def events(self) -> Events:
        """Events of all products."""
        return sum((p.events for p in self.products), Events(macs={}))


def step_cost(params: Params, gemms: Sequence[Gemm], memory: Memory | None = None, *, roles: str = "fixed") -> StepCost:
    """Cost of a step.

    Parameters
    ----------
    params
        The design.
    gemms
        Products of the step.
    memory
        What the streams come from; by default one that never lets them wait.
    roles
        ``fixed``: A's rows are the tokens. ``best``: of each product the cheaper way round, as C or as its transpose.

    Raises
    ------
    ValueError
        Unknown roles, no products, or a format that the design has not.
    """
    if roles not in ROLES:
        raise ValueError(f"roles must be one of {', '.join(ROLES)}, not {roles!r}")
    if not gemms:
        raise ValueError("gemms must be at least one, not none")
    memory = Memory() if memory is None else memory
    for fmt in {f for gemm in gemms for s in gemm.segments for f in (s.a, s.w)}:
        if fmt not in params.formats:
            raise ValueError(f"formats must hold {fmt}, which the products need, not only {', '.join(params.formats)}")
    products = []
    for gemm in gemms:
        ways = (gemm,) if roles == "fixed" else (gemm, gemm.swapped())
        costs = [memory_cost(params, way, memory) for way in ways]
        best = min(range(len(ways)), key=lambda i: costs[i].cycles)
        products.append(ProductCost(gemm=ways[best], swapped=best > 0, once=costs[best], params=params))
    return StepCost(params=params, products=tuple(products))
