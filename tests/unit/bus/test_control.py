"""Jobs one after the other, with a model of the reader and of the other units around the control."""

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from mixdit_hw.bus.control import JobControl
from mixdit_hw.bus.layouts import ITEM_BYTES, ItemLayout, JobLayout, RunLayout
from mixdit_hw.job import DESCRIPTOR_BYTES, Data, Fault, Job, Segment, blocks_of, raw_fields
from mixdit_hw.presets import PRESETS
from mixdit_hw.sim.memory import Memory
from tests.support.clocked import Clocked
from tests.support.streams import to_bits

PARAMS = PRESETS["tiny"]
TOP = 1 << PARAMS.address_bits
OUTPUTS = (
    *("busy", "halted", "waiting", "ended", "failed", "job_interrupt", "empty", "dropped", "fault", "tag"),
    *("run.valid", "run.payload", "item.ready", "mask_write", "mask_address", "mask_data", "job", "start", "running"),
    *("active", "halt", "reset"),
)
BENCH = Clocked(JobControl(PARAMS))
WHOLE = (0, TOP - 1)
OK, SLVERR, DECERR = 0, 2, 3
READ_FAULTS = {SLVERR: Fault.READ_SLAVE, DECERR: Fault.READ_DECODE}
WRITE_FAULTS = {SLVERR: Fault.WRITE_SLAVE, DECERR: Fault.WRITE_DECODE}
PAUSE = 3000  # cycles without anything that end a run

Pulses = dict[str, int]
Host = Callable[["World"], Iterator[Pulses]]


@dataclass
class World:
    """All around the control, cycle by cycle: the host, memory with its reader, and the units that do the jobs.

    Parameters
    ----------
    memory
        With descriptors and masks.
    seed
        Of all latencies.
    work
        Cycles from ``start`` to ``done``.
    flush
        Cycles from ``done`` until the last write has been answered.
    lag
        Cycles that what is on the bus needs to come back.
    fail_reads, fail_writes
        Answers to the reads, by address, and to the writes, by the number of the job that runs, that fail.
    window
        First and last address that jobs may touch.
    """

    memory: Memory
    seed: int = 1
    work: int = 20
    flush: int = 10
    lag: int = 6
    fail_reads: dict[int, int] = field(default_factory=dict)
    fail_writes: dict[int, int] = field(default_factory=dict)
    window: tuple[int, int] = WHOLE
    now: int = 0
    log: list[tuple[str, int, int]] = field(default_factory=list)  # what happened, cycle, fault or number
    masks: list[dict[int, int]] = field(default_factory=list)  # of each job that started
    jobs: list[int] = field(default_factory=list)
    runs: list[int] = field(default_factory=list)  # addresses
    halting: bool = False

    def run(self, host: Host) -> None:
        """Run until the host has ended and all is at rest."""
        rng = random.Random(self.seed)
        items: deque[tuple[int, int]] = deque()  # (cycle from which on it is offered, payload)
        busy_until, write_until, done_at = 0, 0, -1
        read_error = write_error = OK
        error_at: list[tuple[int, str, int]] = []
        mask: dict[int, int] = {}
        offered = False
        orders = host(self)
        quiet = 0

        def stimulus():
            nonlocal busy_until, write_until, done_at, read_error, write_error, offered, quiet, mask
            row: Pulses = {}
            ended = False
            while quiet < 60 or not ended:
                pulses: Pulses = {}
                if not ended:
                    try:
                        pulses = next(orders)
                    except StopIteration:
                        ended = True
                for at, side, code in [e for e in error_at if e[0] == self.now]:
                    read_error, write_error = (
                        (read_error or code, write_error) if side == "read" else (read_error, write_error or code)
                    )
                    error_at.remove((at, side, code))
                offered = offered or bool(items and items[0][0] <= self.now and rng.random() < 0.6)
                read_idle, write_idle = self.now >= busy_until, self.now >= write_until
                row = pulses | {
                    "base": self.window[0],
                    "last": self.window[1],
                    "run.ready": int(rng.random() < 0.5),
                    "item.valid": int(offered),
                    "item.payload": items[0][1] if offered else 0,
                    "done": int(self.now == done_at),
                    "read_idle": int(read_idle),
                    "write_idle": int(write_idle),
                    "read_error": read_error,
                    "write_error": write_error,
                }
                yield row
                out = {name: values[-1] for name, values in BENCH.outputs.items()}
                self._note(out, mask)
                if out["ended"]:
                    assert read_idle, "the end while a read is under way"
                    assert write_idle, "the end while a write is under way"
                if out["reset"]:
                    assert out["halt"], "reset only under halt"
                    assert read_idle, "reset while a read is under way"
                    assert write_idle, "reset while a write is under way"
                    assert not error_at
                    items.clear()
                    offered, done_at, mask = False, -1, {}
                    read_error = write_error = OK
                if row["run.ready"] and out["run.valid"]:
                    assert not out["running"]
                    run = RunLayout(PARAMS).from_bits(out["run.payload"])
                    self.runs.append(run["address"])
                    self._read(run["address"], run["bytes"], run["item"], items, rng)
                    if not out["halt"]:
                        busy_until = self.now + self.lag
                    for address, code in self.fail_reads.items():
                        if run["address"] <= address < run["address"] + run["bytes"]:
                            error_at.append((self.now + self.lag, "read", code))
                if offered and out["item.ready"]:
                    items.popleft()
                    offered = False
                if out["start"]:
                    done_at = self.now + self.work
                    write_until = done_at + self.flush
                    busy_until = done_at + rng.randrange(2 * self.flush + 1)
                    code = self.fail_writes.get(len(self.jobs) - 1)
                    if code is not None:  # told at the latest with the last answer
                        at = self.now + 1 + rng.randrange(self.work + self.flush)
                        error_at.append((at, "write", code))
                    mask = {}
                if out["halt"] and not out["reset"]:  # what is on its way comes back, and nothing new begins
                    if not self.halting:
                        busy_until = min(busy_until, self.now + self.lag)
                        write_until = min(write_until, self.now + self.lag + 3)
                        done_at = -1
                        for i, (at, side, code) in enumerate(error_at):
                            error_at[i] = min(at, min(busy_until, write_until) - 1), side, code
                        error_at[:] = [e for e in error_at if e[0] > self.now]
                    self.halting = True
                else:
                    self.halting = False
                quiet = 0 if out["active"] or pulses else quiet + 1
                self.now += 1
                assert self.now < 100_000

        BENCH.run(stimulus(), OUTPUTS)

    def _read(self, address: int, count: int, item: int, items: deque[tuple[int, int]], rng: random.Random) -> None:
        data = self.memory.read_memory(address, count)
        due = self.now + self.lag + rng.randrange(4)
        for first in range(0, count, item):
            part = int.from_bytes(data[first : first + item], "little")
            items.append((due, to_bits(ItemLayout(), {"data": part, "last": first + item >= count})))

    def _note(self, out: dict[str, int], mask: dict[int, int]) -> None:
        """Write down what happened in this cycle."""
        if out["mask_write"]:
            mask[out["mask_address"]] = out["mask_data"]
        if out["start"]:
            self.masks.append(dict(mask))
            self.jobs.append(out["job"])
        for name in ("start", "dropped", "job_interrupt", "empty"):
            if out[name]:
                self.log.append((name, self.now, 0))
        assert out["ended"] + out["failed"] <= 1
        if out["ended"]:
            self.log.append(("ended", self.now, out["tag"]))
            assert out["fault"] == 0
        if out["failed"]:
            self.log.append((f"failed {Fault(out['fault']).name}", self.now, out["tag"]))
        assert not (out["running"] and not out["active"])
        assert not (out["active"] and not out["busy"])
        if out["reset"]:
            self.log.append(("reset", self.now, 0))

    def events(self, *names: str) -> list[tuple[str, int]]:
        """Those events, without their cycles."""
        return [(name, value) for name, _, value in self.log if name.split()[0] in names]


def out(name: str) -> int:
    """An output, in the cycle before."""
    values = BENCH.outputs[name]
    return values[-1] if values else 0


def ring(address: int) -> Pulses:
    return {"doorbell": 1, "address": address}


def until(name: str, value: int = 1) -> Iterator[Pulses]:
    """Do nothing until an output has a value."""
    for _ in range(PAUSE):
        yield {}
        if out(name) == value:
            return
    raise AssertionError(f"{name} does not become {value}")


def until_idle() -> Iterator[Pulses]:
    yield from until("busy", 0)


def a_job(**changes) -> Job:
    """A legal job."""
    known = {name: 4096 for name in ("a_address", "w_address", "c_address")}
    known |= {"m": 3, "n": 2, "k": 32, "a_stride": 128, "w_stride": 64, "c_stride": 8}
    return Job(**{**known, "segments": (Segment(blocks=2),), "w_columns": True, "interrupt": False} | changes)


def a_memory(jobs: Sequence[Job | bytes], masks: dict[int, bytes] | None = None) -> tuple[Memory, list[int]]:
    """Descriptors, and their addresses, which are multiples of 4 and no more."""
    memory = Memory(random.Random(5).randbytes(1 << 15))
    addresses = [4 + 132 * i for i in range(len(jobs))]
    for address, job in zip(addresses, jobs, strict=True):
        memory.write_memory(address, job if isinstance(job, bytes) else job.pack())
    for address, data in (masks or {}).items():
        memory.write_memory(address, data)
    return memory, addresses


def test_jobs_in_order() -> None:
    """Several jobs, rung at any time while there is room: each is done, in order, with its own fields and tag."""
    rng = random.Random(1)
    jobs = [a_job(m=1 + i, tag=100 + i, interrupt=bool(i % 3)) for i in range(12)]
    memory, addresses = a_memory(jobs)
    world = World(memory)

    def host(world: World) -> Iterator[Pulses]:
        for address in addresses:
            for _ in range(rng.choice((0, 1, 100, 300))):
                yield {}
            while out("waiting") >= PARAMS.queue_depth - 1:
                yield {}
            yield ring(address)
        yield from until_idle()

    world.run(host)
    assert world.events("ended", "failed", "dropped") == [("ended", 100 + i) for i in range(12)]
    assert world.runs == addresses
    layout = JobLayout(PARAMS)
    assert [layout.from_bits(bits)["m"] for bits in world.jobs] == [1 + i for i in range(12)]
    names = [name for name, _ in world.events("ended", "job_interrupt")]
    wanted = [name for i in range(12) for name in (["job_interrupt", "ended"] if i % 3 else ["ended"])]
    assert sorted(names) == sorted(wanted)
    assert world.events("empty")
    assert not world.events("reset"), "nothing is reset between good jobs"
    assert world.log[-1][0] in ("ended", "empty")


@pytest.mark.parametrize("interrupt", [False, True])
def test_interrupts_come_with_the_end(interrupt: bool) -> None:
    memory, addresses = a_memory([a_job(interrupt=interrupt, tag=7)] * 3)
    world = World(memory)

    def host(world: World) -> Iterator[Pulses]:
        for address in addresses:
            yield ring(address)
        yield from until_idle()

    world.run(host)
    cycles = {name: [c for n, c, _ in world.log if n == name] for name in ("ended", "job_interrupt", "empty")}
    assert len(cycles["ended"]) == 3
    assert cycles["job_interrupt"] == (cycles["ended"] if interrupt else [])
    assert cycles["empty"] == cycles["ended"][-1:], "only the last one leaves nothing behind"


def test_full_queue() -> None:
    """What finds the queue full is dropped and told; those in it are done."""
    depth = PARAMS.queue_depth
    memory, addresses = a_memory([a_job(tag=i) for i in range(depth + 6)])
    world = World(memory, work=400)

    def host(world: World) -> Iterator[Pulses]:
        yield ring(addresses[0])
        yield from until("start")
        for i, address in enumerate(addresses[1:], 1):
            yield ring(address)
            assert out("dropped") == (i > depth)
            yield {}
            assert out("waiting") == min(i, depth)
        yield from until_idle()

    world.run(host)
    assert world.events("ended") == [("ended", i) for i in range(depth + 1)]
    assert len(world.events("dropped")) == 5


def test_doorbell_while_a_job_is_taken() -> None:
    """In every cycle around the one in which a job leaves the queue."""
    for wait in range(12):
        memory, addresses = a_memory([a_job(tag=i) for i in range(5)])
        world = World(memory, seed=3)

        def host(world: World, wait: int = wait, addresses: list[int] = addresses) -> Iterator[Pulses]:
            for address in addresses[:4]:
                yield ring(address)
            yield from until("ended")
            for _ in range(wait):
                yield {}
            yield ring(addresses[4])
            yield from until_idle()

        world.run(host)
        assert world.events("ended", "dropped") == [("ended", i) for i in range(5)]


@pytest.mark.parametrize("wait", [0, 1, 2, 3, 5, 40, 90, 200])
def test_flush(wait: int) -> None:
    """The jobs that wait are forgotten; the one at work is done."""
    memory, addresses = a_memory([a_job(tag=i) for i in range(5)])
    world = World(memory)

    def host(world: World) -> Iterator[Pulses]:
        for address in addresses[:4]:
            yield ring(address)
        for _ in range(wait):
            yield {}
        started = [] if not out("active") else [len(world.events("ended"))]
        yield {"flush": 1}
        yield {}
        assert out("waiting") == 0
        done.extend(("ended", i) for i in range(len(world.events("ended")) + len(started)))
        for _ in range(30):
            yield {}
        yield ring(addresses[4])
        yield from until_idle()

    done: list[tuple[str, int]] = []
    world.run(host)
    ended = world.events("ended")
    assert ended[-1] == ("ended", 4)
    assert 1 <= len(ended) - 1 < 4 or wait == 0
    assert ended[:-1] == [("ended", i) for i in range(len(ended) - 1)]


def test_halt_until_acknowledged() -> None:
    """After a fault nothing begins, whatever waits; the flag of the fault is acknowledged, and the next one begins."""
    memory, addresses = a_memory([a_job(tag=1), bytes(DESCRIPTOR_BYTES), a_job(tag=3), a_job(tag=4)])
    world = World(memory)

    def host(world: World) -> Iterator[Pulses]:
        yield {"acknowledge": 1}  # means nothing yet
        for address in addresses[:3]:
            yield ring(address)
        yield from until("halted")
        assert out("busy") == 0
        yield ring(addresses[3])
        for _ in range(300):
            yield {}
            assert out("active") == out("busy") == 0
            assert out("halted") == 1
            assert out("waiting") >= 1
        assert out("waiting") == 2
        assert (out("fault"), out("tag")) == (Fault.VERSION, 0)
        yield {"acknowledge": 1}
        yield {}
        assert out("halted") == 0
        yield from until_idle()

    world.run(host)
    assert world.events("ended", "failed") == [("ended", 1), ("failed VERSION", 0), ("ended", 3), ("ended", 4)]
    assert len(world.events("empty")) == 1


def test_window_and_place_of_descriptors() -> None:
    """The descriptor's address is looked at before anything is read."""
    memory, addresses = a_memory([a_job(tag=9), a_job(tag=8)])
    base, last = addresses[0], 1 << 14
    for address, fault in (
        (base - 4, Fault.WINDOW),
        (base + 1, Fault.ALIGNMENT),
        (base + 2, Fault.ALIGNMENT),
        (base - 2, Fault.ALIGNMENT),
        (last - 127 + 1, Fault.ALIGNMENT if (last - 126) % 4 else Fault.WINDOW),
        (last - 124, Fault.WINDOW),
        (TOP - 64, Fault.WINDOW),
        (TOP, Fault.WINDOW),
        ((1 << 64) - 128, Fault.WINDOW),
        ((1 << 64) - 4, Fault.WINDOW),
        (base, None),
    ):
        for window in ((base, last), (base, (1 << 64) - 1)):
            if address + 127 <= (1 << 15) - 1 and fault is Fault.WINDOW and window[1] != last and address > base:
                continue
            world = World(memory, window=window)

            def host(world: World, address: int = address) -> Iterator[Pulses]:
                yield ring(address)
                yield from until("busy")
                yield from until_idle()

            world.run(host)
            if fault is None:
                assert world.events("ended", "failed") == [("ended", 9)]
            else:
                assert world.events("ended", "failed") == [(f"failed {fault.name}", 0)], hex(address)
                assert not world.runs


def masked(k: int, mask: bytes, outliers: int) -> Job:
    blocks = blocks_of(k)
    segments = (Segment(blocks=blocks, a="mx6"), Segment(blocks=blocks_of(outliers), a="mx9"))
    return a_job(k=k, outliers=outliers, mask_address=8192, segments=segments, a_type=Data.FP32, tag=5)


@pytest.mark.parametrize("k", [1, 15, 16, 17, 31, 48, 200, 1024, 65535])
def test_masks(k: int) -> None:
    """Words of the mask are handed on without the bits behind the last channel, which do not count either."""
    rng = random.Random(k)
    words = blocks_of(k)
    most = min(k, 79)
    marked = sorted(rng.sample(range(k), rng.randint(1, most)))
    bits = sum(1 << c for c in marked)
    mask = (bits | rng.getrandbits(16 * words) >> k << k).to_bytes(2 * words, "little")
    wanted = {i: bits >> 16 * i & 0xFFFF for i in range(words)}
    for wrong in (0, 1, -1):
        outliers = len(marked) + wrong
        if not 1 <= outliers <= 79:
            continue
        memory, addresses = a_memory([masked(k, mask, outliers)], {8192: mask})
        world = World(memory, lag=3)

        def host(world: World, address: int = addresses[0]) -> Iterator[Pulses]:
            yield ring(address)
            yield from until("busy")
            while out("busy"):
                yield {}

        world.run(host)
        if wrong:
            assert world.events("ended", "failed") == [("failed MASK", 5)]
            assert not world.jobs
        else:
            assert world.events("ended", "failed") == [("ended", 5)]
            assert world.masks == [wanted]
        assert world.runs == [addresses[0], 8192]


def test_no_mask_without_outliers() -> None:
    memory, addresses = a_memory([a_job(mask_address=8192)])
    world = World(memory)

    def host(world: World) -> Iterator[Pulses]:
        yield ring(addresses[0])
        yield from until("busy")
        yield from until_idle()

    world.run(host)
    assert world.runs == addresses
    assert world.masks == [{}]


def sequence(memory: Memory, addresses: list[int], at: int, pulse: Pulses, **options) -> World:
    """Two jobs; some cycles after the first has been taken there is a pulse. A fault is acknowledged."""
    world = World(memory, **options)

    def host(world: World) -> Iterator[Pulses]:
        yield ring(addresses[0])
        yield ring(addresses[1])
        yield from until("active")
        for _ in range(at):
            yield {}
        yield pulse
        for _ in range(PAUSE):
            if out("halted"):
                assert out("waiting") == 1 or world.events("ended"), "the next one waits"
                yield {"acknowledge": 1}
            if not out("busy") and not out("halted") and not out("waiting"):
                return
            yield {}
        raise AssertionError("it does not end")

    world.run(host)
    return world


MASK = (0b1010).to_bytes(4, "little")


def two_jobs() -> tuple[Memory, list[int]]:
    return a_memory([masked(32, MASK, 2), a_job(tag=6)], {8192: MASK})


def whole_length() -> int:
    """Cycles of the first of two jobs."""
    memory, addresses = two_jobs()
    world = sequence(memory, addresses, 0, {})
    assert world.events("ended", "failed") == [("ended", 5), ("ended", 6)]
    return next(cycle for name, cycle, _ in world.log if name == "ended")


def test_abort_in_every_cycle() -> None:
    """It ends with its fault, or well where the abort comes too late; the next one is not touched."""
    length = whole_length()
    ends = []
    for at in range(0, length + 6):
        memory, addresses = two_jobs()
        world = sequence(memory, addresses, at, {"abort": 1})
        found = world.events("ended", "failed")
        ends.append(found[0][0])
        if found[0] == ("ended", 5):
            assert found[1:] in ([("ended", 6)], [("failed ABORT", 0)]), at
            assert at > length - 12
        else:
            assert found in ([("failed ABORT", tag), ("ended", 6)] for tag in (0, 5)), at
            resets = [cycle for name, cycle, _ in world.log if name == "reset"]
            assert len(resets) == 1
        assert len(world.jobs) <= 2
    assert ends.count("failed ABORT") > length - 12
    assert ends[-1] == "ended"


def test_abort_without_a_job() -> None:
    memory, addresses = two_jobs()
    world = World(memory)

    def host(world: World) -> Iterator[Pulses]:
        yield {"abort": 1}
        yield {}
        yield {"abort": 1}
        yield ring(addresses[0])
        yield from until("busy")
        yield from until_idle()
        yield {"abort": 1}
        yield ring(addresses[1])
        yield from until("busy")
        yield from until_idle()

    world.run(host)
    assert world.events("ended", "failed") == [("ended", 5), ("ended", 6)]


@pytest.mark.parametrize("code", [SLVERR, DECERR])
def test_errors_of_reads(code: int) -> None:
    """Of the descriptor, whose tag is not told then, and of the mask: before the job starts."""
    for seed in range(6):
        for where, tag in (("descriptor", 0), ("mask", 5)):
            memory, addresses = two_jobs()
            place = addresses[0] + 127 if where == "descriptor" else 8192
            world = sequence(memory, addresses, 0, {}, seed=seed, lag=2 + seed, fail_reads={place: code})
            fault = READ_FAULTS[code]
            assert world.events("ended", "failed") == [(f"failed {fault.name}", tag), ("ended", 6)]
            assert len(world.jobs) == 1


@pytest.mark.parametrize("code", [SLVERR, DECERR])
def test_errors_while_a_job_runs(code: int) -> None:
    """Of operands and of results, at any time from its start to its last answer."""
    for seed in range(40):
        memory, addresses = two_jobs()
        options = {"work": 1 + seed // 2, "flush": seed % 4, "fail_writes": {0: code}}
        world = sequence(memory, addresses, 0, {}, seed=seed, **options)
        fault = WRITE_FAULTS[code]
        assert world.events("ended", "failed") == [(f"failed {fault.name}", 5), ("ended", 6)], seed
        assert len(world.jobs) == 2


def test_an_abort_is_told_after_errors() -> None:
    """Where both happen before the job stops, the error is told."""
    memory, addresses = two_jobs()
    start = next(c for n, c, _ in sequence(memory, addresses, 0, {}).log if n == "start")
    found = set()
    for at in range(start, start + 30):
        world = sequence(memory, addresses, at, {"abort": 1}, work=20, fail_writes={0: SLVERR})
        found.add(world.events("failed")[0][0])
    assert found == {"failed ABORT", "failed WRITE_SLAVE"}


def test_tag_and_fields() -> None:
    """The whole descriptor is what is in memory, in its order."""
    rng = random.Random(4)
    for _ in range(5):
        job = a_job(
            tag=rng.getrandbits(32),
            scale=rng.getrandbits(64),
            bias=rng.getrandbits(64),
            c_address=rng.getrandbits(30) & ~3,
        )
        memory, addresses = a_memory([job])
        world = World(memory, seed=rng.randrange(100))

        def host(world: World, address: int = addresses[0]) -> Iterator[Pulses]:
            yield ring(address)
            yield from until("busy")
            yield from until_idle()

        world.run(host)
        assert world.events("ended") == [("ended", job.tag)]
        raw, got = raw_fields(job.pack()), JobLayout(PARAMS).from_bits(world.jobs[0])
        for name in ("scale", "bias", "c_address", "m", "n", "k", "a_stride"):
            assert got[name] == raw[name]
    assert ITEM_BYTES * 2 == DESCRIPTOR_BYTES
