"""Streams that deliver or take beats slowly, and a memory of limited bandwidth behind them.

Streams: A brings T beats per K block of each tile, W one; C takes R*T/drain beats per tile. A stream of interval x
moves a beat every x cycles at most; `streams.py` says what that costs.

Memory: behind the streams lies a buffer that holds panels of one operand (whole tiles of rows of A, or of columns of W)
while the other one is read once for each group of panels; the cheaper order is taken. All of A, W and C pass through
the memory, which moves so many bytes per cycle; a product starts a latency after its first request.
"""

import math
from dataclasses import dataclass, fields

from ..params import Params
from ..workloads import RESULT_BYTES, Gemm
from .core import CAUSES, CoreCost, core_cost
from .streams import stream_cost

DEFAULT_BUFFER = 2 << 20
_UNNOTICED = 0.01  # share of all steps that may wait and still not bound a product


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What the streams of a core come from and go to.

    Parameters
    ----------
    bandwidth
        Bytes per cycle for all streams together; infinite for no limit.
    latency
        Cycles from a request to its first byte.
    buffer
        Bytes of the operand buffer between memory and streams.
    a, w, c
        Cycles per beat of each stream, at least 1.

    Raises
    ------
    ValueError
        A number is out of range.
    """

    bandwidth: float = math.inf
    latency: int = 0
    buffer: int = DEFAULT_BUFFER
    a: float = 1.0
    w: float = 1.0
    c: float = 1.0

    def __post_init__(self) -> None:
        if not (1e-6 <= self.bandwidth <= 1e12 or self.bandwidth == math.inf):
            raise ValueError(f"bandwidth must be 1e-6 to 1e12 bytes per cycle, or inf, not {self.bandwidth!r}")
        for name in ("latency", "buffer"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 50:
                raise ValueError(f"{name} must be an integer from 0 to 2^50 - 1, not {value!r}")
        for name in ("a", "w", "c"):
            if not 1 <= getattr(self, name) <= 1e6:
                raise ValueError(f"{name} must be 1 to 1000000 cycles per beat, not {getattr(self, name)!r}")

    @classmethod
    def parse(cls, text: str) -> "Memory":
        """Read ``bandwidth=64,latency=200``, any of the fields; ValueError for another text."""
        known = {f.name: f.type for f in fields(cls)}
        values: dict[str, float | int] = {}
        for item in text.split(","):
            key, equals, value = item.partition("=")
            if key not in known or not equals:
                raise ValueError(f"must be {'=, '.join(known)}= with numbers, separated by commas, not {item!r}")
            if key in values:
                raise ValueError(f"{key} must be given once, not twice")
            try:
                values[key] = int(value) if known[key] is int else float(value)
            except ValueError:
                kind = "an integer" if known[key] is int else "a number"
                raise ValueError(f"{key} must be {kind}, not {value!r}") from None
        return cls(**values)  # pyright: ignore[reportArgumentType] (checked above)


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Bytes that one instance of a product moves.

    Parameters
    ----------
    order
        What the buffer holds: ``a`` (panels of A; W is read for each group), ``w``, or ``none`` (both are read for each
        tile).
    a, w, c
        Bytes of each operand and of the result, repeated readings included.
    """

    order: str
    a: int
    w: int
    c: int

    @property
    def total(self) -> int:
        """All bytes."""
        return self.a + self.w + self.c


@dataclass(frozen=True, kw_only=True)
class MemoryCost:
    """Cycles of instances back to back, and where they went.

    Parameters
    ----------
    cycles
        Of all, as the core's counter counts them (from the decision for the first digit pass to the last result beat,
        both included), and the memory's latency.
    core
        What it would be with an ideal memory.
    waits
        Cycles lost, by cause: ``a``, ``w``, ``result`` and ``drain``.
    start
        Cycles before the first and after the last step: latency, skew and results that are left.
    traffic
        Bytes of one instance.
    bound
        What steps wait for longest, or ``memory`` for its bandwidth; ``engines`` if that is less than 1 % of them;
        ``start`` if more than half of the cycles are before the first or after the last step.
    """

    cycles: int
    core: CoreCost
    waits: dict[str, int]
    start: int
    traffic: Traffic
    bound: str


def traffic(params: Params, gemm: Gemm, buffer: int) -> Traffic:
    """Bytes that an instance moves with the best use of a buffer.

    A held panel shares the buffer with the one that is loaded next, unless all of its operand fits.
    """
    m_tiles, n_tiles = -(-gemm.m // params.tile_rows), -(-gemm.n // params.columns)
    a_panel, w_panel = -(-gemm.a_bytes // m_tiles), -(-gemm.w_bytes // n_tiles)
    choices = [("none", gemm.a_bytes * n_tiles, gemm.w_bytes * m_tiles)]
    if groups := _groups(gemm.a_bytes, a_panel, m_tiles, buffer):
        choices.append(("a", gemm.a_bytes, gemm.w_bytes * groups))
    if groups := _groups(gemm.w_bytes, w_panel, n_tiles, buffer):
        choices.append(("w", gemm.a_bytes * groups, gemm.w_bytes))
    order, a, w = min(choices, key=lambda choice: choice[1] + choice[2])
    return Traffic(order=order, a=a, w=w, c=gemm.m * gemm.n * RESULT_BYTES)


def memory_cost(params: Params, gemm: Gemm, memory: Memory) -> MemoryCost:
    """Cost of a product's instances back to back (``gemm.count``, once).

    Parameters
    ----------
    params
        The design.
    gemm
        The product.
    memory
        Where its operands come from and its results go.
    """
    core = core_cost(params, m=gemm.m, n=gemm.n, passes=gemm.passes, instances=gemm.count)
    array = core.passes * params.interleave
    if (memory.a, memory.w, memory.c) == (1, 1, 1):
        waits = {cause: getattr(core, f"wait_{cause}") * params.interleave for cause in CAUSES}
        start = core.cycles - array - sum(waits.values())
    else:
        tiles = core.passes // gemm.total_passes
        cost = stream_cost(params, gemm.passes, tiles, a=memory.a, w=memory.w, c=memory.c)
        waits, start = dict(cost.waits), cost.start
    busy = array + sum(waits.values())
    longest = max(waits, key=lambda cause: waits[cause])
    limit = longest if waits[longest] > _UNNOTICED * busy else "engines"

    moved = traffic(params, gemm, memory.buffer)
    memory_cycles = math.ceil(gemm.count * moved.total / memory.bandwidth)
    if memory_cycles > busy:
        waits = _share(waits, memory_cycles - busy, moved)
        busy, limit = memory_cycles, "memory"
    start += memory.latency
    limit = "start" if start > busy else limit
    return MemoryCost(cycles=busy + start, core=core, waits=waits, start=start, traffic=moved, bound=limit)


def _groups(whole: int, panel: int, panels: int, buffer: int) -> int:
    """Groups of panels that the buffer holds one after the other; 0 where it cannot hold a panel and load the next."""
    if whole <= buffer:
        return 1
    held = min(panels, buffer // (2 * panel))
    return -(-panels // held) if held else 0


def _share(waits: dict[str, int], lost: int, moved: Traffic) -> dict[str, int]:
    """Waits with cycles lost to the memory's bandwidth added, shared by the bytes of A, W and C."""
    a = lost * moved.a // moved.total
    w = lost * moved.w // moved.total
    return waits | {"a": waits["a"] + a, "w": waits["w"] + w, "result": waits["result"] + lost - a - w}
