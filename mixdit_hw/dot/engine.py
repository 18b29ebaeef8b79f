"""The dot engine: sixteen lanes, digit passes, FP32 accumulation of T interleaved outputs."""

from amaranth.hdl import Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden.formats import EXPONENT_BITS, EXPONENT_NAN, PAIRS

from ..arith.fp32_add import FP32Add
from ..arith.register import register
from ..shapes import FP32_BITS
from .block_sum import BlockSum
from .lanes import PRODUCTS_BITS, Lanes
from .normalise import Normalise
from .operand import OPERAND_BITS
from .timing import timing_of


class Engine(wiring.Component):
    """Dot products of T interleaved outputs, one digit pass of one of them in each cycle.

    Block sums are exact integers; a finished one is added to its output's FP32 accumulator (docs/numerics.md,
    Accumulation). The accumulators are the pipeline registers of the FP32 adder: with T at least its latency, an
    output's sum is there just when its next product is.

    Operands come from registers outside, which the engines of a cluster share. What belongs to one pass comes spread
    over time, each part when it is used, so that it is registered once: microexponents, ``first`` and ``shift``, then
    exponents, ``start`` and ``end`` as much later than the digits as ``timing`` says.

    Results leave upwards: ``c_next`` is the accumulator in the cycle after ``end``, and ``c`` of the engine below,
    delayed by a cycle, at all other times.

    A pass that adds nothing (a bubble, or a pass that does not finish its block) has both exponents zero, which makes
    its product +0; a bubble also has zero digits and no flag set. The engine has no reset: its state is undefined until
    ``first`` and ``start`` have come once for each output.

    Latency: that of its parts and a cycle, from the digits of an output's last pass to its result in ``c_next``
    (``latency``). Throughput: one pass, 16 digit products, per cycle.

    Parameters
    ----------
    interleave
        T, not less than ``loop_latency``.
    digits
        Digits of the widest format, 1 or 2.
    loop_latency
        Cycles of the accumulation loop, 4 or 8, which say how finely the engine is pipelined (`dot.timing`).
    tree
        How the pairs are added up: ``compressors``, or carry ``chains``, for FPGAs.
    multiply
        Whether the multipliers are in here; otherwise the engine takes products.

    Members
    -------
    a : In(80)
        One digit of each of the 16 elements of a block of A: 16 magnitudes of 4 bits, the first in the lowest bits,
        then 16 signs.
    w : In(80)
        One digit of each of the 16 elements of a block of W, laid out as A's.
    products : In(128), product_signs : In(16)
        Instead of ``a`` and ``w``, without ``multiply``: the magnitudes of the digits' products, the first in the
        lowest bits, and their signs.
    a_micro : In(8), a_exponent : In(8)
        Microexponents and shared exponent of A's block.
    w_micro : In(8), w_exponent : In(8)
        Microexponents and shared exponent of W's block.
    first, shift : In(1)
        First pass of a block; shift of the running sum before this pass.
    start, end : In(1)
        The accumulator is cleared before this pass's product is added; it is complete after it.
    c : In(32)
        Result of the engine below, FP32.
    c_next : Out(32)
        Result chain, FP32: the accumulator in the cycle after ``end``, otherwise ``c`` a cycle later.
    """

    unit_name = "engine"

    def __init__(
        self,
        interleave: int,
        digits: int,
        loop_latency: int = 4,
        tree: str = "compressors",
        *,
        multiply: bool = True,
    ) -> None:
        self.timing = timing_of(loop_latency)
        if interleave < loop_latency:
            raise ValueError(f"interleave must be at least {loop_latency}, not {interleave}")
        if digits not in (1, 2):
            raise ValueError(f"digits must be 1 or 2, not {digits}")
        self._interleave = interleave
        self._digits = digits
        self._tree = tree
        self._multiply = multiply
        operands = {"a": In(OPERAND_BITS), "w": In(OPERAND_BITS)}
        products = {"products": In(PRODUCTS_BITS), "product_signs": In(2 * PAIRS)}
        super().__init__(
            (operands if multiply else products)
            | {
                "a_micro": In(PAIRS),
                "a_exponent": In(EXPONENT_BITS),
                "w_micro": In(PAIRS),
                "w_exponent": In(EXPONENT_BITS),
                "first": In(1),
                "shift": In(1),
                "start": In(1),
                "end": In(1),
                "c": In(FP32_BITS),
                "c_next": Out(FP32_BITS),
            }
        )

    @property
    def unit_key(self) -> tuple:
        return (
            ("interleave", self._interleave),
            ("digits", self._digits),
            ("loop", self.timing.adder),
            ("tree", self._tree),
            ("multiply", int(self._multiply)),
        )

    @property
    def latency(self) -> int:
        """Cycles from the digits of an output's last pass to its result in ``c_next``."""
        return self.timing.latency

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.lanes = lanes = Lanes(self.timing, multiply=self._multiply)
        m.submodules.block_sum = block_sum = BlockSum(self.timing, self._interleave, self._digits, self._tree)
        m.submodules.normalise = normalise = Normalise(self.timing, len(block_sum.low))
        m.submodules.adder = adder = FP32Add(self.timing.adder)
        for name in ("a", "w") if self._multiply else ("products", "product_signs"):
            m.d.comb += getattr(lanes, name).eq(getattr(self, name))
        m.d.comb += [
            lanes.w_micro.eq(self.w_micro),
            block_sum.pairs.eq(lanes.pairs),
            block_sum.signs.eq(lanes.signs),
            block_sum.a_micro.eq(self.a_micro),
            block_sum.first.eq(self.first),
            block_sum.shift.eq(self.shift),
            normalise.high.eq(block_sum.high),
            normalise.low.eq(block_sum.low),
            normalise.exponent.eq(self.a_exponent + self.w_exponent),
            normalise.nan.eq((self.a_exponent == EXPONENT_NAN) | (self.w_exponent == EXPONENT_NAN)),
            adder.b.eq(normalise.o),
        ]

        # The accumulators: the adder's own registers, and more where T is greater than its latency.
        extra = self._interleave - self.timing.adder
        turn = register(m, adder.o, "turn", extra) if extra else adder.o
        m.d.comb += [
            adder.a.eq(turn),
            adder.clear.eq(self.start),
            self.c_next.eq(register(m, Mux(self.end, adder.o, self.c), "result")),
        ]
        return m
