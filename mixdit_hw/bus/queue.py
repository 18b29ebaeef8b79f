"""A queue in block memory."""

from typing import Any

from amaranth.hdl import Module, Shape, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out


class StreamQueue(wiring.Component):
    """A queue in a memory whose read port has a register, as block memories do.

    Latency: 2 cycles from an item's acceptance to its first cycle at the output (`latency`). Throughput: one item per
    cycle.

    Parameters
    ----------
    shape
        Of the payload.
    depth
        Items that the memory holds, a power of two of at least 2; the output has room for one more.

    Members
    -------
    i : In(stream.Signature(shape))
        Items.
    o : Out(stream.Signature(shape))
        The same items; the payload comes from the memory's read port.

    Raises
    ------
    ValueError
        The depth is no such number.
    """

    unit_name = "stream_queue"
    latency = 2

    def __init__(self, shape: Any, depth: int) -> None:
        if depth < 2 or depth & (depth - 1):
            raise ValueError(f"depth must be a power of two of at least 2, not {depth}")
        self._width = Shape.cast(shape).width
        self._depth = depth
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    @property
    def unit_key(self) -> tuple:
        return ("width", self._width), ("depth", self._depth)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=self._width, depth=self._depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        level = Signal(range(self._depth + 1))  # of the memory
        m.d.comb += [
            self.i.ready.eq(level != self._depth),
            write.en.eq(self.i.valid & self.i.ready),
            write.data.eq(Value.cast(self.i.payload)),
            read.en.eq((level != 0) & (~self.o.valid | self.o.ready)),
            Value.cast(self.o.payload).eq(read.data),
        ]
        m.d.sync += level.eq(level + write.en - read.en)
        with m.If(write.en):
            m.d.sync += write.addr.eq(write.addr + 1)
        with m.If(read.en):
            m.d.sync += read.addr.eq(read.addr + 1)
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += self.o.valid.eq(read.en)
        return m
