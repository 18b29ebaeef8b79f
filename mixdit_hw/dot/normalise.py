"""From the exact integer sum of a block pair to the FP32 word that is added to the accumulator."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden.formats import EXPONENT_BIAS

from ..arith.fp32_add import CANONICAL_NAN, EXPONENT_BITS, EXPONENT_MAX, FRACTION_BITS
from ..arith.lzc import leading_zeros
from ..arith.register import register
from .block_sum import HIGH_BITS


class Normalise(wiring.Component):
    """Turn a block's integer sum and shared exponents into FP32, exactly.

    The sum has at most 22 significant bits, so nothing is rounded; a value of 2^128 or more becomes Inf, one below
    2^-126 becomes +0, and so does a zero sum. A shared exponent of 255 on either side gives the canonical NaN
    (docs/numerics.md, Accumulation).

    Latency: 2 cycles. Throughput: one block per cycle.

    Parameters
    ----------
    low_bits
        Bits of the sum below ``high``, 0 or 8.

    Members
    -------
    high : In(16), low : In(low_bits)
        The sum, two's complement.
    exponent : In(9)
        Ea + Ew of the shared exponents, in the same cycle.
    nan : In(1)
        One of them is 255.
    o : Out(32)
        FP32 word.
    """

    latency = 2

    def __init__(self, low_bits: int) -> None:
        self._low_bits = low_bits
        super().__init__(
            {
                "high": In(HIGH_BITS),
                "low": In(low_bits),
                "exponent": In(EXPONENT_BITS + 1),
                "nan": In(1),
                "o": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # A finished sum is at most 2^(low_bits + 14) - 1 in magnitude: the top bit of `high` repeats the sign.
        width = self._low_bits + HIGH_BITS - 2

        # Cycle 1: magnitude. Zeros are counted on the complement, in parallel with its increment; where that makes a
        # power of two the count is one too high, which cycle 2 sees as a bit above the top and repairs in the exponent.
        total = Cat(self.low, self.high)
        negative = self.high[-1]
        complement = Signal(width)
        m.d.comb += complement.eq(total[:width] ^ negative.replicate(width))
        # Field of a leading bit at the top of the magnitude; the sum weighs 2^(Ea + Ew - 254 - low_bits - 8).
        offset = width - 1 - 2 * EXPONENT_BIAS - self._low_bits - 8 + EXPONENT_BIAS
        magnitude = register(m, (complement + negative)[:width], "magnitude")
        zeros = register(m, leading_zeros(complement), "zeros")
        sign = register(m, negative, "sign")
        base_next = Signal(signed(EXPONENT_BITS + 3))
        m.d.comb += base_next.eq(self.exponent + offset)
        base = register(m, base_next, "base")
        nan = register(m, self.nan, "is_nan")

        # Cycle 2: shift and choose.
        shifted: Value = Cat(magnitude, Const(0, 1))
        for k in reversed(range(len(zeros))):
            step = 1 << k
            shifted = Mux(zeros[k], Cat(Const(0, min(step, width + 1)), shifted[:-step]), shifted)
        normal = Signal(width + 1)
        field = Signal(signed(EXPONENT_BITS + 3))
        m.d.comb += [normal.eq(shifted), field.eq(base - zeros)]
        repair = normal[-1]
        exponent = Signal(signed(EXPONENT_BITS + 3))
        m.d.comb += exponent.eq(field + repair)
        fraction = Cat(Const(0, FRACTION_BITS - (width - 1)), normal[: width - 1])
        word = Signal(32)
        with m.If(nan):
            m.d.comb += word.eq(CANONICAL_NAN)
        with m.Elif((~normal[-2] & ~repair) | (exponent <= 0)):
            m.d.comb += word.eq(0)
        with m.Elif(exponent >= EXPONENT_MAX):
            m.d.comb += word.eq(Cat(Const(0, FRACTION_BITS), Const(EXPONENT_MAX, EXPONENT_BITS), sign))
        with m.Else():
            m.d.comb += word.eq(Cat(fraction, exponent[:EXPONENT_BITS], sign))
        m.d.comb += self.o.eq(register(m, word, "product"))
        return m
