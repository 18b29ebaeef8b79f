"""The feeder of one row of the array: A's memory and the skew of its control."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from golden.formats import EXPONENT_BITS, PAIRS

from ..arith.register import register
from ..dot.engine import BLOCK_DELAY, END_DELAY, EXPONENT_DELAY, MICRO_DELAY, START_DELAY
from ..dot.operand import OPERAND_BITS
from ..params import Params
from ..shapes import BlockLayout
from .control import RowControlLayout, pointer_bits, take_digits

READ_DELAY = 1  # cycles from an address to the block in the memory's output


class RowFeeder(wiring.Component):
    """Hold A's blocks of one array row and feed them, digit by digit, to its first engine.

    All rows are written together; each reads for itself, T-1 cycles after the row above. So the skew of A costs no
    registers: it is the distance between the rows' addresses. ``control`` is taken with ``step`` and held for the T
    cycles of a step, in which entries address, address+1 ... address+T-1 are read; the next row takes ``control_next``
    T-1 cycles later.

    Latency: 2 cycles from ``step`` to the first digits (`latency`). Throughput: a block's digit plane per cycle.

    Parameters
    ----------
    params
        Of the design; interleave, a_depth and the widest format count here.

    Members
    -------
    write : In(1), write_address : In, write_block : In(BlockLayout)
        Write port.
    step : In(1)
        Once in T cycles, in bubbles too.
    control : In(RowControlLayout), control_next : Out(RowControlLayout)
        Of this row and for the next one.
    a, a_micro, a_exponent, a_step, first, shift, start, end : Out
        To the first engine, each part when the engine needs it.
    """

    unit_name = "row_feeder"
    latency = READ_DELAY + 1

    def __init__(self, params: Params) -> None:
        self._params = params
        control = RowControlLayout(pointer_bits(params.a_depth))
        super().__init__(
            {
                "write": In(1),
                "write_address": In(range(params.a_depth)),
                "write_block": In(BlockLayout(params.magnitude_bits)),
                "step": In(1),
                "control": In(control),
                "control_next": Out(control),
                "a": Out(OPERAND_BITS),
                "a_micro": Out(PAIRS),
                "a_exponent": Out(EXPONENT_BITS),
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
        return ("interleave", p.interleave), ("depth", p.a_depth), ("bits", p.magnitude_bits)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._params
        address = Signal(range(p.a_depth))
        with m.If(self.step):
            m.d.sync += [self.control_next.eq(self.control), address.eq(self.control.address)]
        with m.Else():
            m.d.sync += address.eq(address + 1)

        m.submodules.memory = memory = Memory(shape=BlockLayout(p.magnitude_bits), depth=p.a_depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        block = read.data
        m.d.comb += [
            write.en.eq(self.write),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_block),
            read.en.eq(1),
            read.addr.eq(address),
        ]

        # What goes with the block that is now in the memory's output.
        low = register(m, self.control_next.low, "low")
        valid = register(m, self.control_next.valid, "valid")
        last = register(m, self.control_next.last, "last")
        exponent = block.exponent & last.replicate(EXPONENT_BITS)
        m.d.comb += [
            self.a.eq(take_digits(block, low, valid, p.magnitude_bits)),
            self.a_micro.eq(register(m, block.micro, "micro", MICRO_DELAY)),
            self.a_exponent.eq(register(m, exponent, "exponent", EXPONENT_DELAY)),
            self.a_step.eq(register(m, self.step, "step_read", self.latency)),
            self.first.eq(register(m, self.control_next.first, "first_read", READ_DELAY + BLOCK_DELAY)),
            self.shift.eq(register(m, self.control_next.shift, "shift_read", READ_DELAY + BLOCK_DELAY)),
            self.start.eq(register(m, self.control_next.start, "start_read", READ_DELAY + START_DELAY)),
        ]
        # A result that was on its way at a reset must not appear after it.
        ends = Signal(READ_DELAY + END_DELAY)
        m.d.sync += ends.eq(Cat(self.control_next.end, ends))
        m.d.comb += self.end.eq(ends[-1])
        return m
