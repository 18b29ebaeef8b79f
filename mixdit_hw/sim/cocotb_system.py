"""The cocotb side of a simulated accelerator: its memory and its host, on the buses.

It runs inside the simulator, in the run's folder: it reads ``plan.json`` and ``memory.bin`` and writes ``result.bin``,
the memory afterwards, and ``outcome.json``. The host's program is a blocking Python function in a thread of its own;
the simulation goes on only while it waits for a register or an interrupt.
"""

import importlib
import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.queue import Queue
from cocotb.task import bridge, resume
from cocotb.triggers import ClockCycles, First, RisingEdge, Timer
from cocotb.utils import get_sim_time
from cocotbext.axi import (
    AxiBus,
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiSlaveRead,
    AxiSlaveWrite,
)

from mixdit_hw.errors import CheckError, JobFault, MixditError
from mixdit_hw.sim.memory import Memory
from mixdit_hw.sim.system import CYCLES_PER_SECOND
from mixdit_hw.sim.system_bench import FLAGS, OPEN

PERIOD = 2  # steps of a clock cycle
RESET_CYCLES = 4
_BURSTS = 64  # that a channel of addresses takes before it waits for data
_BEATS = 16
_UNKNOWN_IS_0 = str.maketrans("XZUW-", "00000")


class Hang(CheckError):
    """The accelerator did not come to an end in the cycles that it has."""


class SimTransport:
    """A `mixdit_hw.host.Transport` to the simulated accelerator, for a function under `cocotb.task.bridge`.

    Memory is reached behind the accelerator's back, in no time. A second is `CYCLES_PER_SECOND` cycles.

    Parameters
    ----------
    dut
        The bench.
    registers
        The master of the registers' bus.
    read, write
        The memory's two sides.
    memory
        Its bytes.
    limit
        Cycles that all may take.
    """

    def __init__(
        self,
        dut: Any,
        registers: AxiLiteMaster,
        read: "ReadMemory",
        write: "WriteMemory",
        memory: Memory,
        limit: int,
    ) -> None:
        self._dut = dut
        self._registers = registers
        self._read, self._write = read, write
        self._limit = limit
        self.memory = memory

    def read32(self, offset: int) -> int:
        """A register."""
        return self._read32(offset)

    def write32(self, offset: int, value: int) -> None:
        """Write a register."""
        self._write32(offset, value)

    def read_memory(self, address: int, count: int) -> bytes:
        """Bytes of the memory."""
        return self.memory.read_memory(address, count)

    def write_memory(self, address: int, data: bytes) -> None:
        """Write the memory."""
        self.memory.write_memory(address, data)

    def wait_interrupt(self, timeout: float) -> bool:
        """Wait until ``irq`` is high, for so many simulated seconds."""
        return self._wait(round(timeout * CYCLES_PER_SECOND))

    def clock(self) -> float:
        """Simulated seconds so far."""
        return cycles_so_far() / CYCLES_PER_SECOND

    def set_errors(self, reads: list[list[int]], writes: list[list[int]]) -> None:
        """From now on these addresses fail, and no others: see `mixdit_hw.sim.system.System`."""
        self._read.errors, self._write.errors = reads, writes

    def beats(self) -> tuple[int, int]:
        """Beats that the memory has sent and taken so far."""
        return self._read.beats, self._write.beats

    def wait_cycles(self, count: int) -> None:
        """Let clock cycles pass."""
        self._pass(count)

    def reset(self) -> None:
        """Reset the accelerator for some cycles, and what is connected to its buses with it; memory stays."""
        self._reset()

    @resume
    async def _pass(self, count: int) -> None:
        if count:
            await ClockCycles(self._dut.aclk, count)
        self._left()

    @resume
    async def _reset(self) -> None:
        await pull_reset(self._dut)

    @resume
    async def _read32(self, offset: int) -> int:
        answer = await self._within(self._registers.read(offset, 4), f"read of register {offset:#x}")
        if answer.resp != AxiResp.OKAY:
            raise CheckError(f"the read of register {offset:#x} was answered with {answer.resp.name}")
        return int.from_bytes(answer.data, "little")

    @resume
    async def _write32(self, offset: int, value: int) -> None:
        data = value.to_bytes(4, "little")
        answer = await self._within(self._registers.write(offset, data), f"write of register {offset:#x}")
        if answer.resp != AxiResp.OKAY:
            raise CheckError(f"the write of register {offset:#x} was answered with {answer.resp.name}")

    @resume
    async def _wait(self, cycles: int) -> bool:
        left = self._left()
        if not int(self._dut.irq.value):
            await First(RisingEdge(self._dut.irq), Timer(PERIOD * max(1, min(cycles, left)), "step"))
        high = bool(int(self._dut.irq.value))
        if not high:
            self._left()
        return high

    async def _within(self, transfer: Any, what: str) -> Any:
        """The answer to a transfer, which must come in time."""
        left = self._left()
        task = cocotb.start_soon(transfer)
        await First(task, Timer(PERIOD * left, "step"))
        if not task.done():
            raise Hang(f"the {what} had no answer after {self._limit} cycles")
        return task.result()

    def _left(self) -> int:
        """Cycles that are left."""
        left = self._limit - cycles_so_far()
        if left <= 0:
            raise Hang(f"the accelerator was not done after {self._limit} cycles")
        return left


class ReadMemory(AxiSlaveRead):
    """Answers reads from a memory, each burst not before ``latency`` cycles after its address; several are under way.

    There is DECERR where there is no memory, and the answer that ``errors`` has for the address. ``beats`` counts.
    """

    def __init__(self, bus: Any, clock: Any, reset: Any, memory: Memory, plan: dict[str, Any]) -> None:
        self._memory = memory
        self._latency = plan["latency"]
        self._bursts: Queue = Queue()
        self._collector: Any = None
        self.errors: list[list[int]] = plan["read_errors"]
        self.beats = 0
        super().__init__(bus, clock, reset, reset_active_level=False)
        self.ar_channel.queue_occupancy_limit = _BURSTS
        self.r_channel.queue_occupancy_limit = _BEATS

    def _handle_reset(self, state: bool) -> None:
        super()._handle_reset(state)
        if state and self._collector is not None:
            self._collector.cancel()
            self._collector = None
            while not self._bursts.empty():
                self._bursts.get_nowait()
        if not state:
            self._collector = cocotb.start_soon(self._collect())

    async def _collect(self) -> None:
        """Note when each address came."""
        while True:
            ar = await self.ar_channel.recv()
            self._bursts.put_nowait((cycles_so_far() + self._latency, ar))

    async def _process_read(self) -> None:
        transaction, lanes = self.r_channel._transaction_obj, self.byte_lanes
        while True:
            due, ar = await self._bursts.get()
            wait = due - cycles_so_far()
            if wait > 0:
                await Timer(PERIOD * wait, "step")
            address, beats = int(ar.araddr) // lanes * lanes, int(ar.arlen) + 1
            for beat in range(beats):
                place = address + beat * lanes
                response = error_at(self.errors, place)
                data = b""
                if response is AxiResp.OKAY:
                    try:
                        data = self._memory.read_memory(place, lanes)
                    except IndexError:
                        response = AxiResp.DECERR
                r = transaction()
                r.rid, r.rresp, r.rlast = int(ar.arid), response, beat == beats - 1
                r.rdata = int.from_bytes(data, "little")
                await self.r_channel.send(r)
                self.beats += 1


class WriteMemory(AxiSlaveWrite):
    """Writes to a memory, with errors as `ReadMemory`; a burst with an error writes what it can."""

    def __init__(self, bus: Any, clock: Any, reset: Any, memory: Memory, plan: dict[str, Any]) -> None:
        self._memory = memory
        self.errors: list[list[int]] = plan["write_errors"]
        self.beats = 0
        self.problems: list[str] = []
        super().__init__(bus, clock, reset, reset_active_level=False)
        self.aw_channel.queue_occupancy_limit = _BURSTS
        self.w_channel.queue_occupancy_limit = _BEATS
        self.b_channel.queue_occupancy_limit = _BURSTS

    async def _process_write(self) -> None:
        lanes, every = self.byte_lanes, (1 << self.byte_lanes) - 1
        while True:
            aw = await self.aw_channel.recv()
            address, beats = int(aw.awaddr) // lanes * lanes, int(aw.awlen) + 1
            worst = AxiResp.OKAY
            for beat in range(beats):
                w = await self.w_channel.recv()
                self.beats += 1
                if bool(int(w.wlast)) != (beat == beats - 1):
                    self.problems.append(f"wlast was wrong in beat {beat} of the {beats} at {address:#x}")
                place, strobe = address + beat * lanes, int(w.wstrb)
                response = error_at(self.errors, place)
                if response is AxiResp.OKAY and strobe:
                    data = resolved(w.wdata).to_bytes(lanes, "little")
                    try:
                        if strobe == every:
                            self._memory.write_memory(place, data)
                        else:
                            for first, count in runs_of(strobe):
                                self._memory.write_memory(place + first, data[first : first + count])
                    except IndexError:
                        response = AxiResp.DECERR
                worst = max(worst, response)
            b = self.b_channel._transaction_obj()
            b.bid, b.bresp = int(aw.awid), worst
            await self.b_channel.send(b)


def resolved(value: Any) -> int:
    """A bus as a number; unknown bits, which only bytes without a strobe may have, are 0."""
    text = str(value)
    try:
        return int(text, 2)
    except ValueError:
        return int(text.translate(_UNKNOWN_IS_0), 2)


def runs_of(strobe: int) -> Iterator[tuple[int, int]]:
    """Runs of ones of a number, as (first, count)."""
    first = 0
    while strobe:
        zeros = (strobe & -strobe).bit_length() - 1
        strobe >>= zeros
        ones = (~strobe & strobe + 1).bit_length() - 1
        yield first + zeros, ones
        first += zeros + ones
        strobe >>= ones


def error_at(errors: list[list[int]], address: int) -> AxiResp:
    """The answer to an address: that of the first region (first, last, answer) that holds it."""
    for first, last, answer in errors:
        if first <= address <= last:
            return AxiResp(answer)
    return AxiResp.OKAY


def cycles_so_far() -> int:
    """Clock cycles since the simulation began."""
    return int(get_sim_time("step")) // PERIOD


def pauses(seed: int, name: str, chance: float) -> Iterator[bool]:
    """Endless random pauses of a channel, in runs of some cycles."""
    rng = random.Random(f"{seed} {name}")
    while True:
        length = rng.choice((1, 1, 1, 2, 3, 8))
        idle = rng.random() < chance
        yield from [idle] * length


async def pull_reset(dut: Any) -> None:
    """Reset the accelerator for some cycles."""
    dut.aresetn.value = 0
    await ClockCycles(dut.aclk, RESET_CYCLES)
    dut.aresetn.value = 1
    await ClockCycles(dut.aclk, 1)


@cocotb.test()
async def system(dut: Any) -> None:
    """Run the plan's program as the host, and report how it ended."""
    plan = json.loads(Path("plan.json").read_text())
    memory = Memory(Path("memory.bin").read_bytes(), plan["base"])
    dut.aresetn.value = 0
    Clock(dut.aclk, PERIOD, unit="step", impl="gpi").start()
    await pull_reset(dut)
    start = time.perf_counter()

    bus = AxiBus.from_prefix(dut, "m_axi")
    read = ReadMemory(bus.read, dut.aclk, dut.aresetn, memory, plan)
    write = WriteMemory(bus.write, dut.aclk, dut.aresetn, memory, plan)
    lite = AxiLiteBus.from_prefix(dut, "s_axil")
    registers = AxiLiteMaster(lite, dut.aclk, dut.aresetn, reset_active_level=False)
    read_if, write_if = registers.read_if, registers.write_if
    channels = {
        "ar": read.ar_channel,
        "r": read.r_channel,
        "aw": write.aw_channel,
        "w": write.w_channel,
        "b": write.b_channel,
        "lite_ar": read_if.ar_channel,
        "lite_r": read_if.r_channel,
        "lite_aw": write_if.aw_channel,
        "lite_w": write_if.w_channel,
        "lite_b": write_if.b_channel,
    }
    for name, chance in plan["stalls"].items():
        if chance:
            channels[name].set_pause_generator(pauses(plan["seed"], name, chance))

    transport = SimTransport(dut, registers, read, write, memory, plan["limit"])
    module, function = plan["program"].split(":")
    program = getattr(importlib.import_module(module), function)
    outcome: dict[str, Any] = {}
    try:
        outcome["result"] = await bridge(program)(transport, plan["arguments"])
    except JobFault as e:
        outcome["fault"] = [e.name, e.code, e.tag]
    except MixditError as e:
        outcome["error"] = str(e)
    except Exception as e:
        outcome["failed"] = f"{type(e).__name__}: {e}"
    await ClockCycles(dut.aclk, plan["settle"])
    watched = [*FLAGS, *OPEN] if "result" in outcome else FLAGS
    outcome["flags"] = [name for name in watched if str(getattr(dut, name).value) != "0"]
    outcome["problems"] = write.problems[:1]
    outcome["cycles"] = int(dut.cycles.value)
    outcome["seconds"] = time.perf_counter() - start
    Path("result.bin").write_bytes(memory.data)
    partial = Path("outcome.partial")
    partial.write_text(json.dumps(outcome))
    os.replace(partial, "outcome.json")
