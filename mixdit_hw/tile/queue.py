"""Pointers of an operand memory: where to write, which block comes next, and whether it is complete."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from golden.formats import MX9

from ..array.control import pointer_bits
from ..latency import QUEUE_LATENCY
from ..shapes import FORMAT_CODE_BITS


class OperandQueue(wiring.Component):
    """Bookkeeping of the memories of one side of the array, which hold K blocks of ``entries`` entries each.

    The memories themselves stand in the feeders, which read at times of their own; an entry is free when the last of
    them has gone past it (``oldest``). Here are only the write pointer, the pointer of the next block, and each entry's
    count of digits.

    Latency: an entry accepted in one cycle counts as available in the next (`latency`). Throughput: one entry
    per cycle.

    Parameters
    ----------
    depth
        Entries of the memory, a power of two.
    entries
        Entries of a K block: T for A, 1 for W.
    digits
        Digits of the widest format, 1 or 2.

    Members
    -------
    valid : In(1), ready : Out(1), format : In(2)
        The stream of entries, without its blocks; the format of a block's first entry is that of the block.
    write : Out(1), write_address : Out
        To the feeders.
    oldest : In
        Pointer that the last feeder uses.
    head : Out
        Pointer of the next block.
    available : Out(1)
        It is complete.
    two_digits : Out(1)
        Its magnitudes have low digits.
    take : In(1)
        Go on to the block after it.
    """

    unit_name = "operand_queue"
    latency = QUEUE_LATENCY

    def __init__(self, depth: int, entries: int, digits: int) -> None:
        self._depth = depth
        self._entries = entries
        self._digits = digits
        pointer = pointer_bits(depth)
        super().__init__(
            {
                "valid": In(1),
                "ready": Out(1),
                "format": In(FORMAT_CODE_BITS),
                "write": Out(1),
                "write_address": Out(range(depth)),
                "oldest": In(pointer),
                "head": Out(pointer),
                "available": Out(1),
                "two_digits": Out(1),
                "take": In(1),
            }
        )

    @property
    def unit_key(self) -> tuple:
        return ("depth", self._depth), ("entries", self._entries), ("digits", self._digits)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        tail = Signal.like(self.head)
        used, waiting = Signal.like(self.head), Signal.like(self.head)
        m.d.comb += [
            used.eq(tail - self.oldest),
            waiting.eq(tail - self.head),
            self.ready.eq(used != self._depth),
            self.available.eq(waiting >= self._entries),
            self.write.eq(self.valid & self.ready),
            self.write_address.eq(tail),
        ]
        with m.If(self.write):
            m.d.sync += tail.eq(tail + 1)
        with m.If(self.take):
            m.d.sync += self.head.eq(self.head + self._entries)

        if self._digits == 2:
            m.submodules.formats = formats = Memory(shape=1, depth=self._depth, init=[])
            write, read = formats.write_port(), formats.read_port(domain="comb")
            m.d.comb += [
                write.en.eq(self.write),
                write.addr.eq(tail),
                write.data.eq(self.format == MX9.code),
                read.addr.eq(self.head),
                self.two_digits.eq(read.data),
            ]
        return m
