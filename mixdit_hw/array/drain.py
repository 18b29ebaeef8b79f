"""Results out of the array: write control of a segment's lanes, the memory of a lane, the reader of all lanes."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..latency import READER_LATENCY
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
    """Tell the lanes of a segment when results come: R*T/chains cycles in a row from each ``end``.

    A segment is a group of R/chains rows of clusters, whose result chains end at its top row: one for each row of a
    cluster, all at the same time. The rows' results follow each other without a gap, because each row of clusters works
    T-1 cycles after the one above and a word takes one cycle from row to row.

    Latency: 1 cycle from ``end`` at the segment's first cluster to ``control`` (`latency`). Throughput: one word of
    each chain per cycle.

    Parameters
    ----------
    params
        Of the design.

    Members
    -------
    end : In(1)
        Of the segment's top row, T cycles a tile.
    control : Out(LaneControlLayout)
        For the lane of the first column of clusters.
    """

    unit_name = "segment_writer"
    latency = 1

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__({"end": In(1), "control": Out(LaneControlLayout(params.lane_depth))})

    @property
    def unit_key(self) -> tuple:
        return ("depth", self._params.lane_depth), ("entries", self._params.lane_tile)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        entries = self._params.lane_tile
        remaining = Signal(range(entries))
        writing = Signal()
        m.d.comb += writing.eq(self.end | (remaining != 0))
        with m.If(remaining != 0):
            m.d.sync += remaining.eq(remaining - 1)
        with m.Elif(self.end):
            m.d.sync += remaining.eq(entries - 1)
        m.d.sync += self.control.write.eq(writing)
        with m.If(self.control.write):
            m.d.sync += self.control.address.eq(self.control.address + 1)
        return m


class ResultLane(wiring.Component):
    """Result memory of one column of clusters in one segment: an entry holds a word of each of its V x H chains.

    Each lane is written a cycle after the one to its left, by delaying ``control``; all are read together, so that the
    skew of the columns is undone without registers.

    Latency: 1 cycle from ``control`` to the write of ``c``, and as much from ``read`` to ``words`` (`latency`).
    Throughput: one entry per cycle in and out.

    Parameters
    ----------
    params
        Of the design; cluster_rows, cluster_columns and lane_depth count here.

    Members
    -------
    c : In(V x H x 32)
        From the cluster at the top of the segment: word v*H + h is that of row v, column h.
    control : In(LaneControlLayout), control_next : Out(LaneControlLayout)
        Of this lane, and the same a cycle later.
    read : In(1), read_address : In
        Read port; ``words`` stay without ``read``.
    words : Out(V x H x 32)
        FP32 words, as they came.
    """

    unit_name = "result_lane"
    latency = 1

    def __init__(self, params: Params) -> None:
        self._depth = params.lane_depth
        self._width = params.cluster_rows * params.cluster_columns * FP32_BITS
        control = LaneControlLayout(self._depth)
        super().__init__(
            {
                "c": In(self._width),
                "control": In(control),
                "control_next": Out(control),
                "read": In(1),
                "read_address": In(range(self._depth)),
                "words": Out(self._width),
            }
        )

    @property
    def unit_key(self) -> tuple:
        return ("depth", self._depth), ("width", self._width)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.control_next.eq(self.control)
        m.submodules.memory = memory = Memory(shape=self._width, depth=self._depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.en.eq(self.control_next.write),
            write.addr.eq(self.control_next.address),
            write.data.eq(self.c),
            read.en.eq(self.read),
            read.addr.eq(self.read_address),
            self.words.eq(read.data),
        ]
        return m


class ResultReader(wiring.Component):
    """Read finished results from all lanes into a stream, in the order of the tile's rows.

    The rows of a beat come from drain chains at a time: first all entries of a tile from the first of each chains/drain
    neighbours, then all of them from the next, and so on. An entry of the first chain is read when it has been
    committed; those of the others are there by then, since all chains are written together. It is free when it has been
    read for the last chain.

    Latency: 2 cycles from ``commit`` to ``c.valid`` (`latency`). Throughput: one beat per cycle.

    Parameters
    ----------
    params
        Of the design.

    Members
    -------
    commit : In(1)
        The last lane writes: a whole entry is there.
    read : Out(1), read_address : Out
        To all lanes.
    words : In
        From all lanes, a cycle later: word s*C + c is that of chain s and column c.
    c : Out(stream of ResultBeatLayout)
        Results.
    freed : Out(1)
        An entry has been read to its last chain.
    """

    unit_name = "result_reader"
    latency = READER_LATENCY

    def __init__(self, params: Params) -> None:
        self._params = p = params
        super().__init__(
            {
                "commit": In(1),
                "read": Out(1),
                "read_address": Out(range(p.lane_depth)),
                "words": In(data.ArrayLayout(FP32_BITS, p.chains * p.columns)),
                "c": Out(stream.Signature(ResultBeatLayout(p.drain, p.columns))),
                "freed": Out(1),
            }
        )

    @property
    def unit_key(self) -> tuple:
        p = self._params
        return (
            ("depth", p.lane_depth),
            ("entries", p.lane_tile),
            ("chains", p.chains),
            ("drain", p.drain),
            ("columns", p.columns),
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._params
        turns = p.chains // p.drain
        level = Signal(pointer_bits(p.lane_depth))  # entries that the first chain has yet to be read from
        index, turn = Signal(range(p.lane_tile)), Signal(range(turns))
        start = Signal.like(self.read_address)  # the tile's first entry
        first_turn, last_turn, tile_end = Signal(), Signal(), Signal()
        following = Signal.like(self.read_address)
        m.d.comb += [
            first_turn.eq(turn == 0),
            last_turn.eq(turn == turns - 1),
            tile_end.eq(index == p.lane_tile - 1),
            following.eq(self.read_address + 1),
            self.read.eq((~first_turn | (level != 0)) & (~self.c.valid | self.c.ready)),
            self.freed.eq(self.read & last_turn),
        ]
        m.d.sync += level.eq(level + self.commit - (self.read & first_turn))
        chosen, last = Signal.like(turn), Signal()  # of the beat that the lanes put out
        with m.If(self.read):
            m.d.sync += [
                index.eq(Mux(tile_end, 0, index + 1)),
                self.read_address.eq(Mux(tile_end & ~last_turn, start, following)),
                chosen.eq(turn),
                last.eq(tile_end & last_turn),
            ]
            with m.If(tile_end):
                m.d.sync += turn.eq(Mux(last_turn, 0, turn + 1))
                with m.If(last_turn):
                    m.d.sync += start.eq(following)
        with m.If(~self.c.valid | self.c.ready):
            m.d.sync += self.c.valid.eq(self.read)

        # V is a power of two, and so is its part that drain does not have.
        width = p.columns * FP32_BITS
        words = Value.cast(self.words)
        beats = [Cat(words.word_select(g * turns + n, width) for g in range(p.drain)) for n in range(turns)]
        for bit in chosen:
            beats = [Mux(bit, odd, even) for even, odd in zip(beats[::2], beats[1::2], strict=True)]
        m.d.comb += Value.cast(self.c.payload.words).eq(beats[0])
        m.d.comb += self.c.payload.last.eq(last)
        return m
