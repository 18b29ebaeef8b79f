"""Operands from memory into the blocks of their buffers."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.data import View
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from golden.formats import BLOCK_SIZE

from ..bus.layouts import ItemLayout, JobLayout, RunLayout
from ..codec.convert import Converter
from ..codec.decode import Unpacker
from ..codec.split import OutlierSplit
from ..job import Data
from ..params import Params
from ..shapes import FORMAT_CODE_BITS, BlockLayout
from ..unit import add_unit
from .place import EntryLayout, PlaceWalk, mask_members, splits
from .rows import RunWalk
from .slots import bank_count, bank_depth, check_side, operand_key
from .turn import WORDS, Turner

HALF_BITS = 16
SPLIT_LATENCY = 1  # of `OutlierSplit`
PENDING_DEPTH = 4  # entries whose blocks are on their way through the outlier split, at least 2


class OperandLoader(wiring.Component):
    """Reads the rows of A, or the columns of W, from memory and writes their blocks into the operand's buffer.

    Packed blocks are brought into the core's container; FP32 and BF16 words are converted, those of A after their
    outliers have been set apart, those of a W that is stored by rows after 16 x 16 words at a time have been turned.
    What is to be read is asked for ahead of the data; a slot is filled once it is free.

    Latency, from an item to its block: one cycle for packed blocks and two for words, three for those of A in a design
    with MX9, and two more in W by rows, from the last row of a square. Throughput one block a cycle; in W by rows one
    row of 16 columns a cycle.

    Parameters
    ----------
    params
        Of the design.
    side
        ``a`` or ``w``.

    Members
    -------
    job : In(JobLayout(params))
        Job at work, constant from ``start`` to its end.
    start : In(1)
        It begins, with all slots free and slot 0 as the first to be filled.
    run : Out(stream of RunLayout(params))
        What to read.
    item : In(stream of ItemLayout)
        What has been read.
    free : In(1)
        A slot of the buffer has become free.
    filled : Out(1)
        The last block of the next slot is written in this cycle.
    write_en : Out(1), write_bank : Out, write_address : Out, write_block : Out(BlockLayout(params.magnitude_bits))
        Write port of the buffer: row r*T + t of a panel of A is in bank r, its K block kb in entry kb*T + t of its
        slot; column c of W is in bank c, its K block kb in entry kb.
    mask_en : In(1), mask_address : In(12), mask_data : In(16)
        Side a of designs with MX9: write port of the mask of outliers, a word for each K block. To be written before
        ``start``.

    Raises
    ------
    TypeError
        ``params`` is no `Params`.
    ValueError
        ``side`` is unknown.
    """

    unit_name = "operand_loader"

    def __init__(self, params: Params, side: str) -> None:
        if not isinstance(params, Params):
            raise TypeError(f"params must be a Params, not {params!r}")
        check_side(side)
        self._params = params
        self._side = side
        members = {
            "job": In(JobLayout(params)),
            "start": In(1),
            "run": Out(stream.Signature(RunLayout(params))),
            "item": In(stream.Signature(ItemLayout())),
            "free": In(1),
            "filled": Out(1),
            "write_en": Out(1),
            "write_bank": Out(range(bank_count(params, side))),
            "write_address": Out(range(bank_depth(params, side))),
            "write_block": Out(BlockLayout(params.magnitude_bits)),
        }
        if splits(params, side):
            members |= mask_members()
        super().__init__(members)

    @property
    def unit_key(self) -> tuple:
        """What the hardware depends on."""
        p = self._params
        return (
            *operand_key(p, self._side),
            ("formats", p.formats),
            ("rounding", p.rounding),
            ("subnormals", p.subnormals),
            ("nonfinite", p.nonfinite),
            ("outlier_depth", p.outlier_depth),
        )

    @property
    def latency(self) -> int:
        """Cycles from the acceptance of 16 words of a line to the write of their block."""
        split = SPLIT_LATENCY if splits(self._params, self._side) else 0
        return split + Converter.latency + 1  # and the write port's registers

    def elaborate(self, platform) -> Module:
        m = Module()
        p, side, job = self._params, self._side, self.job

        runs = RunWalk(p, side)
        add_unit(m, platform, "runs", runs)
        places = PlaceWalk(p, side)
        add_unit(m, platform, "places", places)
        wiring.connect(m, runs.run, wiring.flipped(self.run))
        m.d.comb += [unit.job.eq(job) for unit in (runs, places)]
        m.d.comb += [unit.start.eq(self.start) for unit in (runs, places)]
        m.d.comb += places.free.eq(self.free)
        if splits(p, side):
            m.d.comb += [getattr(places, name).eq(getattr(self, name)) for name in mask_members()]

        kind = job.a_type if side == "a" else job.w_type
        packed, words = Signal(), Signal(WORDS)
        bits = self.item.payload.data
        m.d.comb += packed.eq(kind == Data.MX)
        with m.Switch(kind):  # zeros else, so that the converter stands still while packed blocks pass
            with m.Case(Data.FP32):
                m.d.comb += words.eq(bits)
            with m.Case(Data.BF16):
                for k in range(BLOCK_SIZE):
                    m.d.comb += words[k].eq(bits.word_select(k, HALF_BITS) << HALF_BITS)

        # Whatever comes has its entry in a slot that is free: neither unpacker nor converter ever has to wait.
        unpacker, converter = Unpacker(p), Converter(p)
        add_unit(m, platform, "unpacker", unpacker)
        add_unit(m, platform, "converter", converter)
        place = places.o.payload
        both = Signal()  # an item, and its place
        m.d.comb += [
            both.eq(self.item.valid & places.o.valid),
            unpacker.i.valid.eq(both),
            unpacker.i.payload.bits.eq(bits),
            unpacker.i.payload.format.eq(place.format),
            unpacker.o.ready.eq(1),
            converter.o.ready.eq(1),
        ]
        entry = Signal(EntryLayout(p, side))  # of the words at the converter's input
        if splits(p, side):
            direct = packed
            self._split(m, platform, ~packed, words, places, converter, entry)
        else:
            direct = job.w_columns if side == "w" else Const(1)
            if side == "w":
                self._turn(m, platform, ~direct, words, places, converter, entry)
            with m.If(direct):
                m.d.comb += [
                    converter.i.valid.eq(both & ~packed),
                    converter.i.payload.words.eq(words),
                    converter.i.payload.format.eq(place.format),
                    entry.eq(place.entry),
                ]
            if p.rounding == "runtime":
                m.d.comb += converter.i.payload.rounding.eq(job.rounding)
        with m.If(direct):
            m.d.comb += [self.item.ready.eq(places.o.valid), places.o.ready.eq(self.item.valid)]

        converted, written = Signal.like(entry), Signal.like(entry)
        valid = Signal()
        m.d.sync += converted.eq(entry)
        m.d.comb += [
            valid.eq(Mux(packed, unpacker.o.valid, converter.o.valid)),
            written.eq(Mux(packed, place.entry, converted)),
        ]
        m.d.sync += [
            self.write_en.eq(valid & written.keep),
            self.filled.eq(valid & written.done),
            self.write_bank.eq(written.bank),
            self.write_address.eq(written.address),
            self.write_block.eq(Mux(packed, unpacker.o.payload.blocks[0], converter.o.payload.blocks[0])),
        ]
        return m

    def _split(self, m: Module, platform, enable: Value, words: View, places, converter, entry: View) -> None:
        """Words of A go through the outlier split; their places wait for them, and for the blocks of outliers."""
        p, job, place = self._params, self.job, places.o.payload
        split, pending = OutlierSplit(p, depth=p.outlier_depth, windowed=True), _Pending(EntryLayout(p, self._side))
        add_unit(m, platform, "split", split)
        m.submodules.pending = pending
        i, o = split.i.payload, split.o.payload
        tail = Signal(BLOCK_SIZE)  # channels of a row's last words
        rest = job.k[: BLOCK_SIZE.bit_length() - 1]
        with m.Switch(rest):
            for count in range(1, BLOCK_SIZE):
                with m.Case(count):
                    m.d.comb += tail.eq((1 << count) - 1)
            with m.Default():
                m.d.comb += tail.eq((1 << BLOCK_SIZE) - 1)
        m.d.comb += [
            i.words.eq(words),
            i.present.eq(Mux(job.outliers & self.item.payload.last, tail, (1 << BLOCK_SIZE) - 1)),
            i.outliers.eq(place.outliers),
            i.format.eq(place.format),
            i.last.eq(self.item.payload.last),
            split.window_end.eq(place.window_end),
            pending.i.payload.eq(place.entry),
            pending.o.ready.eq(split.o.valid),
            entry.eq(pending.o.payload),
            split.o.ready.eq(1),
            converter.i.valid.eq(split.o.valid),
            converter.i.payload.eq(o),
        ]
        if self._params.rounding == "runtime":
            m.d.comb += i.rounding.eq(job.rounding)
        with m.If(enable & places.o.valid & pending.i.ready):
            with m.If(place.fetched):
                m.d.comb += [split.i.valid.eq(self.item.valid), self.item.ready.eq(split.i.ready)]
                m.d.comb += places.o.ready.eq(self.item.valid & split.i.ready)
            with m.Else():
                m.d.comb += places.o.ready.eq(1)
        m.d.comb += pending.i.valid.eq(enable & places.o.valid & places.o.ready)

    def _turn(self, m: Module, platform, enable: Value, words: View, places, converter, entry: View) -> None:
        """Rows of W go through the turner, with the place of their square."""
        place = places.o.payload
        tag = data.StructLayout({"entry": EntryLayout(self._params, self._side), "format": FORMAT_CODE_BITS})
        turner = Turner(tag.size)
        add_unit(m, platform, "turner", turner)
        i, o = turner.i.payload, turner.o.payload
        known = tag(o.tag)
        m.d.comb += [
            i.words.eq(words),
            i.rows.eq(place.rows),
            i.columns.eq(place.columns),
            i.tag.eq(Cat(place.entry, place.format)),
            turner.o.ready.eq(1),
        ]
        with m.If(enable):
            m.d.comb += [
                turner.i.valid.eq(self.item.valid & places.o.valid),
                self.item.ready.eq(places.o.valid & turner.i.ready),
                places.o.ready.eq(self.item.valid & turner.i.ready & turner.square_end),
                converter.i.valid.eq(turner.o.valid),
                converter.i.payload.words.eq(o.words),
                converter.i.payload.format.eq(known.format),
                entry.eq(known.entry),
                entry.bank.eq(known.entry.bank + o.column),
                entry.done.eq(known.entry.done & o.last),
            ]


class _Pending(wiring.Component):
    """A queue of a few entries."""

    def __init__(self, shape) -> None:
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform) -> Module:
        m = Module()
        shape = Value.cast(self.i.payload).shape()
        m.submodules.store = store = Memory(shape=shape, depth=PENDING_DEPTH, init=[])
        write, read = store.write_port(), store.read_port(domain="comb")
        put, got = Signal(range(2 * PENDING_DEPTH)), Signal(range(2 * PENDING_DEPTH))
        m.d.comb += [
            self.i.ready.eq(put - got != PENDING_DEPTH),
            self.o.valid.eq(put != got),
            write.en.eq(self.i.valid & self.i.ready),
            write.addr.eq(put),
            write.data.eq(Value.cast(self.i.payload)),
            read.addr.eq(got),
            Value.cast(self.o.payload).eq(read.data),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += put.eq(put + 1)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += got.eq(got + 1)
        return m
