"""Drive, collect and check the streams of a unit under Amaranth's simulator.

A `Bench` compiles a design once; each `Bench.run` resets it and moves items through any number of streams::

    bench = Bench(dut)
    source = Source(dut.i, items, idle="random", seed=1)
    sink = Sink(dut.o, len(expected), backpressure="bursts", seed=2)
    bench.run(source, sink)
    assert sink.items == expected

Every run checks the rules of streams at each sink: a valid payload stays, and stays the same, until it is accepted;
nothing more arrives after the last expected item. `Source.cycles` and `Sink.cycles` hold the cycle of each
transfer, so latency and throughput are exact: see `latency` and `assert_full_rate`.

Patterns say when an end of a stream is willing: a string of ``0`` and ``1`` that repeats, or one of

======== ==============================================
always   every cycle
random   half of the cycles
mostly   seven of eight
rarely   one of eight
bursts   runs of 1 to 24 willing and unwilling cycles
late     sinks only: one cycle after valid is seen, so
         that a unit which waits for ready before it is
         valid hangs
======== ==============================================
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

from amaranth.hdl import Const, Elaboratable, Value

from tests.support.clocked import clocked_simulator

IDLES = ("always", "random", "mostly", "rarely", "bursts")
BACKPRESSURES = (*IDLES, "late")
CROSSED = [(idle, back) for idle in ("always", "random", "bursts") for back in ("always", "random", "bursts", "late")]
SURPLUS_CYCLES = 16  # cycles for which the sinks stay open after the last item, to catch what should not come


class StreamError(AssertionError):
    """A unit broke a rule of streams, hung, or gave more than was expected."""


def pattern(spec: str, seed: int = 0) -> Iterator[bool]:
    """Return the endless pattern of that name (or string of 0 and 1); equal seeds give equal patterns."""
    rng = random.Random(f"{spec}-{seed}")
    if spec and set(spec) <= {"0", "1"}:
        if "1" not in spec:
            raise ValueError(f"a pattern must hold a 1, not {spec!r}")
        yield from cycle(bit == "1" for bit in spec)
    chances = {"always": 8, "random": 4, "mostly": 7, "rarely": 1}
    if spec in chances:
        while True:
            yield rng.randrange(8) < chances[spec]
    if spec != "bursts":
        raise ValueError(f"a pattern must be one of {', '.join(BACKPRESSURES)} or of 0 and 1, not {spec!r}")
    while True:
        for willing in (True, False):
            for _ in range(rng.randrange(1, 25)):
                yield willing


def to_bits(shape: Any, value: Any) -> int:
    """Return the bits of a value: an integer as it is, anything else as `shape.const` takes it."""
    if isinstance(value, int):
        return value
    return Const.cast(Value.cast(shape.const(value))).value


@dataclass
class Source:
    """Feeds a stream.

    Parameters
    ----------
    stream
        The unit's input stream.
    items
        Payloads: integers (raw bits), or what the payload's layout takes as a constant.
    idle
        Pattern of the cycles in which an item is offered; one once offered stays until it is accepted.
    seed
        Of the pattern.

    Attributes
    ----------
    cycles
        Cycle in which each item was accepted, after a run.
    """

    stream: Any
    items: Sequence[Any]
    idle: str = "always"
    seed: int = 0
    cycles: list[int] = field(default_factory=list, init=False)

    def __str__(self) -> str:
        return f"{len(self.cycles)} of {len(self.items)} sent"


@dataclass
class Sink:
    """Collects a stream.

    Parameters
    ----------
    stream
        The unit's output stream.
    count
        Items to wait for.
    backpressure
        Pattern of the cycles in which the sink is ready.
    seed
        Of the pattern.

    Attributes
    ----------
    items
        Raw bits of the payloads received, after a run.
    cycles
        Cycle in which each was received.
    """

    stream: Any
    count: int
    backpressure: str = "always"
    seed: int = 0
    items: list[int] = field(default_factory=list, init=False)
    cycles: list[int] = field(default_factory=list, init=False)

    def payloads(self) -> list[Any]:
        """The items as constants of the payload's layout."""
        shape = self.stream.payload.shape()
        return [shape.from_bits(item) for item in self.items]

    def __str__(self) -> str:
        return f"{len(self.items)} of {self.count} received"


class _SourceState:
    """Offers the items of a source, one cycle at a time."""

    def __init__(self, end: Source) -> None:
        self.end = end
        self.payload = Value.cast(end.stream.payload)
        shape = end.stream.payload.shape()
        self.queue = [to_bits(shape, item) for item in end.items]
        self.willing = pattern(end.idle, end.seed)
        self.probes = (end.stream.valid, end.stream.ready)
        end.cycles.clear()

    @property
    def done(self) -> bool:
        return len(self.end.cycles) == len(self.queue)

    def drive(self, ctx: Any, valid: bool = False, ready: bool = False) -> None:
        if valid and not ready:
            return
        offer = not self.done and next(self.willing)
        ctx.set(self.end.stream.valid, offer)
        if offer:
            ctx.set(self.payload, self.queue[len(self.end.cycles)])

    def release(self, ctx: Any) -> None:
        ctx.set(self.end.stream.valid, 0)

    def clock(self, ctx: Any, now: int, valid: int, ready: int) -> None:
        if valid and ready:
            self.end.cycles.append(now)
        self.drive(ctx, bool(valid), bool(ready))


class _SinkState:
    """Receives the items of a sink, one cycle at a time, and checks the rules."""

    def __init__(self, end: Sink) -> None:
        self.end = end
        self.willing = None if end.backpressure == "late" else pattern(end.backpressure, end.seed)
        self.probes = (end.stream.valid, end.stream.ready, Value.cast(end.stream.payload))
        self.stalled: int | None = None
        end.items.clear()
        end.cycles.clear()

    @property
    def done(self) -> bool:
        return len(self.end.items) >= self.end.count

    def drive(self, ctx: Any, waiting: bool = False) -> None:
        ready = self.done or (waiting if self.willing is None else next(self.willing))
        ctx.set(self.end.stream.ready, ready)

    def release(self, ctx: Any) -> None:
        ctx.set(self.end.stream.ready, 0)

    def clock(self, ctx: Any, now: int, valid: int, ready: int, payload: int) -> None:
        if self.stalled is not None:
            if not valid:
                raise StreamError(f"cycle {now}: valid was withdrawn before ready")
            if payload != self.stalled:
                raise StreamError(f"cycle {now}: payload changed from {self.stalled:#x} to {payload:#x} before ready")
        self.stalled = payload if valid and not ready else None
        if valid and ready:
            if self.done:
                raise StreamError(f"cycle {now}: item {payload:#x} after the last of {self.end.count}")
            self.end.items.append(payload)
            self.end.cycles.append(now)
        self.drive(ctx, bool(valid and not ready))


class Bench:
    """A design under Amaranth's simulator, compiled once and run often; its clock domain is ``sync``.

    Parameters
    ----------
    dut
        The unit. Inputs that no source drives keep their reset values, or those of ``pins`` of `run`.
    """

    def __init__(self, dut: Elaboratable) -> None:
        self._simulator, self._reset = clocked_simulator(dut, self._process)
        self._ends: list[_SourceState | _SinkState] = []
        self._interrupted: list[_SourceState | _SinkState] = []
        self._after = 0
        self._pins: Sequence[tuple[Any, int]] = ()
        self._watch: Sequence[Any] = ()
        self._timeout = 0
        self._started = False
        self.cycles = 0  # of the last run, with SURPLUS_CYCLES at its end
        self.watched: list[tuple[int, ...]] = []  # values of the watched signals in each cycle of the last run

    def run(
        self,
        *ends: Source | Sink,
        pins: Sequence[tuple[Any, int]] = (),
        watch: Sequence[Any] = (),
        timeout: int | None = None,
        interrupted: Sequence[Source | Sink] = (),
        after: int = 0,
    ) -> None:
        """Start afresh and run until every item is moved.

        Parameters
        ----------
        ends
            Sources and sinks, each of another stream.
        pins
            Inputs beside the streams, each with the value that it keeps.
        watch
            Signals whose values are kept cycle by cycle in `watched`.
        timeout
            Cycles until the run fails; by default 200 and 40 for each item.
        interrupted, after
            Ends of an earlier job that is to be cut off, after so many cycles, by a reset of one cycle.

        Raises
        ------
        StreamError
            A rule of streams is broken, an item comes too many, or the time is over.
        """
        self._ends, self._interrupted = (
            [_SourceState(e) if isinstance(e, Source) else _SinkState(e) for e in group]
            for group in (ends, interrupted)
        )
        self._after = after
        self._pins = pins
        self._watch = watch
        count = sum(len(e.items) if isinstance(e, Source) else e.count for e in ends)
        self._timeout = 200 + 40 * count if timeout is None else timeout
        if self._started:
            self._simulator.reset()
        self._started = True
        self._simulator.run()

    async def _process(self, ctx: Any) -> None:
        with ctx.critical():
            for signal, value in self._pins:
                ctx.set(signal, value)
            if self._interrupted:
                await self._move(ctx, self._interrupted, self._after)
                ctx.set(self._reset, 1)
                await ctx.tick()
                ctx.set(self._reset, 0)
                for end in self._interrupted:
                    end.release(ctx)
            await self._move(ctx, self._ends)

    async def _move(self, ctx: Any, ends: Sequence["_SourceState | _SinkState"], limit: int | None = None) -> None:
        """Move items until all are moved, or for ``limit`` cycles."""
        for end in ends:
            end.drive(ctx)
        probes = [probe for end in ends for probe in end.probes]
        left = SURPLUS_CYCLES
        self.cycles = 0
        self.watched = []
        if limit == 0:
            return
        async for _, _, *values in ctx.tick().sample(*probes, *self._watch):
            stream = iter(values)
            for end in ends:
                end.clock(ctx, self.cycles, *islice(stream, len(end.probes)))
            self.watched.append(tuple(stream))
            self.cycles += 1
            left = left - 1 if all(end.done for end in ends) else SURPLUS_CYCLES
            if self.cycles > self._timeout:
                state = ", ".join(str(end.end) for end in ends)
                raise StreamError(f"no end after {self._timeout} cycles: {state}")
            if self.cycles == limit or (limit is None and not left):
                break


def latency(source: Source, sink: Sink) -> int:
    """Cycles from the first item in to the first item out."""
    return sink.cycles[0] - source.cycles[0]


def assert_full_rate(*ends: Source | Sink) -> None:
    """Assert that each end moved an item in every cycle from its first item to its last.

    Meaningful only after a run whose patterns are all ``always``.
    """
    for end in ends:
        gaps = [b for a, b in zip(end.cycles, end.cycles[1:], strict=False) if b != a + 1]
        if gaps:
            raise StreamError(f"{end}, but with {len(gaps)} gaps, the first before cycle {gaps[0]}")
