"""One job after the other: queue, descriptor, mask, run, end; and what happens at a fault."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from golden.formats import BLOCK_SIZE

from ..job import DESCRIPTOR_BYTES, Fault
from ..params import Params
from ..unit import add_unit
from .check import FAULT_BITS, JobCheck, check_key
from .layouts import ITEM_BYTES, SIZE_BITS, ItemLayout, JobLayout, RunLayout

MASK_WORDS = 4096  # of 16 channels
_ADDRESS = 64


class JobControl(wiring.Component):
    """Take jobs from the host, one after the other, and tell the other units what to do.

    A job: its descriptor is read and checked; the mask of outlier channels is read, where there is one; ``start`` sets
    the units to work; the job ends when the last result is in memory. At a fault nothing new is sent to the bus
    (``halt``); when all that was under way has come back, ``reset`` puts the units into their first state. Then the
    host must acknowledge the fault, before the next job is begun.

    Parameters
    ----------
    params
        Of the design.

    Members
    -------
    doorbell : In(1), address : In(64)
        Queue the job whose descriptor is there.
    abort : In(1), flush : In(1), acknowledge : In(1)
        End the running job with a fault; forget the waiting ones; go on after a fault.
    base, last : In(64)
        First and last address of the window.
    busy, halted : Out(1), waiting : Out(8)
        A job runs; a fault has not been acknowledged; jobs in the queue.
    ended : Out(1), failed : Out(1)
        For one cycle: a job has ended well, or with a fault; ``fault`` and ``tag`` are its own.
    job_interrupt, empty, dropped : Out(1)
        For one cycle: a job has ended that asked for the interrupt; it was the last one; a doorbell found no room.
    fault : Out(4), tag : Out(32)
        Of the job that ended last.
    run : Out(stream of RunLayout), item : In(stream of ItemLayout)
        To the reader of memory.
    mask_write : Out(1), mask_address : Out(12), mask_data : Out(16)
        To the loader of A, before ``start``.
    job : Out(JobLayout), start : Out(1)
        To all units.
    running : Out(1)
        From ``start`` on until the job has ended.
    active : Out(1)
        A job is being worked at, its descriptor included.
    done : In(1)
        The last result is on its way.
    read_idle, write_idle : In(1), read_error, write_error : In(2)
        Of the bus: nothing is under way; the response of a burst that failed, 2 or 3.
    halt : Out(1), reset : Out(1)
        At a fault.
    """

    unit_name = "job_control"

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "doorbell": In(1),
                "address": In(_ADDRESS),
                "abort": In(1),
                "flush": In(1),
                "acknowledge": In(1),
                "base": In(_ADDRESS),
                "last": In(_ADDRESS),
                "busy": Out(1),
                "halted": Out(1),
                "waiting": Out(8),
                "ended": Out(1),
                "failed": Out(1),
                "job_interrupt": Out(1),
                "empty": Out(1),
                "dropped": Out(1),
                "fault": Out(FAULT_BITS),
                "tag": Out(32),
                "run": Out(stream.Signature(RunLayout(params))),
                "item": In(stream.Signature(ItemLayout())),
                "mask_write": Out(1),
                "mask_address": Out(range(MASK_WORDS)),
                "mask_data": Out(BLOCK_SIZE),
                "job": Out(JobLayout(params)),
                "start": Out(1),
                "running": Out(1),
                "active": Out(1),
                "done": In(1),
                "read_idle": In(1),
                "write_idle": In(1),
                "read_error": In(2),
                "write_error": In(2),
                "halt": Out(1),
                "reset": Out(1),
            }
        )

    @property
    def unit_key(self) -> tuple:
        return *check_key(self._params), ("queue", self._params.queue_depth)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._params
        words = Signal(8 * DESCRIPTOR_BYTES)
        add_unit(m, platform, "check", check := JobCheck(p), reset=self.reset)
        m.d.comb += [
            check.words.eq(words),
            check.base.eq(self.base),
            check.last.eq(self.last),
            self.job.eq(check.job),
        ]
        oldest, take = self._queue(m)
        address, last = Signal(_ADDRESS), Signal(_ADDRESS + 1)
        m.d.comb += last.eq(address + DESCRIPTOR_BYTES - 1)

        fault, bus_fault = Signal(FAULT_BITS), Signal(FAULT_BITS)
        slave_or_decode = Mux(self.read_error[1], Mux(self.read_error[0], Fault.READ_DECODE, Fault.READ_SLAVE), 0)
        of_write = Mux(self.write_error[1], Mux(self.write_error[0], Fault.WRITE_DECODE, Fault.WRITE_SLAVE), 0)
        aborted = Signal()
        with m.If(self.abort):
            m.d.sync += aborted.eq(self.active)
        m.d.comb += bus_fault.eq(
            Mux(slave_or_decode != 0, slave_or_decode, Mux(of_write != 0, of_write, Mux(aborted, Fault.ABORT, 0)))
        )
        run, item = self.run.payload, self.item
        count, marked = Signal(range(MASK_WORDS + 1)), Signal(SIZE_BITS + 1)
        k = self.job.k
        k_blocks = Signal(range(MASK_WORDS + 1))
        m.d.comb += k_blocks.eq((k + BLOCK_SIZE - 1) >> 4)
        channels, present = Signal(BLOCK_SIZE), Signal(BLOCK_SIZE)
        with m.If((count + 1 == k_blocks) & (k[:4] != 0)):
            m.d.comb += present.eq((1 << k[:4]) - 1)
        with m.Else():
            m.d.comb += present.eq((1 << BLOCK_SIZE) - 1)
        m.d.comb += [
            channels.eq(item.payload.data[:BLOCK_SIZE] & present),
            self.mask_address.eq(count),
            self.mask_data.eq(channels),
        ]
        number: Value = channels[0]
        for bit in channels[1:]:
            number = number + bit

        def stop_if_fault() -> None:
            with m.If(bus_fault != 0):
                m.d.sync += fault.eq(bus_fault)
                m.next = "STOP"

        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.sync += [fault.eq(0), aborted.eq(0), address.eq(oldest)]
                with m.If((self.waiting != 0) & ~self.halted & ~self.flush):
                    m.d.comb += take.eq(1)
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.sync += words.eq(0)  # a fault before the descriptor has come has no tag
                m.next = "READ"
                with m.If((address < self.base) | (last > self.last) | last[p.address_bits :].any()):
                    m.d.sync += fault.eq(Fault.WINDOW)
                    m.next = "STOP"
                with m.If(address[:2].any()):
                    m.d.sync += fault.eq(Fault.ALIGNMENT)
                    m.next = "STOP"
            with m.State("READ"):
                m.d.comb += [
                    self.run.valid.eq(1),
                    run.address.eq(address),
                    run.bytes.eq(DESCRIPTOR_BYTES),
                    run.item.eq(ITEM_BYTES),
                ]
                with m.If(self.run.ready):
                    m.next = "WORDS"
                stop_if_fault()
            with m.State("WORDS"):
                m.d.comb += item.ready.eq(1)
                with m.If(item.valid):
                    m.d.sync += words.eq(words[8 * ITEM_BYTES :])
                    m.d.sync += words[-8 * ITEM_BYTES :].eq(item.payload.data)
                    with m.If(item.payload.last):
                        m.next = "SETTLE"
                stop_if_fault()
            with m.State("SETTLE"):
                # An error comes with the data that it spoils; it is seen before the data is used.
                m.next = "CHECK"
                stop_if_fault()
            with m.State("CHECK"):
                m.d.comb += check.start.eq(1)
                m.next = "CHECKING"
                stop_if_fault()
            with m.State("CHECKING"):
                m.d.sync += [count.eq(0), marked.eq(0)]
                with m.If(check.done):
                    m.next = "START"
                    with m.If(self.job.outliers):
                        m.next = "MASK"
                    with m.If(check.fault != 0):
                        m.d.sync += fault.eq(check.fault)
                        m.next = "STOP"
                    stop_if_fault()
                with m.Elif(bus_fault != 0):  # the check goes on to its end, and is reset then
                    m.d.sync += fault.eq(bus_fault)
                    m.next = "STOP"
            with m.State("MASK"):
                m.d.comb += [
                    self.run.valid.eq(1),
                    run.address.eq(check.mask),
                    run.bytes.eq(k_blocks << 1),
                    run.item.eq(2),
                ]
                with m.If(self.run.ready):
                    m.next = "MASK WORDS"
                stop_if_fault()
            with m.State("MASK WORDS"):
                m.d.comb += [item.ready.eq(1), self.mask_write.eq(item.valid)]
                with m.If(item.valid):
                    m.d.sync += [count.eq(count + 1), marked.eq(marked + number)]
                    with m.If(item.payload.last):
                        m.next = "MASK END"
                stop_if_fault()
            with m.State("MASK END"):
                m.next = "START"
                with m.If(marked != check.outliers):
                    m.d.sync += fault.eq(Fault.MASK)
                    m.next = "STOP"
                stop_if_fault()
            with m.State("START"):
                m.d.comb += self.start.eq(1)
                m.next = "RUN"
                stop_if_fault()
            with m.State("RUN"):
                m.d.comb += self.running.eq(1)
                with m.If(self.done):
                    m.next = "WRITE"
                stop_if_fault()
            with m.State("WRITE"):
                m.d.comb += self.running.eq(1)
                with m.If(self.write_idle & self.read_idle):
                    m.next = "END"
                stop_if_fault()
            with m.State("STOP"):
                m.d.comb += self.halt.eq(1)
                with m.If(self.read_idle & self.write_idle):
                    m.next = "RESET"
            with m.State("RESET"):
                m.d.comb += [self.halt.eq(1), self.reset.eq(1)]
                m.next = "END"
            with m.State("END"):
                m.d.sync += [self.fault.eq(fault), self.tag.eq(check.tag)]
                m.next = "TOLD"
            with m.State("TOLD"):
                m.d.comb += [
                    self.ended.eq(self.fault == 0),
                    self.failed.eq(self.fault != 0),
                    self.job_interrupt.eq(self.ended & check.interrupt),
                    self.empty.eq(self.ended & (self.waiting == 0)),
                ]
                m.next = "IDLE"
            idle = fsm.ongoing("IDLE")
        m.d.comb += [self.active.eq(~idle), self.busy.eq(~idle | ((self.waiting != 0) & ~self.halted))]
        with m.If(self.failed):
            m.d.sync += self.halted.eq(1)
        with m.Elif(self.acknowledge):
            m.d.sync += self.halted.eq(0)
        return m

    def _queue(self, m: Module) -> tuple[Value, Signal]:
        """The oldest waiting address, and a signal that takes it out of the queue."""
        depth = self._params.queue_depth
        addresses = [Signal(_ADDRESS, name=f"address{n}") for n in range(depth)]
        waiting = Signal(range(depth + 1))
        take, put = Signal(), Signal()
        m.d.comb += [
            self.waiting.eq(waiting),
            put.eq(self.doorbell & (waiting != depth)),
            self.dropped.eq(self.doorbell & ~put),
        ]
        with m.If(take):
            for n in range(depth - 1):
                m.d.sync += addresses[n].eq(addresses[n + 1])
        for n in range(depth):
            with m.If(put & (waiting - take == n)):
                m.d.sync += addresses[n].eq(self.address)
        m.d.sync += waiting.eq(waiting + put - take)
        with m.If(self.flush):
            m.d.sync += waiting.eq(0)
        return addresses[0], take
