"""Scale and bias of the core's results, a few columns at a time."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from ..arith.register import register
from ..bus.layouts import TileLayout
from ..params import Params
from ..shapes import FP32_BITS, ResultBeatLayout
from ..unit import add_unit
from .scale import BF16_BITS, ScaleBias, scale_latency

ROOM = 32  # groups of L words on their way: a round trip of 18 + 5 cycles, and some that wait
TILES = 4  # that can be on their way


def lanes_latency(params: Params) -> int:
    """Cycles of `ScaleLanes`."""
    return scale_latency(params.loop_latency) + 3


class ScaleLanes(wiring.Component):
    """Takes the core's results apart into groups of L columns, row after row of each beat, and scales them.

    A group goes into L units of scale and bias when there is room behind them for all that is on its way.

    Latency: 3 cycles more than scale and bias take (``latency``). Throughput: one group per cycle, also from tile to
    tile.

    Parameters
    ----------
    params
        Of which ``columns``, ``drain`` and ``loop_latency`` are used.

    Members
    -------
    bf16 : In(1)
        The results are of BF16: a word's upper half is the rounded result, and the lower half means nothing.
    tile : In(stream of TileLayout)
        What results come: those of one tile after the other.
    c : In(stream of ResultBeatLayout(drain, columns))
        From the core.
    index : Out
        Which L columns go into work.
    scale, bias : In(L x 32)
        Their words, in the same cycle.
    tile_o : Out(stream of TileLayout)
        Tiles that came into work.
    o : Out(stream of L x 32)
        Groups of scaled words: C/L for each row of a tile.
    """

    unit_name = "scale_lanes"

    def __init__(self, params: Params) -> None:
        self._params = p = params
        words = data.ArrayLayout(FP32_BITS, p.store_lanes)
        super().__init__(
            {
                "bf16": In(1),
                "tile": In(stream.Signature(TileLayout())),
                "c": In(stream.Signature(ResultBeatLayout(p.drain, p.columns))),
                "index": Out(range(p.columns // p.store_lanes)),
                "scale": In(words),
                "bias": In(words),
                "tile_o": Out(stream.Signature(TileLayout())),
                "o": Out(stream.Signature(words)),
            }
        )

    @property
    def unit_key(self) -> tuple:
        p = self._params
        return ("columns", p.columns), ("drain", p.drain), ("loop", p.loop_latency)

    @property
    def latency(self) -> int:
        """Cycles from a beat in front of ``c`` to its first group at ``o``."""
        return lanes_latency(self._params)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._params
        lanes, columns = p.store_lanes, p.columns // p.store_lanes
        groups = columns * p.drain  # of a beat
        active, issue, room = Signal(), Signal(), Signal(range(ROOM + 1), init=ROOM)
        group = Signal(range(groups))
        end, row_end = Signal(), Signal()
        m.d.comb += [
            issue.eq(active & self.c.valid & (room != 0)),
            end.eq(group == groups - 1),
            row_end.eq(self.index == columns - 1),
            self.c.ready.eq(issue & end),
        ]
        with m.If(issue):
            m.d.sync += [group.eq(group + 1), self.index.eq(self.index + 1)]
            with m.If(end):
                m.d.sync += group.eq(0)
            with m.If(row_end):
                m.d.sync += self.index.eq(0)

        m.submodules.tiles = tiles = SyncFIFOBuffered(width=TileLayout().size, depth=TILES)
        m.d.comb += [
            self.tile.ready.eq((~active | (self.c.ready & self.c.payload.last)) & tiles.w_rdy),
            tiles.w_en.eq(self.tile.valid & self.tile.ready),
            tiles.w_data.eq(self.tile.payload),
            self.tile_o.valid.eq(tiles.r_rdy),
            self.tile_o.payload.eq(tiles.r_data),
            tiles.r_en.eq(self.tile_o.ready),
        ]
        with m.If(tiles.w_en):
            m.d.sync += active.eq(1)
        with m.Elif(self.c.ready & self.c.payload.last):
            m.d.sync += active.eq(0)

        acc = Signal(lanes * FP32_BITS)
        words = self.c.payload.words.as_value()
        with m.Switch(group):
            for n in range(groups):
                with m.Case(n):
                    m.d.comb += acc.eq(words.word_select(n, lanes * FP32_BITS))
        inputs = {"acc": acc, "scale": self.scale, "bias": self.bias}
        late = {name: register(m, value, f"{name}_late") for name, value in inputs.items()}
        scaled = []
        under_way = Signal(1 + scale_latency(p.loop_latency))
        for k in range(lanes):
            add_unit(m, platform, f"lane_{k}", lane := ScaleBias(p.loop_latency))
            m.d.comb += [getattr(lane, name).eq(late[name].word_select(k, FP32_BITS)) for name in late]
            upper = Signal(BF16_BITS, name=f"upper_{k}")
            m.d.comb += upper.eq(lane.y[BF16_BITS:])
            with m.If(self.bf16):
                m.d.comb += upper.eq(lane.bf16)
            scaled += [lane.y[:BF16_BITS], upper]
        m.d.sync += under_way.eq(Cat(issue, under_way))

        m.submodules.queue = queue = SyncFIFOBuffered(width=lanes * FP32_BITS, depth=ROOM)
        m.d.comb += [
            queue.w_en.eq(under_way[-1]),
            queue.w_data.eq(Cat(*scaled)),
            self.o.valid.eq(queue.r_rdy),
            self.o.payload.eq(queue.r_data),
            queue.r_en.eq(self.o.ready),
        ]
        m.d.sync += room.eq(room - issue + (self.o.valid & self.o.ready))
        return m
