"""Rows of the result in the order in which the core hands them out, and where they lie in memory."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..bus.layouts import JobLayout
from ..params import Params


class RowWalk(wiring.Component):
    """Walks through the rows of tiles and their addresses, by adding.

    In a tile the rows of a beat come first, which are R*T/drain apart, then those of the next one. The tiles of a group
    of panels come column after column; the first rows of the next panel, or of the next group, follow those of the one
    before.

    Latency: one cycle (``latency``). Throughput: one row per cycle.

    Parameters
    ----------
    params
        Of which ``rows``, ``interleave``, ``drain`` and ``address_bits`` are used.

    Members
    -------
    job : In(JobLayout(params))
        The job.
    start : In(1)
        It begins.
    ready : Out(1)
        A tile may be begun; some cycles after ``start``.
    load : In(1)
        Begin a tile: in the cycle of the last ``step`` of the one before, or later.
    panel_first : In(1), column_first : In(1)
        It is the first of its panels, and has the first columns.
    step : In(1)
        Go on to the next row.
    row : Out
        Of the tile.
    address : Out
        Of the row's first byte.
    end : Out(1)
        It is the last row of the tile.
    """

    unit_name = "row_walk"
    latency = 1

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "job": In(JobLayout(params)),
                "start": In(1),
                "ready": Out(1),
                "load": In(1),
                "panel_first": In(1),
                "column_first": In(1),
                "step": In(1),
                "row": Out(range(params.tile_rows)),
                "address": Out(params.address_bits),
                "end": Out(1),
            }
        )

    @property
    def unit_key(self) -> tuple:
        p = self._params
        return ("rows", p.tile_rows), ("drain", p.drain), ("address", p.address_bits)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, address, row, stride = self._params, self.address, self.row, self.job.c_stride
        apart = p.tile_beats  # rows from one to the next of a beat
        group, line, total, base = (Signal(p.address_bits, name=name) for name in ("group", "line", "total", "base"))
        beat, place, beat_end = Signal.like(row), Signal(range(p.drain)), Signal()
        far = self._multiple(m, apart) if p.drain > 1 else stride
        # Behind a tile's last row comes the first of the next panel.
        m.d.comb += [
            self.end.eq(row == p.tile_rows - 1),
            beat_end.eq(place == p.drain - 1),
            total.eq(Mux(beat_end & ~self.end, line, address) + Mux(beat_end, stride, far)),
            base.eq(Mux(self.step, total, address)),
        ]
        with m.If(self.step):
            m.d.sync += address.eq(total)
            with m.If(beat_end):
                m.d.sync += [place.eq(0), line.eq(total), beat.eq(beat + 1), row.eq(beat + 1)]
            with m.Else():
                m.d.sync += [place.eq(place + 1), row.eq(row + apart)]
        with m.If(self.load):
            with m.If(self.panel_first):
                with m.If(self.column_first):
                    m.d.sync += group.eq(base)
                with m.Else():
                    m.d.comb += base.eq(group)
            m.d.sync += [address.eq(base), line.eq(base), row.eq(0), beat.eq(0), place.eq(0)]
        with m.If(self.start):
            m.d.sync += address.eq(self.job.c_address)
        if p.drain == 1:
            m.d.comb += self.ready.eq(1)
        return m

    def _multiple(self, m: Module, factor: int) -> Signal:
        """A multiple of the stride, which is worked out bit by bit behind ``start``."""
        product = Signal(self._params.address_bits, name="far")
        todo = Signal(factor.bit_length() + 1)  # bits of the factor at its top, and a 1 behind the last
        m.d.comb += self.ready.eq(~todo[:-1].any())
        with m.If(self.start):
            m.d.sync += [product.eq(0), todo.eq(factor << 1 | 1)]
        with m.Elif(~self.ready):
            m.d.sync += [product.eq((product << 1) + Mux(todo[-1], self.job.c_stride, 0)), todo.eq(todo << 1)]
        return product
