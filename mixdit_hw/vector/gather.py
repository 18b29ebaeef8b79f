"""The result's columns, gathered from tiles into blocks of up to 16."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from golden.formats import BLOCK_SIZE

from ..bus.layouts import JobLayout, TileLayout
from ..params import Params
from ..shapes import FORMAT_CODE_BITS, FP32_BITS
from ..unit import add_unit
from .cut import BlockCut
from .rows import RowWalk


class ResultBlockLayout(data.StructLayout):
    """A block of results.

    Fields
    ------
    words : 16 x 32
        FP32 words, the first column in the lowest bits, +0 behind the last.
    format : 2
        Format to convert them to, where the result is of MX.
    address
        Byte address.
    bytes : 7
        How many there are of the block.
    """

    def __init__(self, params: Params) -> None:
        super().__init__(
            {
                "words": data.ArrayLayout(FP32_BITS, BLOCK_SIZE),
                "format": FORMAT_CODE_BITS,
                "address": params.address_bits,
                "bytes": 7,
            }
        )


class Gatherer(wiring.Component):
    """Makes output blocks of the words of tiles.

    `BlockCut` says where blocks begin, and `RowWalk` where rows lie. A block may begin in one tile and end in the next
    of its row, so each row's last 16 columns are kept until then: in a memory of an entry for each row of the panels on
    chip. Column n is at place n modulo 16 of an entry.

    Latency: one cycle from a group that ends a block to the block (``latency``). Throughput: a block per cycle, and a
    group per cycle where blocks are not shorter than groups, also from tile to tile.

    Parameters
    ----------
    params
        Of which ``rows``, ``columns``, ``interleave``, ``drain``, ``a_slots``, ``address_bits`` and ``formats`` are
        used.

    Members
    -------
    job : In(JobLayout(params))
        The job.
    start : In(1)
        It begins.
    tile : In(stream of TileLayout)
        What words come: those of one tile after the other.
    group : In(stream of L x 32)
        The next L columns of a row of the tile; rows in the core's order.
    o : Out(stream of ResultBlockLayout(params))
        Blocks of those rows that exist.
    end : Out(1)
        The job's last tile is gathered; its last block may still be at ``o``.
    """

    unit_name = "gatherer"
    latency = 1

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "job": In(JobLayout(params)),
                "start": In(1),
                "tile": In(stream.Signature(TileLayout())),
                "group": In(stream.Signature(data.ArrayLayout(FP32_BITS, params.store_lanes))),
                "o": Out(stream.Signature(ResultBlockLayout(params))),
                "end": Out(1),
            }
        )

    @property
    def unit_key(self) -> tuple:
        p = self._params
        return tuple(
            (name, getattr(p, name))
            for name in ("rows", "columns", "interleave", "drain", "a_slots", "address_bits", "formats")
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, tile = self._params, self.tile.payload
        add_unit(m, platform, "cut", cut := BlockCut(p))
        add_unit(m, platform, "walk", walk := RowWalk(p))
        offer, free = Signal(), Signal()  # a block, and room for it
        m.d.comb += free.eq(~self.o.valid | self.o.ready)
        with m.If(free):
            m.d.sync += self.o.valid.eq(offer)

        active, load, exists = Signal(), Signal(), Signal()
        held = Signal(TileLayout())  # the tile in work
        index, index_end = Signal(range(p.columns // p.store_lanes)), Signal()  # of the group in its row
        step, row_end, tile_end = Signal(), Signal(), Signal()  # a step, the last of its row, the last of its tile
        m.d.comb += [
            index_end.eq(index == p.columns // p.store_lanes - 1),
            exists.eq(walk.row < held.rows),
            offer.eq(active & self.group.valid & cut.emit & exists),
            step.eq(active & self.group.valid & (free | ~(cut.emit & exists))),
            self.group.ready.eq(step & cut.pass_),
            row_end.eq(self.group.ready & index_end),
            tile_end.eq(row_end & walk.end),
            self.tile.ready.eq(walk.ready & (~active | tile_end)),
            load.eq(self.tile.valid & self.tile.ready),
            self.end.eq(tile_end & held.final),
        ]
        with m.If(self.group.ready):
            m.d.sync += index.eq(Mux(index_end, 0, index + 1))
        with m.If(load):
            m.d.sync += [held.eq(tile), active.eq(1)]
        with m.Elif(tile_end):
            m.d.sync += active.eq(0)
        for unit in (cut, walk):
            m.d.comb += [
                unit.job.eq(self.job),
                unit.load.eq(load),
                unit.panel_first.eq(tile.panel == 0),
                unit.column_first.eq(tile.first),
            ]
        m.d.comb += [
            cut.column_last.eq(held.last),
            cut.group_last.eq(index_end),
            cut.row_last.eq(walk.end),
            cut.step.eq(step),
            walk.start.eq(self.start),
            walk.step.eq(row_end),
        ]

        columns = self._columns(m, cut, index == 0, load, row_end, walk.end)
        for n, bit in enumerate(cut.shift):
            turned = columns[1 << n :] + columns[: 1 << n]
            columns = [Mux(bit, far, near) for far, near in zip(turned, columns, strict=True)]
        block = Signal(ResultBlockLayout(p), reset_less=True)
        m.d.comb += self.o.payload.eq(block)
        with m.If(free & offer):  # what converts them rests in between
            m.d.sync += [word.eq(Mux(n < cut.length, columns[n], 0)) for n, word in enumerate(block.words)]
            m.d.sync += [
                block.format.eq(cut.format),
                block.address.eq(walk.address + cut.offset),
                block.bytes.eq(cut.bytes),
            ]
        return m

    def _columns(
        self, m: Module, cut: BlockCut, row_begin: Value, load: Signal, row_end: Signal, tile_last: Value
    ) -> list[Signal]:
        """The columns of a row that the next block may have, each at its place, from its memory and the group."""
        p, lanes = self._params, self._params.store_lanes
        m.submodules.memory = memory = Memory(shape=BLOCK_SIZE * FP32_BITS, depth=p.a_slots * p.tile_rows, init=[])
        write, read = memory.write_port(), memory.read_port()
        entry, following = Signal.like(write.addr), Signal.like(write.addr)
        m.d.comb += following.eq(entry + 1)
        with m.If(load), m.Switch(self.tile.payload.panel):
            for panel in range(p.a_slots):
                with m.Case(panel):
                    m.d.comb += following.eq(panel * p.tile_rows)
        with m.If(load | row_end):
            m.d.sync += entry.eq(following)
        kept, columns = Signal(BLOCK_SIZE * FP32_BITS), []
        m.d.comb += kept.eq(read.data)
        m.d.comb += [
            read.addr.eq(following),
            read.en.eq(load | (row_end & ~tile_last)),
            write.addr.eq(entry),
            write.en.eq(row_end),
        ]
        place = Signal(range(BLOCK_SIZE // lanes))  # of the group
        m.d.comb += place.eq(((cut.shift + cut.count) >> exact_log2(lanes)) - 1)
        for n in range(BLOCK_SIZE):
            column, lane = Signal(FP32_BITS, name=f"column_{n}"), n % lanes
            old, word = kept.word_select(n, FP32_BITS), self.group.payload[lane]
            here = place == n // lanes
            # The first L of 16 + L columns may be needed still, from where the group's are going to be.
            m.d.comb += [
                column.eq(Mux(here & (cut.count < BLOCK_SIZE + lanes - lane), word, old)),
                write.data.word_select(n, FP32_BITS).eq(Mux(here, word, old)),
            ]
            columns.append(column)
        if p.columns > lanes:
            later = Signal.like(kept)
            with m.If(~row_begin):
                m.d.comb += kept.eq(later)
            with m.If(self.group.ready):
                m.d.sync += later.eq(write.data)
        return columns
