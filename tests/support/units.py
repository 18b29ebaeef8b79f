"""Small units for the tests of emission: streams with structs, units in units, two variants of one class."""

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from mixdit_hw.unit import add_unit


class Square(Elaboratable):
    """A plain submodule: no unit of its own."""

    def __init__(self) -> None:
        self.i = Signal(8)
        self.o = Signal(16)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.o.eq(self.i * self.i)
        return m


class Cell(wiring.Component):
    """Sum of squares.

    Members
    -------
    i : In(8), clear : In(1)
        Value to square; clear the sum.
    total : Out(16)
        Sum.
    end : Out(1)
        The sum is past its half.
    """

    unit_name = "cell"
    unit_key: tuple = ()
    latency = 2

    def __init__(self) -> None:
        super().__init__({"i": In(8), "clear": In(1), "total": Out(16), "end": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.square = square = Square()
        m.d.comb += [square.i.eq(self.i), self.end.eq(self.total[-1])]
        m.d.sync += self.total.eq(self.total + square.o)
        with m.If(self.clear):
            m.d.sync += self.total.eq(0)
        return m


class Buffer(wiring.Component):
    """A queue."""

    unit_name = "buffer"

    def __init__(self, width: int, depth: int) -> None:
        self._width, self._depth = width, depth
        super().__init__({"i": In(stream.Signature(width)), "o": Out(stream.Signature(width))})

    @property
    def unit_key(self) -> tuple:
        return ("width", self._width), ("depth", self._depth)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=self._width, depth=self._depth)
        m.d.comb += [
            fifo.w_data.eq(self.i.payload),
            fifo.w_en.eq(self.i.valid),
            self.i.ready.eq(fifo.w_rdy),
            self.o.payload.eq(fifo.r_data),
            self.o.valid.eq(fifo.r_rdy),
            fifo.r_en.eq(self.o.ready),
        ]
        return m


class Pick(wiring.Component):
    """One of four bytes; without a clock."""

    unit_name = "pick"
    unit_key: tuple = ()

    def __init__(self) -> None:
        super().__init__({"i": In(data.ArrayLayout(8, 4)), "select": In(2), "o": Out(8)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.o.eq(self.i[self.select])
        return m


class Toy(wiring.Component):
    """Sums of squares of four bytes that come in a stream.

    Members
    -------
    a : In(stream)
        Four bytes and what to do with them.
    c : Out(stream)
        The four sums, or one of them.
    """

    unit_name = "toy"
    unit_key: tuple = ()

    def __init__(self) -> None:
        self._request = data.StructLayout({"bytes": data.ArrayLayout(8, 4), "select": 2, "clear": 1})
        result = data.StructLayout({"sums": data.ArrayLayout(16, 4), "one": 8})
        super().__init__({"a": In(stream.Signature(self._request)), "c": Out(stream.Signature(result)), "busy": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        add_unit(m, platform, "in_buffer", before := Buffer(self._request.size, 3))
        add_unit(m, platform, "out_buffer", after := Buffer(72, 5))
        add_unit(m, platform, "pick", pick := Pick())
        request = self._request(before.o.payload)
        m.d.comb += [
            before.i.payload.eq(self.a.payload),
            before.i.valid.eq(self.a.valid),
            self.a.ready.eq(before.i.ready),
            before.o.ready.eq(after.i.ready),
            pick.i.eq(request.bytes),
            pick.select.eq(request.select),
            after.i.valid.eq(before.o.valid),
            after.i.payload[64:].eq(pick.o),
            self.c.payload.eq(after.o.payload),
            self.c.valid.eq(after.o.valid),
            after.o.ready.eq(self.c.ready),
        ]
        ends = Signal(4)
        for i in range(4):
            add_unit(m, platform, f"cell_{i}", cell := Cell())
            m.d.comb += [
                cell.i.eq(Mux(before.o.valid, request.bytes[i], 0)),
                cell.clear.eq(before.o.valid & request.clear),
                after.i.payload[16 * i : 16 * i + 16].eq(cell.total),
                ends[i].eq(cell.end),
            ]
        m.d.comb += self.busy.eq(ends.any())
        return m
