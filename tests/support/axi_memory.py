"""A memory behind an AXI4 port, and the ends of streams, one cycle at a time.

`play` runs a unit under `tests.support.clocked` with any number of parts. A part says what it drives in the next cycle
(`inputs`), and is told what all its signals were at the end of it (`clock`)::

    memory = AxiMemory(128, Store(), seed=1, latency=(1, 20))
    play(Clocked(dut), {"axi": memory, "run": Feed(runs), "o": Drain(count)}, until=...)
"""

import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import wiring

from mixdit_hw.bus.fetch import Fetcher
from mixdit_hw.bus.layouts import ITEM_BYTES, RunLayout
from mixdit_hw.bus.read import ReadArbiter
from mixdit_hw.params import Params
from tests.support.axi_rules import AXI_PAYLOADS, AxiRules
from tests.support.clocked import Clocked
from tests.support.streams import StreamError, pattern, to_bits

PAGE_BYTES = 4096


class Store:
    """Bytes of a whole address space, random from the start."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._pages: dict[int, bytearray] = {}

    def _page(self, number: int) -> bytearray:
        if number not in self._pages:
            self._pages[number] = bytearray(random.Random(f"{self._seed}-{number}").randbytes(PAGE_BYTES))
        return self._pages[number]

    def read(self, address: int, count: int) -> bytes:
        """So many bytes from an address on."""
        found = bytearray()
        while len(found) < count:
            page, inner = divmod(address + len(found), PAGE_BYTES)
            found += self._page(page)[inner : inner + count - len(found)]
        return bytes(found)

    def write(self, address: int, values: bytes) -> None:
        """Put bytes to an address and those after it."""
        for n, value in enumerate(values):
            page, inner = divmod(address + n, PAGE_BYTES)
            self._page(page)[inner] = value

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Store)
        assert self._seed == other._seed
        return all(self._page(n) == other._page(n) for n in self._pages | other._pages)

    __hash__ = None  # type: ignore[assignment]


class Part(Protocol):
    """What `play` needs of a part."""

    names: tuple[str, ...]  # of what it samples

    def inputs(self) -> dict[str, int]: ...

    def clock(self, signals: Mapping[str, int]) -> None: ...


class AxiMemory:
    """A slave with one queue for each channel, which checks the rules of its port.

    Parameters
    ----------
    data_bits, address_bits
        Of the port.
    store
        Its contents.
    seed
        Of everything that is random.
    ready
        Pattern (`tests.support.streams.pattern`) of the cycles in which addresses and write data are taken.
    beats
        Pattern of the cycles in which read data come.
    latency
        Least and most cycles from an address, or from a burst's last data, to the first cycle of the answer; 1 is the
        cycle after it.
    errors
        Response of the bursts that begin in a page, by its number; OKAY for all others.
    order
        ``address``: write data are taken only when their address has been; ``data``: the other way round; ``""``.
    reads, writes
        Whether the port has these channels.

    Attributes
    ----------
    bursts
        Address and beats of each burst taken: reads and writes.
    beat_cycles
        Cycles in which a beat moved: reads and writes.
    """

    def __init__(
        self,
        data_bits: int,
        address_bits: int,
        store: Store,
        *,
        seed: int = 0,
        ready: str = "always",
        beats: str = "always",
        latency: tuple[int, int] = (1, 1),
        errors: Mapping[int, int] | None = None,
        order: str = "",
        reads: bool = True,
        writes: bool = True,
    ) -> None:
        self.rules = AxiRules(data_bits, address_bits)
        self.bursts: list[tuple[int, int]] = []
        self.beat_cycles: list[int] = []
        self._bytes = data_bits // 8
        self._store = store
        self._rng = random.Random(f"memory-{seed}")
        self._ready = {c: pattern(ready, 10 * seed + n) for n, c in enumerate(("ar", "aw", "w"))}
        self._beats = pattern(beats, 10 * seed + 5)
        self._latency = latency
        self._errors = errors or {}
        self._order = order
        self._channels = ("ar", "r") * reads + ("aw", "w", "b") * writes
        self._reads: deque[tuple[int, dict[str, int]]] = deque()  # earliest cycle, and the beat
        self._addresses: deque[tuple[int, int]] = deque()  # of writes, without all their data
        self._data: deque[tuple[bytes, int, int]] = deque()  # without address
        self._answers: deque[tuple[int, int]] = deque()  # earliest cycle, and the response
        self._offered = False  # a read beat
        self._taken = {"aw": 0, "w": 0}  # bursts
        masters = ("ar", "aw", "w")
        self.names = tuple(
            name
            for channel in self._channels
            for name in ((*AXI_PAYLOADS[channel], f"{channel}valid") if channel in masters else (f"{channel}ready",))
        )

    @property
    def idle(self) -> bool:
        """Nothing is to be answered."""
        return not (self._reads or self._addresses or self._data or self._answers)

    def inputs(self) -> dict[str, int]:
        now = self.rules.now + 1
        driven = {f"{c}ready": int(next(self._ready[c])) for c in ("ar", "aw", "w") if c in self._channels}
        if self._order == "address" and self._taken["aw"] <= self._taken["w"]:
            driven["wready"] = 0
        if self._order == "data" and self._taken["w"] <= self._taken["aw"]:
            driven["awready"] = 0
        if "r" in self._channels:
            willing = self._offered or next(self._beats)
            if self._reads and self._reads[0][0] <= now and willing:
                driven |= {"rvalid": 1, "rid": 0} | self._reads[0][1]
                self._offered = True
        if self._answers and self._answers[0][0] <= now:
            driven |= {"bvalid": 1, "bid": 0, "bresp": self._answers[0][1]}
        return driven

    def clock(self, signals: Mapping[str, int]) -> None:
        self.rules.cycle(signals)
        now = self.rules.now
        moves = {c for c in self._channels if signals.get(f"{c}valid", 0) and signals.get(f"{c}ready", 0)}
        if "r" in moves:
            self._reads.popleft()
            self._offered = False
        if "b" in moves:
            self._answers.popleft()
        if "ar" in moves:
            self._read(now, signals["araddr"], signals["arlen"] + 1)
        if "aw" in moves:
            self._addresses.append((signals["awaddr"] // self._bytes * self._bytes, signals["awlen"] + 1))
            self.bursts.append((signals["awaddr"], signals["awlen"] + 1))
            self._taken["aw"] += 1
        if "w" in moves:
            self._data.append((signals["wdata"].to_bytes(self._bytes, "little"), signals["wstrb"], signals["wlast"]))
            self._taken["w"] += signals["wlast"]
        if moves & {"r", "w"}:
            self.beat_cycles.append(now)
        self._write(now)

    def _read(self, now: int, address: int, beats: int) -> None:
        self.bursts.append((address, beats))
        start = now + self._rng.randint(*self._latency)
        aligned = address // self._bytes * self._bytes
        for n in range(beats):
            found = self._store.read(aligned + n * self._bytes, self._bytes)
            beat = {"rdata": int.from_bytes(found, "little"), "rlast": int(n == beats - 1)}
            self._reads.append((start, beat | {"rresp": self._errors.get(address // PAGE_BYTES, 0)}))

    def _write(self, now: int) -> None:
        while self._addresses and len(self._data) >= self._addresses[0][1]:
            address, beats = self._addresses.popleft()
            for n in range(beats):
                values, strobe, _ = self._data.popleft()
                for lane in range(self._bytes):
                    if strobe >> lane & 1:
                        self._store.write(address + n * self._bytes + lane, values[lane : lane + 1])
            start = now + self._rng.randint(*self._latency)
            self._answers.append((start, self._errors.get(address // PAGE_BYTES, 0)))


class Feed:
    """The source of a stream: payloads as raw bits, offered as a pattern says."""

    names = ("ready",)

    def __init__(self, items: list[int], idle: str = "always", seed: int = 0) -> None:
        self._items: Iterator[int] = iter(items)
        self._willing = pattern(idle, seed)
        self._offer: int | None = None
        self.left = len(items)

    def inputs(self) -> dict[str, int]:
        if self._offer is None and next(self._willing):
            self._offer = next(self._items, None)
        return {} if self._offer is None else {"valid": 1, "payload": self._offer}

    def clock(self, signals: Mapping[str, int]) -> None:
        if self._offer is not None and signals["ready"]:
            self._offer = None
            self.left -= 1


class Drain:
    """The sink of a stream: keeps what comes, and in which cycle, and sees that an item stays until it is taken."""

    names = ("valid", "payload")

    def __init__(self, backpressure: str = "always", seed: int = 0) -> None:
        self._pattern = pattern(backpressure, seed)
        self._stalled: int | None = None
        self._now = -1
        self._ready = 0
        self.items: list[int] = []
        self.cycles: list[int] = []

    def willing(self) -> bool:
        """Whether an item is taken in the next cycle."""
        return next(self._pattern)

    def inputs(self) -> dict[str, int]:
        self._ready = int(self.willing())
        return {"ready": self._ready}

    def clock(self, signals: Mapping[str, int]) -> None:
        self._now += 1
        valid, payload = signals["valid"], signals["payload"]
        if self._stalled is not None and (not valid or payload != self._stalled):
            raise StreamError(f"cycle {self._now}: an item was withdrawn or changed before ready")
        self._stalled = payload if valid and not self._ready else None
        if valid and self._ready:
            self.items.append(payload)
            self.cycles.append(self._now)


def play(
    bench: Clocked,
    parts: Mapping[str, Any],
    *,
    until: Callable[[], bool],
    pins: Callable[[int], Mapping[str, int]] = lambda now: {},
    watch: tuple[str, ...] = (),
    timeout: int = 20000,
    surplus: int = 20,
) -> dict[str, list[int]]:
    """Run a unit with parts until a condition holds, and some cycles longer.

    Parameters
    ----------
    bench
        The unit.
    parts
        By the member of the unit that each is connected to: signal ``valid`` of part ``run`` is ``run.valid``.
    until
        The condition.
    pins
        Other inputs, for each cycle.
    watch
        Other outputs to sample.
    timeout
        Cycles until the run fails.
    surplus
        Cycles after the condition holds.

    Returns
    -------
    What has been sampled, as `Clocked.run` gives it.
    """
    names = [f"{member}.{name}" for member, part in parts.items() for name in part.names]

    def rows() -> Iterator[dict[str, int]]:
        left = surplus
        for now in range(timeout):
            inputs = {member: part.inputs() for member, part in parts.items()}
            row = {f"{member}.{name}": value for member, part in inputs.items() for name, value in part.items()}
            yield row | dict(pins(now))
            for member, part in parts.items():
                part.clock(inputs[member] | {name: bench.outputs[f"{member}.{name}"][-1] for name in part.names})
            left = left - 1 if until() else surplus
            if not left:
                return
        raise StreamError(f"no end after {timeout} cycles")

    return bench.run(rows(), [*names, *watch])


class Reader(Elaboratable):
    """Fetchers behind an arbiter: ``run_0``, ``o_0``, ``ar_0``, ``r_valid_0`` and so on, and the port ``axi``."""

    def __init__(self, params: Params, clients: int = 1) -> None:
        self.arbiter = ReadArbiter(params, clients)
        self.axi, self.idle = self.arbiter.axi, self.arbiter.idle
        self.halt = Signal()
        self.fetchers = [Fetcher(params) for _ in range(clients)]
        for n, fetcher in enumerate(self.fetchers):
            setattr(self, f"run_{n}", fetcher.run)
            setattr(self, f"o_{n}", fetcher.o)
            setattr(self, f"ar_{n}", fetcher.ar)
            setattr(self, f"r_valid_{n}", fetcher.r_valid)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.arbiter = self.arbiter
        m.d.comb += self.arbiter.halt.eq(self.halt)
        for n, fetcher in enumerate(self.fetchers):
            m.submodules[f"fetcher_{n}"] = fetcher
            wiring.connect(m, fetcher.ar, self.arbiter.ar[n])
            m.d.comb += [
                fetcher.halt.eq(self.halt),
                fetcher.r_valid.eq(self.arbiter.r_valid[n]),
                fetcher.r_data.eq(self.arbiter.r_data),
            ]
        return m


@dataclass(frozen=True)
class Run:
    """A run of bytes to read."""

    address: int
    bytes: int
    item: int

    def bits(self, params: Params) -> int:
        return to_bits(RunLayout(params), {"address": self.address, "bytes": self.bytes, "item": self.item})

    def items(self, store: Store) -> list[int]:
        """What must come of it, as the bits of `mixdit_hw.bus.layouts.ItemLayout`."""
        found = store.read(self.address, self.bytes)
        starts = range(0, self.bytes, self.item)
        return [
            int.from_bytes(found[n : n + self.item], "little") | int(n == starts[-1]) << 8 * ITEM_BYTES for n in starts
        ]

    def bursts(self, data_bits: int, most: int) -> list[tuple[int, int]]:
        """Addresses and beats of its bursts, each of which ends at a multiple of the most beats or with the run."""
        size = data_bits // 8
        beat, end = self.address // size, -(-(self.address + self.bytes) // size)
        found = []
        while beat < end:
            beats = min(most - beat % most, end - beat)
            found.append((beat * size, beats))
            beat += beats
        return found
