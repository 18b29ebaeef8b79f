"""The feeder of one column of clusters: W's memory."""

from amaranth.hdl import Cat, Const, Module
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from golden.formats import EXPONENT_BITS, PAIRS

from ..arith.register import register
from ..dot.operand import OPERAND_BITS
from ..latency import FEEDER_LATENCY
from ..params import Params
from ..shapes import BlockLayout
from .control import ColumnControlLayout, pointer_bits, take_digits


class ColumnFeeder(wiring.Component):
    """Hold W's blocks of one column of clusters and feed them, digit by digit, to its top cluster.

    One memory holds the blocks of the cluster's H columns side by side. All feeders are written together; each reads a
    cycle after the one to its left, by delaying ``control``. The cluster samples digits, microexponents and exponents
    at three times within a step, while all stand still here.

    Latency: 2 cycles from ``control`` to the blocks' digits (`latency`). Throughput: H blocks per step of T cycles.

    Parameters
    ----------
    params
        Of the design; cluster_columns, w_depth and the widest format count here.

    Members
    -------
    write : In(1), write_address : In, write_blocks : In(H blocks)
        Write port; the first column's block in the lowest bits.
    control : In(ColumnControlLayout), control_next : Out(ColumnControlLayout)
        Of this feeder, and the same a cycle later.
    w : Out(H x 80), w_micro : Out(H x 8), w_exponent : Out(H x 8)
        To the top cluster, for T cycles; the first column's operand in the lowest bits.
    """

    unit_name = "column_feeder"
    latency = FEEDER_LATENCY

    def __init__(self, params: Params) -> None:
        self._params = params
        self._blocks = data.ArrayLayout(BlockLayout(params.magnitude_bits), params.cluster_columns)
        control = ColumnControlLayout(pointer_bits(params.w_depth))
        super().__init__(
            {
                "write": In(1),
                "write_address": In(range(params.w_depth)),
                "write_blocks": In(self._blocks),
                "control": In(control),
                "control_next": Out(control),
                "w": Out(params.cluster_columns * OPERAND_BITS),
                "w_micro": Out(params.cluster_columns * PAIRS),
                "w_exponent": Out(params.cluster_columns * EXPONENT_BITS),
            }
        )

    @property
    def unit_key(self) -> tuple:
        p = self._params
        return ("columns", p.cluster_columns), ("depth", p.w_depth), ("bits", p.magnitude_bits)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._params
        m.d.sync += self.control_next.eq(self.control)

        m.submodules.memory = memory = Memory(shape=self._blocks, depth=p.w_depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.en.eq(self.write),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_blocks),
            read.en.eq(1),
            read.addr.eq(self.control_next.address),
        ]

        low = register(m, self.control_next.low, "low")
        last = register(m, self.control_next.last, "last")
        blocks = [read.data[h] for h in range(p.cluster_columns)]
        m.d.comb += [
            self.w.eq(Cat(take_digits(block, low, Const(1, 1), p.magnitude_bits) for block in blocks)),
            self.w_micro.eq(Cat(block.micro for block in blocks)),
            self.w_exponent.eq(Cat(block.exponent & last.replicate(EXPONENT_BITS) for block in blocks)),
        ]
        return m
