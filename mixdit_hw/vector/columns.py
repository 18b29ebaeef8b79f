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
SETS = 4  # of words, a power of two: of the tile that is worked on, and of tiles to come


class HeldTileLayout(data.StructLayout):
    """A tile on its way through `ColumnOperands`.

    Fields
    ------
    tile
        As it came.
    fresh : 1
        Words have been asked for with it.
    """

    def __init__(self) -> None:
        super().__init__({"tile": TileLayout(), "fresh": 1})


class ColumnOperands(wiring.Component):
    """Fetches scale and bias of each tile's columns where they lie in memory, and holds tiles back until they are here.

    All panels of a group share the words that the first one's tile brings. There is room for the words of four such
    tiles, the one that is worked on and three to come, and as many fetches are under way: memory may take as long as
    three tiles do.

    Latency: 4 cycles from ``tile`` to ``o`` (`latency`) where words are not waited for, and one from a tile's last item
    to ``o``. ``scale`` and ``bias`` follow ``index`` in the same cycle. Throughput: a tile per cycle where nothing is
    fetched; otherwise a run per cycle.

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
    latency = SETS

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
        modes = Cat(job.scale_mode == Operand.COLUMN, job.bias_mode == Operand.COLUMN)
        fresh, room, accept = Signal(), Signal(), Signal()
        parts, rest, begun, left = Signal(len(PARTS)), Signal(len(PARTS)), Signal(), Signal(len(PARTS))
        following, offset = Signal(18), Signal(18)  # bytes of the columns before the tile's
        taken = Signal(range(SETS + 1))  # sets that are asked for, full or in use
        coming = Signal(range(len(PARTS) * SETS + 1))  # runs whose last item has not come
        full = Signal(range(SETS + 1))
        source, held = self._hold(m)

        # Ask for the words of the tile in front, part by part, and let it go on.
        asked = self.run.valid & self.run.ready
        m.d.comb += [
            fresh.eq((tile.panel == 0) & modes.any()),
            room.eq(taken != SETS),
            parts.eq(Mux(begun, left, modes)),
            rest.eq(parts & (parts - 1)),
            self.run.valid.eq(self.tile.valid & fresh & source.ready & room),
            accept.eq(self.tile.valid & source.ready & Mux(fresh, asked & (rest == 0), 1)),
            self.tile.ready.eq(accept),
            source.valid.eq(accept),
            source.payload.tile.eq(tile),
            source.payload.fresh.eq(fresh),
            offset.eq(Mux(tile.first, 0, following)),
            self.run.payload.address.eq(Mux(parts[0], job.scale, job.bias) + offset),
            self.run.payload.bytes.eq(tile.columns << 2),
            self.run.payload.item.eq(p.store_lanes * WORD_BYTES),
        ]
        with m.If(asked):
            m.d.sync += [begun.eq(rest != 0), left.eq(rest)]
        with m.If(accept & fresh):
            m.d.sync += following.eq(offset + p.columns * WORD_BYTES)

        # Take words in, set by set and in a set part by part.
        place, into, second = Signal.like(self.index), Signal(range(SETS)), Signal()
        take, part_end, set_end, is_bias = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            self.item.ready.eq(coming != 0),
            take.eq(self.item.valid & self.item.ready),
            part_end.eq(take & self.item.payload.last),
            is_bias.eq(second | ~modes[0]),
            set_end.eq(part_end & (second | ~modes.all())),
        ]
        with m.If(take):
            m.d.sync += place.eq(Mux(part_end, 0, place + 1))
        with m.If(part_end):
            m.d.sync += second.eq(~set_end)
        m.d.sync += [into.eq(into + set_end), coming.eq(coming + asked - part_end)]

        # A tile with words of its own frees those of the one before it.
        used, uses = Signal(range(SETS), init=SETS - 1), Signal()
        turn = Signal()
        m.d.comb += [
            self.o.payload.eq(held.payload.tile),
            self.o.valid.eq(held.valid & (~held.payload.fresh | (full != 0))),
            held.ready.eq(self.o.valid & self.o.ready),
            turn.eq(held.ready & held.payload.fresh),
        ]
        m.d.sync += [
            used.eq(used + turn),
            uses.eq(uses | turn),
            full.eq(full + set_end - turn),
            taken.eq(taken + (accept & fresh) - (turn & uses)),
        ]
        for n, name in enumerate(PARTS):
            mine = is_bias if n else ~is_bias
            self._words(m, name, Cat(place, into), Cat(self.index, used), take & mine)
        return m

    def _hold(self, m: Module):
        """A way for tiles with a place for each set; its two ends."""
        stages = [StreamRegister(HeldTileLayout()) for _ in range(SETS)]
        for n, stage in enumerate(stages):
            m.submodules[f"held_{n}"] = stage
            if n:
                wiring.connect(m, stages[n - 1].o, stage.i)
        return stages[0].i, stages[-1].o

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
