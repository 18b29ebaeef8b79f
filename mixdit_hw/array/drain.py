"""Results out of the array: write control of a segment, the memory of a lane, the reader of all lanes."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..params import Params
from ..shapes import FP32_BITS, ResultBeatLayout
from .control import pointer_bits


class LaneControlLayout(data.StructLayout):
    """Write control of a result lane.

    Fields
    ------
    write : 1
        There is a word to write.
    address
        Where.
    """

    def __init__(self, depth: int) -> None:
        super().__init__({"write": 1, "address": range(depth)})


class SegmentWriter(wiring.Component):
    """Tell the lanes of a segment when results come: R*T/drain cycles in a row from each ``end``.

    A segment is a group of R/drain rows whose result chains end at its top row. Its rows' results follow each other
    without a gap, because each row works T-1 cycles after the one above and a word takes one cycle from row to row.

    Latency: 1 cycle from ``end`` at the segment's first engine to ``control`` (`latency`). Throughput: one result row
    per cycle.

    Parameters
    ----------
    params
        Of the design.

    Members
    -------
    end : In(1)
        Of the segment's top row, T cycles a tile.
    control : Out(LaneControlLayout)
        For the lane of the first column.
    """

    unit_name = "segment_writer"
    latency = 1

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__({"end": In(1), "control": Out(LaneControlLayout(params.c_depth))})

    @property
    def unit_key(self) -> tuple:
        return ("depth", self._params.c_depth), ("beats", self._params.tile_beats)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beats = self._params.tile_beats
        remaining = Signal(range(beats))
        writing = Signal()
        m.d.comb += writing.eq(self.end | (remaining != 0))
        with m.If(remaining != 0):
            m.d.sync += remaining.eq(remaining - 1)
        with m.Elif(self.end):
            m.d.sync += remaining.eq(beats - 1)
        m.d.sync += self.control.write.eq(writing)
        with m.If(self.control.write):
            m.d.sync += self.control.address.eq(self.control.address + 1)
        return m


class ResultLane(wiring.Component):
    """Result memory of one column in one segment.

    Each lane is written a cycle after the one to its left, by delaying ``control``; all are read together, so that the
    skew of the columns is undone without registers.

    Latency: 1 cycle from ``control`` to the write of ``c``, and as much from ``read`` to ``word`` (`latency`).
    Throughput: one word per cycle in and out.

    Parameters
    ----------
    params
        Of the design; c_depth counts here.

    Members
    -------
    c : In(32)
        From the engine at the top of the segment.
    control : In(LaneControlLayout), control_next : Out(LaneControlLayout)
        Of this lane, and the same a cycle later.
    read : In(1), read_address : In
        Read port; ``word`` stays without ``read``.
    word : Out(32)
        FP32 word.
    """

    unit_name = "result_lane"
    latency = 1

    def __init__(self, params: Params) -> None:
        self._params = params
        control = LaneControlLayout(params.c_depth)
        super().__init__(
            {
                "c": In(FP32_BITS),
                "control": In(control),
                "control_next": Out(control),
                "read": In(1),
                "read_address": In(range(params.c_depth)),
                "word": Out(FP32_BITS),
            }
        )

    @property
    def unit_key(self) -> tuple:
        return (("depth", self._params.c_depth),)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.control_next.eq(self.control)
        m.submodules.memory = memory = Memory(shape=FP32_BITS, depth=self._params.c_depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.en.eq(self.control_next.write),
            write.addr.eq(self.control_next.address),
            write.data.eq(self.c),
            read.en.eq(self.read),
            read.addr.eq(self.read_address),
            self.word.eq(read.data),
        ]
        return m


class ResultReader(wiring.Component):
    """Read finished result rows from all lanes into a stream.

    Latency: 2 cycles from ``commit`` to ``c.valid`` (`latency`). Throughput: one beat per cycle.

    Parameters
    ----------
    params
        Of the design.

    Members
    -------
    commit : In(1)
        The last lane writes: a whole beat is there.
    read : Out(1), read_address : Out
        To all lanes.
    words : In
        From all lanes, a cycle later.
    c : Out(stream of ResultBeatLayout)
        Results.
    freed : Out(1)
        A beat has left the memories.
    """

    unit_name = "result_reader"
    latency = 2

    def __init__(self, params: Params) -> None:
        self._params = params
        beat = ResultBeatLayout(params.drain, params.columns)
        super().__init__(
            {
                "commit": In(1),
                "read": Out(1),
                "read_address": Out(range(params.c_depth)),
                "words": In(beat["words"].shape),
                "c": Out(stream.Signature(beat)),
                "freed": Out(1),
            }
        )

    @property
    def unit_key(self) -> tuple:
        p = self._params
        return ("depth", p.c_depth), ("beats", p.tile_beats), ("words", p.drain * p.columns)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._params
        level = Signal(pointer_bits(p.c_depth))
        m.d.comb += self.read.eq((level != 0) & (~self.c.valid | self.c.ready))
        m.d.sync += level.eq(level + self.commit - self.read)
        index, last = Signal(range(p.tile_beats)), Signal()
        with m.If(self.read):
            m.d.sync += [
                self.read_address.eq(self.read_address + 1),
                index.eq(Mux(index == p.tile_beats - 1, 0, index + 1)),
                last.eq(index == p.tile_beats - 1),
            ]
        with m.If(~self.c.valid | self.c.ready):
            m.d.sync += self.c.valid.eq(self.read)
        m.d.comb += [
            self.freed.eq(self.read),
            self.c.payload.words.eq(self.words),
            self.c.payload.last.eq(last),
        ]
        return m
