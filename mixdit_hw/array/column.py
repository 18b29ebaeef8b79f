"""The feeder of one column of the array: W's memory."""

from amaranth.hdl import Const, Module
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from golden.formats import EXPONENT_BITS, PAIRS

from ..arith.register import register
from ..dot.operand import OPERAND_BITS
from ..params import Params
from ..shapes import BlockLayout
from .control import ColumnControlLayout, pointer_bits, take_digits


class ColumnFeeder(wiring.Component):
    """Hold W's blocks of one array column and feed them, digit by digit, to its top engine.

    All columns are written together; each reads a cycle after the one to its left, by delaying ``control``. The engine
    samples digits, microexponents and exponent at three times within a step, while all stand still here.

    Latency: 2 cycles from ``control`` to the block's digits (`latency`). Throughput: a block per step of T cycles.

    Parameters
    ----------
    params
        Of the design; w_depth and the widest format count here.

    Members
    -------
    write : In(1), write_address : In, write_block : In(BlockLayout)
        Write port.
    control : In(ColumnControlLayout), control_next : Out(ColumnControlLayout)
        Of this column, and the same a cycle later.
    w, w_micro, w_exponent : Out
        To the top engine, for T cycles.
    """

    unit_name = "column_feeder"
    latency = 2

    def __init__(self, params: Params) -> None:
        self._params = params
        control = ColumnControlLayout(pointer_bits(params.w_depth))
        super().__init__(
            {
                "write": In(1),
                "write_address": In(range(params.w_depth)),
                "write_block": In(BlockLayout(params.magnitude_bits)),
                "control": In(control),
                "control_next": Out(control),
                "w": Out(OPERAND_BITS),
                "w_micro": Out(PAIRS),
                "w_exponent": Out(EXPONENT_BITS),
            }
        )

    @property
    def unit_key(self) -> tuple:
        return ("depth", self._params.w_depth), ("bits", self._params.magnitude_bits)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._params
        m.d.sync += self.control_next.eq(self.control)

        m.submodules.memory = memory = Memory(shape=BlockLayout(p.magnitude_bits), depth=p.w_depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.en.eq(self.write),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_block),
            read.en.eq(1),
            read.addr.eq(self.control_next.address),
        ]

        low = register(m, self.control_next.low, "low")
        last = register(m, self.control_next.last, "last")
        m.d.comb += [
            self.w.eq(take_digits(read.data, low, Const(1, 1), p.magnitude_bits)),
            self.w_micro.eq(read.data.micro),
            self.w_exponent.eq(read.data.exponent & last.replicate(EXPONENT_BITS)),
        ]
        return m
