"""Where the blocks of a row of the result begin and end."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.formats import BLOCK_SIZE

from ..bus.layouts import SIZE_BITS, JobLayout
from ..job import Data
from ..params import Params
from ..shapes import FORMAT_CODE_BITS

LENGTH_BITS = 5  # 0 to 16 columns
COUNT_BITS = 6  # up to 32 columns
OFFSET_BITS = 21  # 65535 blocks of 18 bytes


class _PlaceLayout(data.StructLayout):
    """A place in a row, the same for all rows of a column of tiles.

    Fields
    ------
    shift : 4
        First column of the block that comes next, modulo 16.
    count : 6
        Columns from there to the end of the group.
    segment : 16
        Columns from there to the next one at which blocks have to start anew; 0: there are no more blocks.
    behind : 16
        Columns from that one on, up to the change of formats.
    second : 1
        The block is of the second format.
    offset
        Its first byte in the row.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "shift": 4,
                "count": COUNT_BITS,
                "segment": SIZE_BITS,
                "behind": SIZE_BITS,
                "second": 1,
                "offset": OFFSET_BITS,
            }
        )


class BlockCut(wiring.Component):
    """Cuts rows into output blocks, while their columns come in groups of L.

    A step looks at one group: it puts out a block if all of its columns are there, and goes on to the next group once
    at most 16 columns are left for later ones. So it may leave a whole block to the next tile, but none behind the last
    columns of a row. What is left is the same in all rows.

    Blocks have 16 columns, but for the last one before a row's end. Of MX results also for the last one before a
    multiple of ``c_head`` that is below ``c_split``, and before ``c_split`` itself.

    Latency: one cycle (``latency``). Throughput: a step per cycle, so one block, and one group where blocks are not
    shorter than groups.

    Parameters
    ----------
    params
        Of which ``columns``, ``address_bits`` and ``formats`` are used.

    Members
    -------
    job : In(JobLayout(params))
        The job.
    load : In(1)
        Begin the first row of a tile: in the cycle of the last ``step`` of the one before, or later.
    panel_first : In(1), column_first : In(1)
        It is the first of its panels, and has the first columns.
    column_last : In(1)
        The tile in work has the last columns.
    group_last : In(1), row_last : In(1)
        The group is the last of its row, and the row the last of the tile in work.
    step : In(1)
        Take the step.
    emit : Out(1)
        There is a block.
    length : Out(5)
        Its columns.
    shift : Out(4)
        Its first column modulo 16.
    count : Out(6)
        Columns from there to the group's end.
    offset : Out(21), bytes : Out(7)
        Its place in the row.
    format : Out(2)
        Of MX results.
    pass_ : Out(1)
        The step goes on to the next group.
    """

    unit_name = "block_cut"
    latency = 1

    def __init__(self, params: Params) -> None:
        self._params = params
        inputs = ("load", "panel_first", "column_first", "column_last", "group_last", "row_last", "step")
        super().__init__(
            {"job": In(JobLayout(params))}
            | {name: In(1) for name in inputs}
            | {
                "emit": Out(1),
                "length": Out(LENGTH_BITS),
                "shift": Out(4),
                "count": Out(COUNT_BITS),
                "offset": Out(OFFSET_BITS),
                "bytes": Out(7),
                "format": Out(FORMAT_CODE_BITS),
                "pass_": Out(1),
            }
        )

    @property
    def unit_key(self) -> tuple:
        p = self._params
        return ("lanes", p.store_lanes), ("address", p.address_bits), ("formats", p.formats)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        job, lanes = self.job, self._params.store_lanes
        place, start, initial, following, loaded = (
            Signal(_PlaceLayout(), name=name) for name in ("place", "start", "initial", "following", "loaded")
        )
        is_mx = job.c_type == Data.MX
        rest = Signal(SIZE_BITS)  # columns of the second format
        m.d.comb += rest.eq(job.n - job.c_split)

        last_of_segment, final = Signal(), Signal()
        left, done = Signal(COUNT_BITS), Signal()
        m.d.comb += [
            last_of_segment.eq(place.segment <= BLOCK_SIZE),
            final.eq(last_of_segment & ~place.behind.any() & (place.second | ~rest.any())),
            self.length.eq(Mux(last_of_segment, place.segment, BLOCK_SIZE)),
            self.emit.eq((self.length != 0) & (place.count >= self.length)),
            left.eq(place.count - Mux(self.emit, self.length, 0)),
            done.eq((self.length == 0) | (self.emit & final)),
            self.pass_.eq(done | ((left <= BLOCK_SIZE) & ~(self.column_last & self.group_last))),
            self.shift.eq(place.shift),
            self.count.eq(place.count),
            self.offset.eq(place.offset),
        ]
        m.d.comb += self.format.eq(Mux(place.second, job.c_formats[1], job.c_formats[0]))
        widest, *others = self._params.format_set
        with m.Switch(job.c_type):
            with m.Case(Data.FP32):
                m.d.comb += self.bytes.eq(self.length << 2)
            with m.Case(Data.BF16):
                m.d.comb += self.bytes.eq(self.length << 1)
            with m.Default(), m.Switch(self.format):
                for fmt in others:
                    with m.Case(fmt.code):
                        m.d.comb += self.bytes.eq(fmt.block_bytes)
                with m.Default():
                    m.d.comb += self.bytes.eq(widest.block_bytes)

        m.d.comb += following.eq(place)
        m.d.comb += following.count.eq(Mux(self.pass_, left + lanes, left))
        with m.If(self.emit):
            m.d.comb += [
                following.shift.eq(place.shift + self.length),
                following.offset.eq(place.offset + self.bytes),
                following.segment.eq(place.segment - BLOCK_SIZE),
            ]
            with m.If(last_of_segment):
                self._begin_segment(m, following, place.behind)
                with m.If(~place.behind.any()):
                    m.d.comb += [following.second.eq(1), following.segment.eq(Mux(place.second, 0, rest))]

        m.d.comb += initial.count.eq(lanes)
        with m.If(is_mx & job.c_split.any()):
            self._begin_segment(m, initial, job.c_split)
        with m.Else():
            m.d.comb += [initial.second.eq(1), initial.segment.eq(job.n)]

        with m.If(self.step):
            m.d.sync += place.eq(following)
            with m.If(self.pass_ & self.group_last & ~self.row_last):
                m.d.sync += place.eq(start)
        m.d.comb += loaded.eq(start)
        with m.If(self.column_first):
            m.d.comb += loaded.eq(initial)
        with m.Elif(self.panel_first):
            m.d.comb += loaded.eq(Mux(self.step, Value.cast(following), Value.cast(place)))
        with m.If(self.load):
            m.d.sync += [place.eq(loaded), start.eq(loaded)]
        return m

    def _begin_segment(self, m: Module, place, columns: Value) -> None:
        """Begin a segment of so many columns of the first format, or of a head where these are fewer."""
        head = self.job.c_head
        with m.If(head.any() & (head < columns)):
            m.d.comb += [place.segment.eq(head), place.behind.eq(columns - head)]
        with m.Else():
            m.d.comb += [place.segment.eq(columns), place.behind.eq(0)]
