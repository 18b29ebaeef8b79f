"""The feeder of one row of clusters: A's memory and the skew of its control."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from golden.formats import EXPONENT_BITS, PAIRS

from ..arith.register import register
from ..dot.operand import OPERAND_BITS
from ..dot.timing import timing_of
from ..latency import FEEDER_LATENCY, READ_DELAY
from ..params import Params
from ..shapes import BlockLayout
from .control import RowControlLayout, pointer_bits, take_digits


class RowFeeder(wiring.Component):
    """Hold A's blocks of one row of clusters and feed them, digit by digit, to its first cluster.

    One memory holds the blocks of the cluster's V rows side by side. All feeders are written together; each reads for
    itself, T-1 cycles after the one above. So the skew of A costs no registers: it is the distance between the feeders'
    addresses. ``control`` is taken with ``step`` and held for the T cycles of a step, in which entries address,
    address+1 ... address+T-1 are read; the next feeder takes ``control_next`` T-1 cycles later.

    Latency: 2 cycles from ``step`` to the first digits (`latency`). Throughput: a digit plane of V blocks per cycle.

    Parameters
    ----------
    params
        Of the design; cluster_rows, interleave, loop_latency, a_depth and the widest format count here.

    Members
    -------
    write : In(1), write_address : In, write_blocks : In(V blocks)
        Write port; the first row's block in the lowest bits.
    step : In(1)
        Once in T cycles, in bubbles too.
    control : In(RowControlLayout), control_next : Out(RowControlLayout)
        Of this feeder and for the next one.
    a : Out(V x 80), a_micro : Out(V x 8), a_exponent : Out(V x 8), a_step, first, shift, start, end : Out(1)
        To the first cluster, each part when its engines need it; the first row's operand in the lowest bits.
    """

    unit_name = "row_feeder"
    latency = FEEDER_LATENCY

    def __init__(self, params: Params) -> None:
        self._params = params
        self._blocks = data.ArrayLayout(BlockLayout(params.magnitude_bits), params.cluster_rows)
        control = RowControlLayout(pointer_bits(params.a_depth))
        super().__init__(
            {
                "write": In(1),
                "write_address": In(range(params.a_depth)),
                "write_blocks": In(self._blocks),
                "step": In(1),
                "control": In(control),
                "control_next": Out(control),
                "a": Out(params.cluster_rows * OPERAND_BITS),
                "a_micro": Out(params.cluster_rows * PAIRS),
                "a_exponent": Out(params.cluster_rows * EXPONENT_BITS),
                "a_step": Out(1),
                "first": Out(1),
                "shift": Out(1),
                "start": Out(1),
                "end": Out(1),
            }
        )

    @property
    def unit_key(self) -> tuple:
        p = self._params
        return (
            ("rows", p.cluster_rows),
            ("interleave", p.interleave),
            ("loop", p.loop_latency),
            ("depth", p.a_depth),
            ("bits", p.magnitude_bits),
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._params
        timing = timing_of(p.loop_latency)
        address = Signal(range(p.a_depth))
        with m.If(self.step):
            m.d.sync += [self.control_next.eq(self.control), address.eq(self.control.address)]
        with m.Else():
            m.d.sync += address.eq(address + 1)

        m.submodules.memory = memory = Memory(shape=self._blocks, depth=p.a_depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        blocks = [read.data[v] for v in range(p.cluster_rows)]
        m.d.comb += [
            write.en.eq(self.write),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_blocks),
            read.en.eq(1),
            read.addr.eq(address),
        ]

        # What goes with the blocks that are now in the memory's output.
        low = register(m, self.control_next.low, "low")
        valid = register(m, self.control_next.valid, "valid")
        last = register(m, self.control_next.last, "last")
        micro = Cat(block.micro for block in blocks)
        exponent = Cat(block.exponent & last.replicate(EXPONENT_BITS) for block in blocks)
        m.d.comb += [
            self.a.eq(Cat(take_digits(block, low, valid, p.magnitude_bits) for block in blocks)),
            self.a_micro.eq(register(m, micro, "micro", timing.micro)),
            self.a_exponent.eq(register(m, exponent, "exponent", timing.exponent)),
            self.a_step.eq(register(m, self.step, "step_read", self.latency)),
            self.first.eq(register(m, self.control_next.first, "first_read", READ_DELAY + timing.block)),
            self.shift.eq(register(m, self.control_next.shift, "shift_read", READ_DELAY + timing.block)),
            self.start.eq(register(m, self.control_next.start, "start_read", READ_DELAY + timing.start)),
        ]
        # A result that was on its way at a reset must not appear after it.
        ends = Signal(READ_DELAY + timing.end)
        m.d.sync += ends.eq(Cat(self.control_next.end, ends))
        m.d.comb += self.end.eq(ends[-1])
        return m
