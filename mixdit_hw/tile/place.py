"""Which block of an operand comes next, and which entry of its buffer it goes to."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from golden.formats import BLOCK_SIZE, MX9

from ..bus.layouts import SIZE_BITS, JobLayout
from ..codec.split import MOST_FULL
from ..job import MAX_SIZE, Data, blocks_of
from ..params import Params
from ..shapes import FORMAT_CODE_BITS
from ..unit import add_unit
from .slots import (
    SlotWalk,
    bank_count,
    bank_depth,
    block_entries,
    check_side,
    operand_key,
    slot_count,
    slot_entries,
    slot_lines,
)
from .turn import COUNT_BITS

MASK_DEPTH = 1 << (blocks_of(MAX_SIZE) - 1).bit_length()
MASK_BITS = (MASK_DEPTH - 1).bit_length()


def splits(params: Params, side: str) -> bool:
    """Whether outliers can be kept apart on that side of a design: in A, where there is MX9 for them."""
    return side == "a" and MX9.name in params.formats


class EntryLayout(data.StructLayout):
    """An entry of an operand's buffer.

    Fields
    ------
    bank
        Bank.
    address
        Entry of the bank.
    keep : 1
        The block is to be written there; else it is of another slot.
    done : 1
        It is the last one of the slot.
    """

    def __init__(self, params: Params, side: str) -> None:
        super().__init__(
            {"bank": range(bank_count(params, side)), "address": range(bank_depth(params, side)), "keep": 1, "done": 1}
        )


class PlaceLayout(data.StructLayout):
    """A block, or 16 columns' blocks of W by rows.

    Fields
    ------
    entry
        Where it goes; of several columns, the first one's.
    format : 2
        Its format.
    rows, columns : 5
        W: of W by rows, how many rows and columns there are, 1 to 16.
    fetched : 1
        A: it comes from memory, and not from the outliers of the blocks before it.
    outliers : 16
        A: bit k: word k is an outlier.
    window_end : 13
        A: number, of the outliers' blocks, of the first one behind the slot, while a block with outliers is fetched; 0
        where the slot has none of them.
    """

    def __init__(self, params: Params, side: str) -> None:
        members = {"entry": EntryLayout(params, side), "format": FORMAT_CODE_BITS}
        if splits(params, side):
            members |= {"fetched": 1, "outliers": BLOCK_SIZE, "window_end": range(MOST_FULL + 2)}
        if side == "w":
            members |= {"rows": COUNT_BITS, "columns": COUNT_BITS}
        super().__init__(members)


class PlaceWalk(wiring.Component):
    """Walks through the blocks of a job's operand, in the order in which they come, a slot as soon as it is free.

    Latency two cycles from a slot's beginning (``latency``), four from ``start``; throughput one place a cycle, without
    gaps between lines and slots.

    Parameters
    ----------
    params
        Of the design.
    side
        ``a`` or ``w``.

    Members
    -------
    job : In(JobLayout(params))
        Job at work.
    start : In(1)
        It begins; all slots are free.
    free : In(1)
        A slot has become free.
    o : Out(stream of PlaceLayout(params, side))
        Places.
    mask_en : In(1), mask_address : In(12), mask_data : In(16)
        A, where the design has MX9: write port of the mask of outliers, a word for each K block.

    Raises
    ------
    ValueError
        ``side`` is unknown.
    """

    unit_name = "place_walk"
    latency = 2

    def __init__(self, params: Params, side: str) -> None:
        check_side(side)
        self._params = params
        self._side = side
        members = {
            "job": In(JobLayout(params)),
            "start": In(1),
            "free": In(1),
            "o": Out(stream.Signature(PlaceLayout(params, side))),
        }
        if splits(params, side):
            members |= mask_members()
        super().__init__(members)

    @property
    def unit_key(self) -> tuple:
        """What the hardware depends on."""
        return (*operand_key(self._params, self._side), ("splits", int(splits(self._params, self._side))))

    def elaborate(self, platform) -> Module:
        m = Module()
        p, side, job = self._params, self._side, self.job
        walk = SlotWalk(p, side)
        add_unit(m, platform, "walk", walk)
        m.d.comb += [walk.job.eq(job), walk.start.eq(self.start)]
        slot = walk.o.payload
        load, step = Signal(), Signal()

        # Slots: how many are free, and where the next one begins.
        slots, size = slot_count(p, side), slot_entries(p, side)
        spare, base = Signal(range(slots + 1), init=slots), Signal(range(bank_depth(p, side)))
        m.d.sync += spare.eq(spare + self.free - load)
        with m.If(load):
            m.d.sync += base.eq(Mux(base == (slots - 1) * size, 0, base + size))
        with m.If(self.start):
            m.d.sync += [spare.eq(slots), base.eq(0)]

        # What is the same for all blocks of a job.
        apart, turned, channel_blocks = Signal(), Signal(), Signal(SIZE_BITS)
        if splits(p, side):
            m.d.comb += apart.eq(job.outliers & (job.a_type != Data.MX))
        if side == "w":
            m.d.comb += turned.eq(~job.w_columns)
        m.d.sync += channel_blocks.eq((job.k + (BLOCK_SIZE - 1)) >> COUNT_BITS - 1)

        # The slot at work: its first and last block, and those of what comes of its lines.
        slot_first, slot_last = Signal(SIZE_BITS), Signal(SIZE_BITS)
        line_first, line_last = Signal(SIZE_BITS), Signal(SIZE_BITS)
        slot_base = Signal.like(base)
        active, lines, block = Signal(), Signal(range(slot_lines(p, side) + 1)), Signal(SIZE_BITS)
        entry = Signal(EntryLayout(p, side))  # without its flags
        line_over, last_line = Signal(), Signal()
        m.d.comb += [
            line_over.eq(block == line_last),
            last_line.eq(Mux(turned, lines <= BLOCK_SIZE, lines == 1)),
            load.eq((~active | (step & line_over & last_line)) & walk.o.valid & (spare != 0)),
            walk.o.ready.eq((~active | (step & line_over & last_line)) & (spare != 0)),
            entry.keep.eq(~apart | ((block >= slot_first) & (block <= slot_last))),
            entry.done.eq(last_line & (block == slot_last)),
        ]
        bank, address = Signal.like(entry.bank), Signal.like(entry.address)
        m.d.comb += [entry.bank.eq(bank), entry.address.eq(address)]
        entries = block_entries(p, side)
        turn, turn_next = Signal(range(entries)), Signal(range(entries))
        m.d.comb += turn_next.eq(Mux(turn == entries - 1, 0, turn + 1))
        with m.If(step):
            m.d.sync += [block.eq(block + 1), address.eq(Mux(entry.keep, address + entries, address))]
            with m.If(line_over):
                m.d.sync += [
                    block.eq(line_first),
                    lines.eq(lines - Mux(turned, BLOCK_SIZE, 1)),
                    turn.eq(turn_next),
                    address.eq(slot_base + turn_next),
                    bank.eq(bank + Mux(turned, BLOCK_SIZE, turn_next == 0)),
                ]
                with m.If(last_line):
                    m.d.sync += active.eq(0)
        with m.If(load):
            m.d.sync += [
                active.eq(1),
                lines.eq(slot.lines),
                slot_first.eq(slot.first),
                slot_last.eq(slot.end - 1),
                line_first.eq(Mux(apart, 0, slot.first)),
                line_last.eq(Mux(apart, job.ends[3], slot.end) - 1),
                block.eq(Mux(apart, 0, slot.first)),
                slot_base.eq(base),
                address.eq(base),
                turn.eq(0),
                bank.eq(0),
            ]

        # The place, in registers; the mask is read at the same time.
        valid, shown = Signal(), Signal(PlaceLayout(p, side), reset_less=True)
        m.d.comb += [step.eq(active & (~valid | self.o.ready)), self.o.valid.eq(valid), self.o.payload.eq(shown)]
        with m.If(~valid | self.o.ready):
            m.d.sync += valid.eq(active)
        with m.If(step):
            formats = job.a_formats if side == "a" else job.w_formats
            m.d.sync += [shown.entry.eq(entry), shown.format.eq(formats[3])]
            for segment in reversed(range(3)):
                with m.If(block < job.ends[segment]):
                    m.d.sync += shown.format.eq(formats[segment])
            if splits(p, side):
                m.d.sync += shown.fetched.eq(~apart | (block < channel_blocks))
            if side == "w":
                rest = job.k[: COUNT_BITS - 1]
                short = (block + 1 == channel_blocks) & (rest != 0)
                m.d.sync += [
                    shown.rows.eq(Mux(short, rest, BLOCK_SIZE)),
                    shown.columns.eq(Mux(lines < BLOCK_SIZE, lines, BLOCK_SIZE)),
                ]
        if splits(p, side):
            # While a fetched block is shown, its line's blocks of outliers are still to come, in the same slot.
            window_end = Signal.like(self.o.payload.window_end)
            with m.If(load):
                m.d.sync += window_end.eq(Mux(slot.end > channel_blocks, slot.end - channel_blocks, 0))
            m.d.comb += self.o.payload.window_end.eq(window_end)
            m.submodules.mask = mask = Memory(shape=BLOCK_SIZE, depth=MASK_DEPTH, init=[])
            write, read = mask.write_port(), mask.read_port()
            m.d.comb += [
                write.en.eq(self.mask_en),
                write.addr.eq(self.mask_address),
                write.data.eq(self.mask_data),
                read.en.eq(step),
                read.addr.eq(block),
                self.o.payload.outliers.eq(read.data & apart.replicate(BLOCK_SIZE)),
            ]
        return m


def mask_members() -> dict:
    """Write port of the mask of outliers."""
    return {"mask_en": In(1), "mask_address": In(MASK_BITS), "mask_data": In(BLOCK_SIZE)}
