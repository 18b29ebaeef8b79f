"""The dot engine: sixteen lanes, digit passes, FP32 accumulation of T interleaved outputs."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden.formats import EXPONENT_BITS, EXPONENT_NAN, PAIRS

from ..arith.fp32_add import FP32Add
from ..arith.register import register
from .block_sum import BlockSum
from .lanes import Lanes
from .normalise import Normalise
from .operand import OPERAND_BITS

# Cycles by which what accompanies a digit must enter the array after it: when the engine needs it.
MICRO_DELAY = Lanes.latency
BLOCK_DELAY = Lanes.latency  # first, shift
EXPONENT_DELAY = Lanes.latency + BlockSum.latency
START_DELAY = EXPONENT_DELAY + Normalise.latency
END_DELAY = START_DELAY + FP32Add.latency


class Engine(wiring.Component):
    """Dot products of T interleaved outputs, one digit pass of one of them in each cycle.

    A flows from left to right, one register per engine; W flows from top to bottom and is held for the T cycles of a
    step, in which A brings a row for each of the T outputs. Block sums are exact integers; a finished one
    is added to its output's FP32 accumulator (docs/numerics.md, Accumulation). The accumulators are the pipeline
    registers of the FP32 adder: with T at least its latency, an output's sum is there just when its next product is.

    What belongs to one pass enters spread over time, each part when it is used, so that it is registered once: digits
    and ``step`` in cycle 0, ``a_micro``, ``first`` and ``shift`` in cycle 1, ``a_exponent`` in cycle 3, ``start`` in
    cycle 5 and ``end`` in cycle 9. W's parts are sampled as much later than ``step``.

    Results leave upwards, against W: ``c_next`` is the accumulator in the cycle after ``end``, and ``c`` of the engine
    below, delayed by a cycle, at all other times.

    A pass that adds nothing (a bubble, or a pass that does not finish its block) has both exponents zero, which makes
    its product +0; a bubble also has zero digits and no flag set. The engine has no reset: its state is undefined until
    ``first`` and ``start`` have come once for each output.

    Latency: 10 cycles from the registered operand of an output's last pass to its result in ``c_next`` (``latency``).
    Throughput: one pass, 16 digit products, per cycle.

    Parameters
    ----------
    interleave
        T, at least 4.
    digits
        Digits of the widest format, 1 or 2.

    Members
    -------
    a : In(80)
        One digit of each of the 16 elements of a block of A: 16 magnitudes of 4 bits, the first in the lowest bits,
        then 16 signs.
    a_micro : In(8), a_exponent : In(8)
        Microexponents and shared exponent of A's block.
    w : In(80)
        One digit of each of the 16 elements of a block of W, laid out as A's.
    w_micro : In(8), w_exponent : In(8)
        Microexponents and shared exponent of W's block.
    step : In(1)
        The digits that enter with it are those of the first of T outputs; W's digits are taken with it.
    first, shift : In(1)
        First pass of a block; shift of the running sum before this pass.
    start, end : In(1)
        The accumulator is cleared before this pass's product is added; it is complete after it.
    c : In(32)
        Result of the engine below, FP32.
    c_next : Out(32)
        Result chain, FP32: the accumulator in the cycle after ``end``, otherwise ``c`` a cycle later.
    a_next, a_micro_next, a_exponent_next, step_next, first_next, shift_next, start_next, end_next : Out
        The input of that name a cycle later, for the engine to the right.
    w_next, w_micro_next, w_exponent_next : Out
        What the engine holds of W, for the engine below.
    """

    unit_name = "engine"
    latency = END_DELAY + 1

    def __init__(self, interleave: int, digits: int) -> None:
        if interleave < FP32Add.latency:
            raise ValueError(f"interleave must be at least {FP32Add.latency}, not {interleave}")
        if digits not in (1, 2):
            raise ValueError(f"digits must be 1 or 2, not {digits}")
        self._interleave = interleave
        self._digits = digits
        passing = {
            "a": OPERAND_BITS,
            "a_micro": PAIRS,
            "a_exponent": EXPONENT_BITS,
            "w": OPERAND_BITS,
            "w_micro": PAIRS,
            "w_exponent": EXPONENT_BITS,
            "step": 1,
            "first": 1,
            "shift": 1,
            "start": 1,
            "end": 1,
            "c": 32,
        }
        super().__init__(
            {name: In(width) for name, width in passing.items()}
            | {f"{name}_next": Out(width) for name, width in passing.items()}
        )

    @property
    def unit_key(self) -> tuple:
        return ("interleave", self._interleave), ("digits", self._digits)

    def elaborate(self, platform: object) -> Module:
        m = Module()

        # Operands. A and the flags move on every cycle, W once in a step.
        for name in ("a", "a_micro", "a_exponent", "step", "first", "shift", "start", "end"):
            m.d.comb += getattr(self, f"{name}_next").eq(register(m, getattr(self, name), f"{name}_held"))
        micro_step = self.step_next
        exponent_step = register(m, micro_step, "exponent_step", EXPONENT_DELAY - MICRO_DELAY)
        for name, enable in (("w", self.step), ("w_micro", micro_step), ("w_exponent", exponent_step)):
            held = Signal(getattr(self, name).shape(), name=f"{name}_held", reset_less=True)
            with m.If(enable):
                m.d.sync += held.eq(getattr(self, name))
            m.d.comb += getattr(self, f"{name}_next").eq(held)

        m.submodules.lanes = lanes = Lanes()
        m.submodules.block_sum = block_sum = BlockSum(self._interleave, self._digits)
        m.submodules.normalise = normalise = Normalise(len(block_sum.low))
        m.submodules.adder = adder = FP32Add()
        m.d.comb += [
            lanes.a.eq(self.a_next),
            lanes.w.eq(self.w_next),
            block_sum.pairs.eq(lanes.pairs),
            block_sum.signs.eq(lanes.signs),
            block_sum.a_micro.eq(self.a_micro_next),
            block_sum.w_micro.eq(self.w_micro_next),
            block_sum.first.eq(self.first_next),
            block_sum.shift.eq(self.shift_next),
            normalise.high.eq(block_sum.high),
            normalise.low.eq(block_sum.low),
            normalise.exponent.eq(self.a_exponent_next + self.w_exponent_next),
            normalise.nan.eq((self.a_exponent_next == EXPONENT_NAN) | (self.w_exponent_next == EXPONENT_NAN)),
            adder.b.eq(normalise.o),
        ]

        # The accumulators: the adder's own registers, and more where T is greater than its latency.
        extra = self._interleave - FP32Add.latency
        turn = register(m, adder.o, "turn", extra) if extra else adder.o
        m.d.comb += [
            adder.a.eq(Mux(self.start_next, 0, turn)),
            self.c_next.eq(register(m, Mux(self.end_next, adder.o, self.c), "result")),
        ]
        return m
