"""The sequencer: which digit pass enters the array in each step."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..array.control import ColumnControlLayout, RowControlLayout, pointer_bits
from ..latency import SEQUENCER_LATENCY
from ..params import Params
from ..shapes import CommandLayout


class Sequencer(wiring.Component):
    """Walk through tile commands, K blocks and digit passes, one pass per step of T cycles.

    A pass enters when its block is complete in both memories; the pass that finishes a tile also waits until the result
    lanes have room for the tile (its entries are reserved then) and until as many steps have passed since the last tile
    was finished as a result chain has engines, so that its results find the chains empty. Otherwise the step is a
    bubble, and its cause is reported.

    The passes of a block go through A's digits for each digit of W, low ones first; every odd pass shifts the running
    sum.

    Latency: 1 cycle from the decision (in the last cycle of a step) to ``a_control`` and ``w_control`` (`latency`).
    Throughput: one pass per step; commands follow each other without a bubble.

    Parameters
    ----------
    params
        Of the design.

    Members
    -------
    phase : Out(T)
        One-hot, bit t in cycle t of a step.
    cmd : In(stream of CommandLayout)
        Tile commands.
    a_head, a_available, a_two_digits, w_head, w_available, w_two_digits : In
        From the operand queues.
    take : Out(1)
        Both queues go on to the next block.
    a_control : Out(RowControlLayout), w_control : Out(ColumnControlLayout)
        The step, for T cycles.
    freed : In(1)
        An entry of the result lanes has been read to its last chain.
    pass_, wait_a, wait_w, wait_result, wait_drain : Out(1)
        For one cycle a step, while there is a command: a pass enters; or it waits for A, else for W, for result space,
        or for the result chains.
    """

    unit_name = "sequencer"
    latency = SEQUENCER_LATENCY

    def __init__(self, params: Params) -> None:
        self._params = p = params
        super().__init__(
            {
                "phase": Out(p.interleave, init=1),
                "cmd": In(stream.Signature(CommandLayout())),
                "a_head": In(pointer_bits(p.a_depth)),
                "a_available": In(1),
                "a_two_digits": In(1),
                "w_head": In(pointer_bits(p.w_depth)),
                "w_available": In(1),
                "w_two_digits": In(1),
                "take": Out(1),
                "a_control": Out(RowControlLayout(pointer_bits(p.a_depth))),
                "w_control": Out(ColumnControlLayout(pointer_bits(p.w_depth))),
                "freed": In(1),
                "pass_": Out(1),
                "wait_a": Out(1),
                "wait_w": Out(1),
                "wait_result": Out(1),
                "wait_drain": Out(1),
            }
        )

    @property
    def unit_key(self) -> tuple:
        p = self._params
        return (
            ("interleave", p.interleave),
            ("a_depth", p.a_depth),
            ("w_depth", p.w_depth),
            ("lane_depth", p.lane_depth),
            ("chain_rows", p.chain_rows),
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._params
        m.d.sync += self.phase.eq(self.phase.rotate_left(1))
        decide = self.phase[-1]

        # The command at work; 0 blocks stand for 65536.
        remaining, accumulate = Signal(17), Signal()
        idle = Signal()
        m.d.comb += [idle.eq(remaining == 0), self.cmd.ready.eq(idle)]
        with m.If(idle & self.cmd.valid):
            blocks = self.cmd.payload.blocks
            m.d.sync += [remaining.eq(Cat(blocks, blocks == 0)), accumulate.eq(self.cmd.payload.accumulate)]

        # The pass within its block.
        index, final = Signal(2), Signal(2)
        two_a, two_w = self.a_two_digits, self.w_two_digits
        m.d.comb += final.eq(Cat(two_a | two_w, two_a & two_w))
        first, last = Signal(), Signal()
        m.d.comb += [first.eq(index == 0), last.eq(index == final)]

        # Free entries of the result lanes, and steps until the result chains are empty.
        space = Signal(range(p.lane_depth + 1), init=p.lane_depth)
        draining = Signal(range(p.chain_rows))
        finishing = Signal()
        m.d.comb += finishing.eq(last & (remaining == 1) & ~accumulate)

        ask = Signal()
        m.d.comb += ask.eq(decide & ~idle)
        with m.If(ask):
            with m.If(first & ~self.a_available):
                m.d.comb += self.wait_a.eq(1)
            with m.Elif(first & ~self.w_available):
                m.d.comb += self.wait_w.eq(1)
            with m.Elif(finishing & (space < p.lane_tile)):
                m.d.comb += self.wait_result.eq(1)
            with m.Elif(finishing & (draining != 0)):
                m.d.comb += self.wait_drain.eq(1)
            with m.Else():
                m.d.comb += self.pass_.eq(1)

        finish = Signal()
        m.d.comb += [finish.eq(self.pass_ & finishing), self.take.eq(self.pass_ & last)]
        m.d.sync += space.eq(space + self.freed - Mux(finish, p.lane_tile, 0))
        with m.If(finish):
            m.d.sync += draining.eq(p.chain_rows - 1)
        with m.Elif(decide & (draining != 0)):
            m.d.sync += draining.eq(draining - 1)

        # The accumulators start from zero in the first pass after a finished tile.
        fresh = Signal(init=1)
        with m.If(self.pass_):
            m.d.sync += [index.eq(Mux(last, 0, index + 1)), fresh.eq(finish)]
        with m.If(self.take):
            m.d.sync += remaining.eq(remaining - 1)

        a_next, w_next = Signal.like(self.a_control), Signal.like(self.w_control)
        m.d.comb += [
            a_next.address.eq(self.a_head),
            a_next.low.eq(two_a & ~index[0]),
            w_next.address.eq(self.w_head),
            w_next.low.eq(two_w & ~Mux(two_a, index[1], index[0])),
        ]
        m.d.comb += [
            a_next.last.eq(self.take),
            w_next.last.eq(self.take),
            a_next.valid.eq(self.pass_),
            a_next.first.eq(self.pass_ & first),
            a_next.shift.eq(self.pass_ & index[0]),
            a_next.start.eq(self.pass_ & fresh),
            a_next.end.eq(finish),
        ]
        with m.If(decide):
            m.d.sync += [self.a_control.eq(a_next), self.w_control.eq(w_next)]
        return m
