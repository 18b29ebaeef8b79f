"""The core: streams of blocks and tile commands in, FP32 results out."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from .array.drain import ResultReader
from .array.mesh import Array
from .dot.timing import timing_of
from .latency import core_latency
from .params import Params
from .shapes import BlockBeatLayout, CommandLayout, ResultBeatLayout
from .tile.counters import COUNTER_BITS, STEP_EVENTS, Counters
from .tile.queue import OperandQueue
from .tile.sequencer import Sequencer
from .unit import add_unit


class Core(wiring.Component):
    """Multiply tiles of MX matrices.

    A tile is R*T rows by C columns of the product A W, where R is ``rows``, C ``columns`` and T ``interleave``; its
    sums run over K in blocks of 16. For a command of n blocks the core takes, on ``a``, n*T beats: for each K block T
    beats, where beat t brings the blocks of the tile's rows r*T + t, r = 0 ... R-1; on ``w`` n beats, one for each K
    block, with the blocks of the tile's C columns. All blocks of a beat, and the T beats of a K block, have one format,
    any of those that the design supports. Unless the command says ``accumulate``, R*T/drain result beats follow on
    ``c``; beat i holds, for each g = 0 ... drain-1 and column c, the element of row g*(R/drain)*T + i. Each
    element is accumulated in FP32, block by block, in the order of the blocks (docs/numerics.md, Accumulation).

    The three input streams are independent: blocks may come before their command. Everything is back to back: the
    blocks of the next tile follow at once, also while results leave.

    Throughput: R*C digit passes per cycle, of 16 multiplications each; a block pair takes 1 pass, 2 if one side is MX9,
    4 if both are. Latency (``latency``): cycles from the decision for a tile's last pass to its first result
    beat.

    Parameters
    ----------
    params
        The design.

    Members
    -------
    a : In(stream of BlockBeatLayout(R))
        Blocks of A along K. T beats for each K block: beat t brings those of the tile's rows r*T + t, r = 0 ... R-1.
    w : In(stream of BlockBeatLayout(C))
        Blocks of W along K. One beat for each K block, with those of the tile's columns 0 ... C-1.
    cmd : In(stream of CommandLayout)
        Tile commands, done in their order. One may come before, while or after its blocks do.
    c : Out(stream of ResultBeatLayout)
        Results, R*T/drain beats for each tile, tile by tile in the order of the commands.
    clear : In(1)
        While it is high, all counters are zero; they start with the next digit pass after it.
    cycles : Out(32)
        Clock cycles from the decision for the first digit pass since ``clear`` or reset to the latest result beat that
        was taken, both included. Shows an event 2 cycles after it, and wraps around, as do all counters.
    passes : Out(32)
        Steps of T cycles in which a digit pass entered the array. A block pair takes 1 pass, 2 if one side is MX9, 4 if
        both are.
    wait_a : Out(32)
        Steps of T cycles, from the first pass on, in which a command waited for blocks of A.
    wait_w : Out(32)
        Steps of T cycles in which it had A's blocks, but waited for those of W.
    wait_result : Out(32)
        Steps of T cycles in which a tile's last pass waited for space in the result memories: ``c`` is taken too
        slowly.
    wait_drain : Out(32)
        Steps of T cycles in which a tile's last pass waited for the result chains, because tiles follow each other in
        fewer passes than a chain has engines.
    """

    unit_name = "core"

    def __init__(self, params: Params) -> None:
        self._params = p = params
        super().__init__(
            {
                "a": In(stream.Signature(BlockBeatLayout(p.rows, p.magnitude_bits))),
                "w": In(stream.Signature(BlockBeatLayout(p.columns, p.magnitude_bits))),
                "cmd": In(stream.Signature(CommandLayout())),
                "c": Out(stream.Signature(ResultBeatLayout(p.drain, p.columns))),
                "clear": In(1),
                "cycles": Out(COUNTER_BITS),
            }
            | {name: Out(COUNTER_BITS) for name in STEP_EVENTS}
        )

    @property
    def params(self) -> Params:
        """The design."""
        return self._params

    @property
    def unit_key(self) -> tuple:
        # What only the converter depends on is left out.
        p = self._params
        return tuple(
            (name, getattr(p, name))
            for name in (
                "rows", "columns", "cluster_rows", "cluster_columns", "loop_latency", "tree", "multipliers",
                "interleave", "formats", "a_depth", "w_depth", "c_depth", "drain", "cmd_depth",
            )
        )  # fmt: skip

    @property
    def latency(self) -> int:
        """Cycles from the decision for a tile's last pass to its first result beat on ``c``, if nothing stalls."""
        return core_latency(self._params, timing_of(self._params.loop_latency).latency)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._params
        add_unit(m, platform, "array", array := Array(p))
        add_unit(m, platform, "a_queue", a_queue := OperandQueue(p.a_depth, p.interleave, p.digits))
        add_unit(m, platform, "w_queue", w_queue := OperandQueue(p.w_depth, 1, p.digits))
        add_unit(m, platform, "sequencer", sequencer := Sequencer(p))
        add_unit(m, platform, "reader", reader := ResultReader(p))
        add_unit(m, platform, "counters", counters := Counters())
        m.submodules.commands = commands = SyncFIFOBuffered(width=CommandLayout().size, depth=p.cmd_depth)

        for side, queue in (("a", a_queue), ("w", w_queue)):
            beats = getattr(self, side)
            m.d.comb += [
                queue.valid.eq(beats.valid),
                beats.ready.eq(queue.ready),
                queue.format.eq(beats.payload.format),
                queue.oldest.eq(getattr(array, f"{side}_oldest")),
                queue.take.eq(sequencer.take),
                getattr(array, f"{side}_write").eq(queue.write),
                getattr(array, f"{side}_write_address").eq(queue.write_address),
                getattr(array, f"{side}_blocks").eq(beats.payload.blocks),
                getattr(array, f"{side}_control").eq(getattr(sequencer, f"{side}_control")),
                getattr(sequencer, f"{side}_head").eq(queue.head),
                getattr(sequencer, f"{side}_available").eq(queue.available),
                getattr(sequencer, f"{side}_two_digits").eq(queue.two_digits),
            ]

        m.d.comb += [
            commands.w_en.eq(self.cmd.valid),
            commands.w_data.eq(self.cmd.payload),
            self.cmd.ready.eq(commands.w_rdy),
            sequencer.cmd.valid.eq(commands.r_rdy),
            sequencer.cmd.payload.eq(commands.r_data),
            commands.r_en.eq(sequencer.cmd.ready),
            array.phase.eq(sequencer.phase),
            array.read.eq(reader.read),
            array.read_address.eq(reader.read_address),
            reader.words.eq(array.words),
            reader.commit.eq(array.commit),
            sequencer.freed.eq(reader.freed),
            self.c.valid.eq(reader.c.valid),
            self.c.payload.eq(reader.c.payload),
            reader.c.ready.eq(self.c.ready),
            counters.clear.eq(self.clear),
            counters.result_event.eq(self.c.valid & self.c.ready),
            counters.passes_event.eq(sequencer.pass_),
            self.cycles.eq(counters.cycles),
        ]
        for name in STEP_EVENTS:
            m.d.comb += getattr(self, name).eq(getattr(counters, name))
            if name != "passes":
                m.d.comb += getattr(counters, f"{name}_event").eq(getattr(sequencer, name))
        return m
