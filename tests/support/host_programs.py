"""Programs of the host that run inside of a simulation: jobs that are broken off in every way, one after the other.

`jobs_and_faults` keeps the memory as the model has it, and compares every byte after each step. What it finds wrong it
raises as CheckError, which ends the simulation.
"""

import random
from typing import Any

from mixdit_hw.errors import CheckError
from mixdit_hw.footprint import regions_of
from mixdit_hw.host import FLUSH, HALTED, IRQ_DROPPED, IRQ_EMPTY, IRQ_FAULT, IRQ_JOB, OFFSETS, Accelerator
from mixdit_hw.job import DESCRIPTOR_BYTES, Fault, raw_fields
from mixdit_hw.params import Params
from mixdit_hw.sim.job_model import Window, run_job_at
from mixdit_hw.sim.memory import Memory
from mixdit_hw.sim.system import DECERR, SLVERR, HostTransport

FOREVER = float("inf")  # the simulation has a limit of its own
BUS_FAULTS = {
    ("read", SLVERR): Fault.READ_SLAVE,
    ("read", DECERR): Fault.READ_DECODE,
    ("write", SLVERR): Fault.WRITE_SLAVE,
    ("write", DECERR): Fault.WRITE_DECODE,
}


class _Bench:
    """The accelerator, and what its memory should be."""

    def __init__(self, transport: HostTransport, memory: Memory, params: Params, window: Window) -> None:
        self.transport = transport
        self.params = params
        self.window = window
        self.expected = memory.copy()
        self._memory = memory
        self.start()

    def start(self) -> None:
        """As after reset."""
        self.accelerator = Accelerator(self.transport, 0, clock=self.transport.clock)
        self.accelerator.set_window(*self.window)
        self.done, self.failed = 0, 0

    def read(self, name: str) -> int:
        return self.transport.read32(OFFSETS[name])

    def require(self, condition: object, text: str) -> None:
        if not condition:
            raise CheckError(text)

    def raw(self, address: int) -> dict[str, int]:
        return raw_fields(self.expected.read_memory(address, DESCRIPTOR_BYTES))

    def submit(self, address: int) -> None:
        self.accelerator.submit_at(address, FOREVER)

    def ring(self, address: int) -> None:
        """Queue a job, whatever the accelerator does."""
        self.transport.write32(OFFSETS["JOB_ADDRESS_LO"], address & 0xFFFFFFFF)
        self.transport.write32(OFFSETS["JOB_ADDRESS_HI"], address >> 32)
        self.transport.write32(OFFSETS["DOORBELL"], 1)

    def compare(self, what: str) -> None:
        """Every byte is as it should be."""
        if self._memory.data != self.expected.data:
            pairs = enumerate(zip(self._memory.data, self.expected.data, strict=True))
            first = next(i for i, (got, wanted) in pairs if got != wanted)
            raise CheckError(f"{what}: the byte at {self._memory.base + first:#x} is not as it should be")

    def good(self, address: int, what: str) -> None:
        """A job that has been submitted alone ends well; its counters fit it."""
        before = self.beats
        self.accelerator.wait(FOREVER)
        self.ended_well(address, what)
        raw, counters = self.raw(address), self.accelerator.counters()
        read, written = (now - then for now, then in zip(self.transport.beats(), before, strict=True))
        p = self.params
        tiles = -(-raw["m"] // p.tile_rows) * -(-raw["n"] // p.columns)
        digits = {f.code: f.digits for f in p.format_set}
        passes = tiles * sum(
            raw[f"segment{i}_blocks"] * digits[raw[f"segment{i}_a"]] * digits[raw[f"segment{i}_w"]]
            for i in range(4)
            if raw[f"segment{i}_blocks"]
        )
        wanted = {"read_beats": read, "write_beats": written, "passes": passes}
        for name, count in wanted.items():
            self.require(counters[name] == count, f"{what}: {name} is {counters[name]}, not {count}")
        for name in ("cycles", "read_wait", "write_wait"):
            self.require(counters[name] < counters["job_cycles"], f"{what}: {name} is too large: {counters}")
        self.require(passes * p.interleave <= counters["cycles"], f"{what}: too few cycles: {counters}")

    def ended_well(self, address: int, what: str) -> None:
        """One job more is done: its result and its tag are there."""
        fault = run_job_at(self.expected, address, self.params, self.window)
        self.require(fault is Fault.NONE, f"{what}: the model says {fault.name}")
        self.compare(what)
        self.done += 1
        self.counts(what)
        tag = self.raw(address)["tag"]
        self.require(self.read("JOB_TAG") == tag, f"{what}: JOB_TAG is {self.read('JOB_TAG')}, not {tag}")

    def counts(self, what: str) -> None:
        self.require(self.read("DONE_COUNT") == self.done, f"{what}: DONE_COUNT is not {self.done}")
        self.require(self.read("FAULT_COUNT") == self.failed, f"{what}: FAULT_COUNT is not {self.failed}")

    def failing(self, address: int, fault: Fault, tag: int, what: str, behind: int) -> None:
        """The job that runs stops with this fault; of C anything may have been written, but nothing else."""
        while not self.read("STATUS") & 2:
            self.transport.wait_interrupt(0.0001)
        status, code = self.read("STATUS"), self.read("FAULT")
        self.require(status == 2 | behind << 8, f"{what}: STATUS is {status:#x}")
        self.require(code == fault, f"{what}: the fault is {code}, not {fault.name}")
        found = self.read("FAULT_TAG")
        self.require(found == tag, f"{what}: FAULT_TAG is {found}, not {tag}")
        self.failed += 1
        self.counts(what)
        irq = self.read("IRQ_STATUS")
        self.require(irq & IRQ_FAULT, f"{what}: the interrupt is missing")
        self.require(not irq & (IRQ_JOB | IRQ_EMPTY), f"{what}: an interrupt of a job that ended well")
        counters = self.accelerator.counters()
        ran = fault in (Fault.WRITE_SLAVE, Fault.WRITE_DECODE)
        for name in ("cycles", "passes"):
            if ran or fault < Fault.READ_SLAVE:
                self.require((counters[name] > 0) == ran, f"{what}: {name} is {counters[name]}")
        self.transport.wait_cycles(200)
        self.adopt(address, fault)
        self.compare(what)

    def adopt(self, address: int, fault: Fault) -> None:
        """Take over what a job that was broken off has written of C."""
        if fault < Fault.READ_SLAVE:
            return  # nothing may have been
        c = regions_of(self.raw(address))["c"]
        for row in range(c.rows):
            first = c.address + row * c.stride
            self.expected.write_memory(first, self._memory.read_memory(first, c.row_bytes))

    def fill(self, address: int) -> None:
        """Ring until the queue of an accelerator that stands still is full, and twice more."""
        depth = self.params.queue_depth
        for n in range(depth + 2):
            self.require(self.read("STATUS") == 2 | min(n, depth) << 8, f"{n} jobs are not in the queue")
            self.ring(address)
            dropped = bool(self.read("IRQ_STATUS") & IRQ_DROPPED)
            self.require(dropped == (n >= depth), f"job {n} of {depth} was {'' if dropped else 'not '}dropped")
            self.transport.write32(OFFSETS["IRQ_STATUS"], IRQ_DROPPED)

    def go_on(self) -> None:
        """Acknowledge the fault, if there is one; what waits goes on."""
        self.transport.write32(OFFSETS["IRQ_STATUS"], 15)
        if self.read("STATUS") & HALTED:
            self.accelerator.clear_fault(drop=False)
        else:
            self.accelerator = Accelerator(self.transport, 0, clock=self.transport.clock)
        self.require(self.read("FAULT") == 0, "FAULT is not 0 after FAULT_CLEAR")

    def mark(self) -> None:
        """What counters count from here on."""
        self.beats = self.transport.beats()
        self.transport.write32(OFFSETS["IRQ_STATUS"], 15)


def jobs_and_faults(transport: Any, arguments: dict[str, Any]) -> dict[str, int]:
    """Steps one after the other; how often each way of ending was seen.

    Parameters
    ----------
    arguments
        ``params`` of the design, ``window``, ``seed``, and ``steps``: (kind, address of a descriptor, details). Kinds:

        good
            It ends well.
        illegal
            It has a fault from the start: details are its code and its tag.
        read, write
            An address that it reads or writes fails: details are (first, last, answer, whether it is the descriptor's).
        abort
            It is aborted at a random time.
        reset
            Everything is reset at a random time.

        After a broken job comes a good one, the next ``good`` of the steps or the broken job itself, which has been
        waiting in the queue meanwhile.
    """
    params = Params.from_dict(arguments["params"])
    rng = random.Random(arguments["seed"])
    bench = _Bench(transport, transport.memory, params, tuple(arguments["window"]))
    seen: dict[str, int] = {}
    cycles: dict[int, int] = {}  # of jobs that ended well

    def count(name: str) -> None:
        seen[name] = seen.get(name, 0) + 1

    last_good = 0
    for number, (kind, address, details) in enumerate(arguments["steps"]):
        what = f"step {number}, {kind} {details}, job at {address:#x}"
        bench.mark()
        if kind == "good":
            bench.submit(address)
            bench.good(address, what)
            cycles[address] = bench.read("JOB_CYCLES")
            last_good = address
            count("NONE")
            continue
        if kind == "reset":
            bench.submit(address)
            transport.wait_cycles(rng.randrange(cycles[address]))
            transport.reset()
            bench.start()
            bench.adopt(address, Fault.ABORT)
            bench.compare(what)
            bench.counts(what)
            bench.mark()
            bench.submit(last_good)
            bench.good(last_good, f"{what}, and then")
            count("reset")
            continue
        behind = rng.randint(1, 2)
        fault, tag = Fault.ABORT, 0
        if kind == "illegal":
            fault, tag = Fault(details[0]), details[1]
        elif kind in ("read", "write"):
            first, last, answer, untold = details
            errors = [[first, last, answer]]
            transport.set_errors(errors if kind == "read" else [], errors if kind == "write" else [])
            fault, tag = BUS_FAULTS[kind, answer], 0 if untold else bench.raw(address)["tag"]
        for job in (address, *[last_good] * behind):
            bench.ring(job)
        if kind == "abort":
            transport.wait_cycles(rng.randrange(cycles[address]))
            ended = _abort(bench, [address, *[last_good] * behind], what)
            count("late ABORT" if ended else "ABORT")
            behind -= ended
        else:
            bench.failing(address, fault, tag, what, behind)
            count(fault.name)
        transport.set_errors([], [])
        bench.compare(f"{what}: before FAULT_CLEAR")
        bench.go_on()
        if behind > 0:
            bench.accelerator.wait(FOREVER)
            bench.done += behind - 1
            bench.ended_well(last_good, f"{what}, and then")
        count("behind")
    return seen


def _abort(bench: _Bench, jobs: list[int], what: str) -> int:
    """Abort these jobs, and wait; how many ended well before the one that was hit: all, where it came between two."""
    bench.accelerator.abort()
    while (status := bench.read("STATUS")) & 1:
        bench.transport.wait_interrupt(0.00001)
    ended = bench.read("DONE_COUNT") - bench.done
    for address in jobs[:ended]:
        run_job_at(bench.expected, address, bench.params, bench.window)
    bench.done += ended
    bench.failed += status >> 1 & 1
    bench.counts(what)
    bench.require((ended == len(jobs)) == (status == 0), f"{what}: STATUS is {status:#x} after {ended} jobs")
    if status:
        bench.require(status == 2 | len(jobs) - ended - 1 << 8, f"{what}: STATUS is {status:#x} after {ended} jobs")
        bench.require(bench.read("FAULT") == Fault.ABORT, f"{what}: the fault is {bench.read('FAULT')}")
        tag = bench.read("FAULT_TAG")
        bench.require(tag in (0, bench.raw(jobs[ended])["tag"]), f"{what}: FAULT_TAG is {tag}")
        bench.require(bench.read("IRQ_STATUS") & IRQ_FAULT, f"{what}: the interrupt is missing")
        bench.transport.wait_cycles(200)
        bench.adopt(jobs[ended], Fault.ABORT)
    bench.compare(what)
    return ended


def full_queue(transport: Any, arguments: dict[str, Any]) -> int:
    """While a fault waits, fill the queue and empty it, and fill it again; then all those jobs are done.

    Parameters
    ----------
    arguments
        ``params``, ``window``, ``job``, which is legal, and ``illegal``, which is not.
    """
    params = Params.from_dict(arguments["params"])
    bench = _Bench(transport, transport.memory, params, tuple(arguments["window"]))
    job = arguments["job"]
    bench.submit(arguments["illegal"])
    while not bench.read("STATUS") & 2:
        transport.wait_interrupt(0.0001)
    bench.failed += 1
    bench.fill(job)
    transport.write32(OFFSETS["CONTROL"], FLUSH)
    bench.fill(job)
    bench.go_on()
    bench.accelerator.wait(FOREVER)
    bench.done = params.queue_depth - 1
    bench.ended_well(job, "the last of the queue")
    bench.require(bench.read("IRQ_STATUS") & IRQ_EMPTY or not bench.read("STATUS"), "jobs are left")
    return bench.done


def early_clears(transport: Any, arguments: dict[str, Any]) -> list[int]:
    """FAULT_CLEAR in every cycle around a fault: a fault either waits and has a code, or neither; how often both.

    Parameters
    ----------
    arguments
        ``params``, ``window``, ``illegal``, and ``first`` and ``last`` cycle to try.
    """
    params = Params.from_dict(arguments["params"])
    bench = _Bench(transport, transport.memory, params, tuple(arguments["window"]))
    found = [0, 0]
    for cycle in range(arguments["first"], arguments["last"] + 1):
        bench.submit(arguments["illegal"])
        transport.wait_cycles(cycle)
        transport.write32(OFFSETS["FAULT_CLEAR"], 1)
        while bench.read("STATUS") & 1:
            pass
        halted, code = bench.read("STATUS") >> 1, bench.read("FAULT")
        bench.require(halted == (code != 0), f"cycle {cycle}: halted is {halted} with the fault {code}")
        found[halted] += 1
        bench.go_on()
    return found
