"""Which bytes of memory an operand's blocks come from."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from golden.formats import BLOCK_SIZE, MX4, MX6, MX9

from ..bus.layouts import RUN_BITS, SIZE_BITS, JobLayout, RunLayout
from ..job import MAX_SEGMENTS, Data
from ..params import Params
from ..unit import add_unit
from .slots import SlotWalk, check_side, operand_key, slot_lines

WORD_BYTES = {Data.FP32: 4, Data.BF16: 2}


class RunWalk(wiring.Component):
    """Tells the runs of memory that hold a job's operand, in the order in which its slots are filled.

    MX: a run for each line (row of A, column of W) and segment. FP32 and BF16: one for each line, of what the slot
    takes of it, or of the whole line where its outliers are kept apart. W by rows: for each 16 columns of a slot, or
    what is left of them, one for each row, a single item.

    Latency five cycles from ``start`` to the first run (``latency``). Throughput a run in two cycles of MX and one in
    each cycle else, with one cycle more for each slot, and one for each slot's lines of words, or 16 columns of W by
    rows.

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
        It begins.
    run : Out(stream of RunLayout(params))
        Runs.

    Raises
    ------
    ValueError
        ``side`` is unknown.
    """

    unit_name = "run_walk"
    latency = 5

    def __init__(self, params: Params, side: str) -> None:
        check_side(side)
        self._params = params
        self._side = side
        super().__init__(
            {
                "job": In(JobLayout(params)),
                "start": In(1),
                "run": Out(stream.Signature(RunLayout(params))),
            }
        )

    @property
    def unit_key(self) -> tuple:
        """What the hardware depends on."""
        return operand_key(self._params, self._side)

    def elaborate(self, platform) -> Module:
        m = Module()
        p, job = self._params, self.job
        walk = SlotWalk(p, self._side)
        add_unit(m, platform, "walk", walk)
        m.d.comb += [walk.job.eq(job), walk.start.eq(self.start)]
        slot = walk.o.payload

        mx, half, whole, turned = Signal(), Signal(), Signal(), Signal()
        kind = job.a_type if self._side == "a" else job.w_type
        m.d.comb += [mx.eq(kind == Data.MX), half.eq(kind == Data.BF16)]
        if self._side == "a":
            formats, origin, stride = job.a_formats, job.a_address, job.a_stride
            m.d.comb += whole.eq(job.outliers & ~mx)
        else:
            formats, origin, stride = job.w_formats, job.w_address, job.w_stride
            m.d.comb += turned.eq(~job.w_columns)

        # Where lines begin, of the slot and now, and how far within a line the slot begins, and it is now. All numbers
        # of bytes; a line of W by rows is 16 columns.
        base, line = Signal(p.address_bits), Signal(p.address_bits)
        begin, offset = Signal(p.address_bits), Signal(p.address_bits)
        segment_begin, segment = Signal(2), Signal(2)
        lines = Signal(range(slot_lines(p, self._side) + 1))  # left in the slot
        first, end, last, advance = (Signal.like(slot[name], name=name) for name in ("first", "end", "last", "advance"))
        words = Signal(SIZE_BITS + 1)  # of a line, in the slot

        # The run: blocks or words, and whether a segment and the line end with it.
        block, count, rows = Signal(SIZE_BITS), Signal(SIZE_BITS), Signal(SIZE_BITS)
        code, segment_end, line_end = Signal(2), Signal(), Signal()
        size = Signal(RUN_BITS)
        with m.If(mx), m.Switch(code):
            with m.Case(MX4.code):
                m.d.comb += size.eq(count << 3)
            with m.Case(MX6.code):
                m.d.comb += size.eq((count << 3) + (count << 2))
            with m.Default():
                m.d.comb += size.eq((count << 4) + (count << 1))
        with m.Else():
            m.d.comb += size.eq(Mux(half, count << 1, count << 2))

        item = Signal.like(self.run.payload.item)
        with m.If(turned):
            m.d.comb += item.eq(size)
        with m.Elif(mx), m.Switch(code):
            for fmt in (MX4, MX6):
                with m.Case(fmt.code):
                    m.d.comb += item.eq(fmt.block_bytes)
            with m.Default():
                m.d.comb += item.eq(MX9.block_bytes)
        with m.Else():
            m.d.comb += item.eq(Mux(half, *(BLOCK_SIZE * WORD_BYTES[t] for t in (Data.BF16, Data.FP32))))

        offset_next, segment_next, line_next = Signal.like(offset), Signal.like(segment), Signal.like(line)
        last_line, line_over, free = Signal(), Signal(), Signal()
        m.d.comb += [
            offset_next.eq(offset + Mux(turned, stride, size)),
            segment_next.eq(segment + segment_end),
            line_next.eq(line + Mux(turned, size, stride)),
            last_line.eq(Mux(turned, lines <= BLOCK_SIZE, lines == 1)),
            line_over.eq(Mux(turned, rows == 1, line_end)),
            free.eq(~self.run.valid | self.run.ready),
        ]
        with m.If(self.run.ready):
            m.d.sync += self.run.valid.eq(0)

        with m.FSM():
            with m.State("SLOT"):
                m.d.comb += walk.o.ready.eq(1)
                m.d.sync += [
                    lines.eq(slot.lines),
                    first.eq(slot.first),
                    block.eq(slot.first),
                    end.eq(slot.end),
                    last.eq(slot.last),
                    advance.eq(slot.advance),
                    line.eq(base),
                    offset.eq(begin),
                    segment.eq(segment_begin),
                ]
                with m.If(whole):
                    m.d.sync += words.eq(job.k)
                with m.Elif(slot.last):
                    m.d.sync += words.eq(job.k - (slot.first << BLOCK_SIZE.bit_length() - 1))
                with m.Else():
                    # Chunks are not short here: of a job with outliers, A is read whole, and W is not of words.
                    m.d.sync += words.eq(p.k_depth * BLOCK_SIZE)
                with m.If(walk.o.valid):
                    m.next = "COUNT"
            with m.State("COUNT"):
                border = Signal(SIZE_BITS)
                with m.Switch(segment):
                    for number in range(MAX_SEGMENTS):
                        with m.Case(number):
                            m.d.comb += border.eq(job.ends[number])
                            m.d.sync += code.eq(formats[number])
                m.d.sync += [
                    segment_end.eq(mx & (border <= end)),
                    line_end.eq(~mx | (border >= end)),
                    rows.eq(words),
                ]
                with m.If(turned):
                    m.d.sync += count.eq(Mux(last_line, lines, BLOCK_SIZE))
                with m.Elif(mx):
                    m.d.sync += count.eq(Mux(border < end, border - block, end - block))
                with m.Else():
                    m.d.sync += count.eq(words)
                m.next = "SEND"
            with m.State("SEND"), m.If(free):
                m.d.sync += [
                    self.run.valid.eq(count != 0),
                    self.run.payload.address.eq(line + offset),
                    self.run.payload.bytes.eq(size),
                    self.run.payload.item.eq(item),
                    offset.eq(offset_next),
                    segment.eq(segment_next),
                    block.eq(block + count),
                    rows.eq(rows - 1),
                ]
                with m.If(line_over):
                    m.d.sync += [
                        offset.eq(begin),
                        segment.eq(segment_begin),
                        block.eq(first),
                        line.eq(line_next),
                        lines.eq(lines - Mux(turned, BLOCK_SIZE, 1)),
                    ]
                    with m.If(last_line):
                        m.next = "SLOT"
                    with m.Elif(mx | turned):
                        m.next = "COUNT"
                with m.Elif(mx):
                    m.next = "COUNT"
                with m.If(line_over & last_line):
                    with m.If(last | whole):
                        m.d.sync += [begin.eq(0), segment_begin.eq(0)]
                    with m.Else():
                        m.d.sync += [begin.eq(offset_next), segment_begin.eq(segment_next)]
                    with m.If(last):
                        if self._side == "a":
                            with m.If(advance):
                                m.d.sync += base.eq(line_next)
                        else:
                            m.d.sync += base.eq(Mux(advance, line_next, origin))
        with m.If(self.start):
            m.d.sync += base.eq(origin)
        return m
