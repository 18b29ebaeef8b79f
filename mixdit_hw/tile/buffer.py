"""Operand buffers, and what feeds the core from them."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..bus.layouts import SIZE_BITS, JobLayout, TileLayout
from ..params import Params
from ..shapes import BlockBeatLayout, BlockLayout
from ..unit import add_unit
from .slots import bank_count, bank_depth, block_entries, check_side, chunk_blocks, slot_count, slot_entries


class BufferBank(wiring.Component):
    """A memory of one row or column: a write port and a read port.

    Latency: 1 cycle from ``read`` to ``block``, which stays without ``read`` (``latency``). Throughput: one block per
    cycle in and out.

    Parameters
    ----------
    depth, width
        Entries, and bits of each.

    Members
    -------
    write : In(1), write_address : In, write_block : In
        Write port.
    read : In(1), read_address : In, block : Out
        Read port.
    """

    unit_name = "buffer_bank"
    latency = 1

    def __init__(self, depth: int, width: int) -> None:
        self._depth, self._width = depth, width
        super().__init__(
            {
                "write": In(1),
                "write_address": In(range(depth)),
                "write_block": In(width),
                "read": In(1),
                "read_address": In(range(depth)),
                "block": Out(width),
            }
        )

    @property
    def unit_key(self) -> tuple:
        return ("depth", self._depth), ("width", self._width)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=self._width, depth=self._depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.en.eq(self.write),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_block),
            read.en.eq(self.read),
            read.addr.eq(self.read_address),
            self.block.eq(read.data),
        ]
        return m


class OperandBuffer(wiring.Component):
    """Blocks of A or W on chip, and the beats that the core takes from them.

    The buffer has a bank for each row (A) or column (W) of the array, and slots that are filled and freed in turn: a
    slot of A holds a panel of R*T rows, one of W a tile of C columns, each of up to ``k_depth`` K blocks, or, in jobs
    with short chunks, of ``outlier_chunk``, in as much room. Block kb of a panel's row r*T + t lies in bank r at
    address (slot*k_depth + kb)*T + t, and that of a tile's column c in bank c at slot*k_depth + kb. Formats are not
    stored; they follow from kb.

    A slot of A is free after the tile of its panel with the last columns, one of W after the last panel of the group
    has used it. Where the job is chunked, a tile takes one slot after the other, each once.

    Latency: 2 cycles from the ``filled`` that a tile waits for to its first beat (``latency``), 1 from the tile where
    its slot is full. Throughput: one beat per cycle.

    Parameters
    ----------
    params
        Of the design.
    side
        ``a`` or ``w``.

    Members
    -------
    job : In(JobLayout)
        The job; ends, formats, chunked and short_chunks count here.
    start : In(1)
        Begin with slot 0, all slots empty.
    tile : In(stream of TileLayout)
        Tiles to feed, in their order.
    write : In(1), write_bank : In, write_address : In, write_block : In
        Write a block.
    filled : In(1)
        The next slot is complete.
    free : Out(1)
        The oldest slot can be filled again.
    o : Out(stream of BlockBeatLayout)
        Beats for the core.
    """

    unit_name = "operand_buffer"
    latency = 2

    def __init__(self, params: Params, side: str) -> None:
        check_side(side)
        self._params, self._side = params, side
        self._banks, self._depth = bank_count(params, side), bank_depth(params, side)
        block = BlockLayout(params.magnitude_bits).size
        super().__init__(
            {
                "job": In(JobLayout(params)),
                "start": In(1),
                "tile": In(stream.Signature(TileLayout())),
                "write": In(1),
                "write_bank": In(range(self._banks)),
                "write_address": In(range(self._depth)),
                "write_block": In(block),
                "filled": In(1),
                "free": Out(1),
                "o": Out(stream.Signature(BlockBeatLayout(self._banks, params.magnitude_bits))),
            }
        )

    @property
    def unit_key(self) -> tuple:
        p = self._params
        own = (
            ("side", self._side),
            ("banks", self._banks),
            ("depth", self._depth),
            ("k", p.k_depth),
            ("chunk", p.outlier_chunk),
        )
        return (*own, ("bits", p.magnitude_bits), ("address", p.address_bits))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, side = self._params, self._side
        slots, entries = slot_count(p, side), block_entries(p, side)
        job, tile = self.job, self.tile.payload

        # The oldest slot, and how many are full from there on.
        oldest, full = Signal(range(slots)), Signal(range(2 * slots + 1))
        release = Signal(range(slots + 1))
        m.d.sync += full.eq(full + self.filled - release)
        moved = Signal(range(2 * slots))
        m.d.comb += moved.eq(oldest + release)
        m.d.sync += oldest.eq(Mux(moved >= slots, moved - slots, moved))

        panel = tile.panel if side == "a" else 0
        ahead = Mux(job.chunked, 0, panel)
        place, slot = Signal(range(2 * slots)), Signal(range(slots))
        base = Signal.like(self.write_address)
        m.d.comb += [place.eq(oldest + ahead), slot.eq(Mux(place >= slots, place - slots, place))]
        with m.Switch(slot):
            for n in range(slots):
                with m.Case(n):
                    m.d.comb += base.eq(n * slot_entries(p, side))

        # Blocks of the tile, of the chunk, entries of the block.
        kb, of_chunk, entry = Signal(SIZE_BITS), Signal(range(p.k_depth)), Signal(range(entries))
        offset = Signal.like(self.write_address)
        advance, last_entry, last_block, last_of_chunk = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            advance.eq(self.tile.valid & (full > ahead) & (~self.o.valid | self.o.ready)),
            last_entry.eq(entry == entries - 1),
            last_block.eq(kb + 1 == job.ends[3]),
            last_of_chunk.eq(last_block | (of_chunk == chunk_blocks(p, job) - 1)),
            self.tile.ready.eq(advance & last_entry & last_block),
        ]
        done = Signal()
        m.d.comb += done.eq(advance & last_entry & last_of_chunk)
        with m.If(advance):
            m.d.sync += [entry.eq(Mux(last_entry, 0, entry + 1)), offset.eq(Mux(done, 0, offset + 1))]
            with m.If(last_entry):
                m.d.sync += [kb.eq(Mux(last_block, 0, kb + 1)), of_chunk.eq(Mux(last_of_chunk, 0, of_chunk + 1))]
        if side == "a":
            m.d.comb += self.free.eq(done & (job.chunked | tile.last))
            group_ends = tile.last & tile.turn
        else:
            m.d.comb += self.free.eq(done & (job.chunked | tile.turn))
            group_ends = tile.turn
        with m.If(done & (job.chunked | group_ends)):
            m.d.comb += release.eq(ahead + 1)

        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += self.o.valid.eq(advance)
        formats = job.a_formats if side == "a" else job.w_formats
        fmt: Value = formats[3]
        for n in reversed(range(3)):
            fmt = Mux(kb < job.ends[n], formats[n], fmt)
        with m.If(advance):
            m.d.sync += self.o.payload.format.eq(fmt)
        blocks = []
        read_address = Signal.like(self.write_address)
        m.d.comb += read_address.eq(base + offset)
        for n in range(self._banks):
            add_unit(m, platform, f"bank_{n}", memory := BufferBank(self._depth, len(self.write_block)))
            m.d.comb += [
                memory.write.eq(self.write & (self.write_bank == n)),
                memory.write_address.eq(self.write_address),
                memory.write_block.eq(self.write_block),
                memory.read.eq(advance),
                memory.read_address.eq(read_address),
            ]
            blocks.append(memory.block)
        m.d.comb += Value.cast(self.o.payload.blocks).eq(Cat(blocks))
        with m.If(self.start):
            m.d.sync += [oldest.eq(0), full.eq(0)]
        return m
