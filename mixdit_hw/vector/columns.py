"""Scale and bias of the columns of a tile, which come from memory or from the job."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..bus.layouts import ItemLayout, JobLayout, RunLayout, TileLayout
from ..job import Operand
from ..params import Params
from ..shapes import FP32_BITS
from ..stream import StreamRegister

WORD_BYTES = FP32_BITS // 8
ONE = 0x3F800000  # a scale that changes nothing, as a bias of +0 does
NAN = 0x7FC00000
PARTS = ("scale", "bias")  # in the order in which they are fetched


class ColumnOperands(wiring.Component):
    """Fetches scale and bias of each tile's columns where they lie in memory, and holds tiles back until they are here.

    All panels of a group share the words that the first one's tile brings, so only that is held back. There is room for
    the words of two such tiles, the one that was taken last and the one to come, so that these come while that is
    worked on.

    Latency: one cycle from ``tile`` to ``o`` where nothing is fetched, and two from the last item to ``o`` where that
    is. ``scale`` and ``bias`` follow ``index`` in the same cycle. Throughput: a tile per cycle where nothing is
    fetched; a fetch begins when all tiles before it have been taken.

    Parameters
    ----------
    params
        Of which ``columns`` and ``address_bits`` are used.

    Members
    -------
    job : In(JobLayout(params))
        The job, constant while it runs.
    tile : In(stream of TileLayout)
        Tiles, in their order.
    run : Out(stream of RunLayout(params))
        What to read: for each column of the tile a word of scale, and then as much of bias.
    item : In(stream of ItemLayout)
        Their words, L at a time.
    o : Out(stream of TileLayout)
        The same tiles, when their words are here.
    index : In
        Which L columns of the tile.
    scale, bias : Out(L x 32)
        Their words, of the tile that was taken from ``o`` last. 1 and +0 where the job has none; NaN of the bias is
        0x7FC00000.
    """

    unit_name = "column_operands"

    def __init__(self, params: Params) -> None:
        self._params = params
        self._groups = params.columns // params.store_lanes
        words = data.ArrayLayout(FP32_BITS, params.store_lanes)
        super().__init__(
            {
                "job": In(JobLayout(params)),
                "tile": In(stream.Signature(TileLayout())),
                "run": Out(stream.Signature(RunLayout(params))),
                "item": In(stream.Signature(ItemLayout())),
                "o": Out(stream.Signature(TileLayout())),
                "index": In(range(self._groups)),
                "scale": Out(words),
                "bias": Out(words),
            }
        )

    @property
    def unit_key(self) -> tuple:
        return ("columns", self._params.columns), ("address", self._params.address_bits)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, job, tile = self._params, self.job, self.tile.payload
        m.submodules.held = held = StreamRegister(TileLayout())
        wiring.connect(m, held.o, wiring.flipped(self.o))
        m.d.comb += held.i.payload.eq(tile)
        used = Signal()  # half of the memories that the tile in work reads
        with m.If(self.o.valid & self.o.ready & (self.o.payload.panel == 0)):
            m.d.sync += used.eq(~used)

        modes = Cat(job.scale_mode == Operand.COLUMN, job.bias_mode == Operand.COLUMN)
        ask, wanted = Signal(len(PARTS)), Signal(len(PARTS))  # what is still to be asked for, and to come
        following, offset = Signal(18), Signal(18)  # bytes of the columns before the tile's
        place = Signal.like(self.index)
        take = Signal()  # an item
        m.d.comb += [
            offset.eq(Mux(tile.first, 0, following)),
            take.eq(self.item.valid & self.item.ready),
            self.run.payload.address.eq(Mux(ask[0], job.scale, job.bias) + offset),
            self.run.payload.bytes.eq(tile.columns << 2),
            self.run.payload.item.eq(p.store_lanes * WORD_BYTES),
        ]
        for n, name in enumerate(PARTS):
            first = n == 0
            mine = wanted[0] if first else ~wanted[0]
            self._words(m, name, Cat(place, ~used), Cat(self.index, used), take & mine)
        with m.FSM():
            with m.State("TILE"):
                with m.If((tile.panel == 0) & modes.any()), m.If(self.tile.valid & ~self.o.valid):
                    m.d.sync += [ask.eq(modes), wanted.eq(modes)]
                    m.next = "FETCH"
                with m.Else():
                    m.d.comb += [held.i.valid.eq(self.tile.valid), self.tile.ready.eq(held.i.ready)]
            with m.State("FETCH"):
                m.d.comb += [self.run.valid.eq(ask.any()), self.item.ready.eq(wanted.any())]
                with m.If(self.run.ready):
                    m.d.sync += ask.eq(ask & (ask - 1))
                with m.If(take):
                    m.d.sync += place.eq(place + 1)
                    with m.If(self.item.payload.last):
                        m.d.sync += [place.eq(0), wanted.eq(wanted & (wanted - 1))]
                with m.If(~wanted.any()):
                    m.d.comb += [held.i.valid.eq(1), self.tile.ready.eq(1)]
                    m.d.sync += following.eq(offset + p.columns * WORD_BYTES)
                    m.next = "TILE"
        return m

    def _words(self, m: Module, name: str, write_address: Value, read_address: Value, write_en: Value) -> None:
        """Memory of one operand, and what leaves: its words, or the same one for all columns."""
        lanes = self._params.store_lanes
        m.submodules[name] = words = Memory(shape=FP32_BITS * lanes, depth=1 << len(write_address), init=[])
        write, read = words.write_port(), words.read_port(domain="comb")
        mode, neutral = self.job[f"{name}_mode"], ONE if name == "scale" else 0
        common = Mux(mode == Operand.TENSOR, self.job[name][:FP32_BITS], neutral)
        m.d.comb += [
            write.addr.eq(write_address),
            write.data.eq(self.item.payload.data),
            write.en.eq(write_en),
            read.addr.eq(read_address),
        ]
        for k, out in enumerate(getattr(self, name)):
            word = Signal(FP32_BITS, name=f"{name}_{k}")
            m.d.comb += word.eq(Mux(mode == Operand.COLUMN, read.data.word_select(k, FP32_BITS), common))
            is_nan = word[23:31].all() & word[:23].any()
            m.d.comb += out.eq(Mux(is_nan, NAN, word) if name == "bias" else word)
