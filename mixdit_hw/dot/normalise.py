"""From the exact integer sum of a block pair to the FP32 word that is added to the accumulator."""

from types import SimpleNamespace

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden.formats import EXPONENT_BIAS

from ..arith.fp32_add import EXPONENT_BITS, EXPONENT_MAX, FRACTION_BITS
from ..arith.lzc import leading_zeros
from ..arith.register import cut, register
from .block_sum import HIGH_BITS
from .timing import Timing


class Normalise(wiring.Component):
    """Turn a block's integer sum and shared exponents into FP32, exactly.

    The sum has at most 22 significant bits, so nothing is rounded; a value of 2^128 or more becomes Inf, one below
    2^-126 becomes +0, and so does a zero sum. A shared exponent of 255 on either side gives the canonical NaN
    (docs/numerics.md, Accumulation).

    Latency: ``timing.normalise`` cycles. Throughput: one block per cycle.

    Parameters
    ----------
    timing
        Of the engine.
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

    def __init__(self, timing: Timing, low_bits: int) -> None:
        self._timing = timing
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

        # Magnitude. Zeros are counted on the complement, in parallel with its increment. Where that makes a power of
        # two, as all bits below the leading one are ones, the count is one too high, and the exponent is repaired. The
        # increment is in halves, with the carry into the upper one known beforehand.
        total = Cat(self.low, self.high)
        negative = self.high[-1]
        complement = Signal(width)
        m.d.comb += complement.eq(total[:width] ^ negative.replicate(width))
        # Field of a leading bit at the top of the magnitude; the sum weighs 2^(Ea + Ew - 254 - low_bits - 8).
        offset = width - 1 - 2 * EXPONENT_BIAS - self._low_bits - 8 + EXPONENT_BIAS
        base = Signal(signed(EXPONENT_BITS + 3))
        m.d.comb += base.eq(self.exponent + offset)
        half, long = width // 2, self._timing.normalise > 2
        s = cut(
            m,
            "_counted",
            long,
            part=complement,
            sign=negative,
            carry=negative & complement[:half].all(),
            zeros=leading_zeros(complement),
            repair=negative & ~(complement[1:] & ~complement[:-1]).any(),
            nothing=~negative & ~complement.any(),
            base=base,
            nan=self.nan,
        )
        values = {
            "part": Cat((s.part[:half] + s.sign)[:half], (s.part[half:] + s.carry)[: width - half]),
            "sign": s.sign,
            "zeros": s.zeros,
            "nothing": s.nothing,
            "nan": s.nan,
        }
        if long:
            s = cut(m, "_magnitude", **values, exponent=_exponent(m, s))
            exponent = s.exponent
        else:
            s = cut(m, "_magnitude", **values, base=s.base, repair=s.repair)
            exponent = _exponent(m, s)

        # Shift, and put in what is special.
        shifted: Value = s.part
        for k in reversed(range(len(s.zeros))):
            step = 1 << k
            shifted = Mux(s.zeros[k], Cat(Const(0, min(step, width)), shifted[:-step]), shifted)
        fraction = Cat(Const(0, FRACTION_BITS - (width - 1)), shifted[: width - 1])
        zero = s.nothing | (exponent <= 0)
        overflow = exponent >= EXPONENT_MAX
        finite = ~(zero | overflow | s.nan)
        field = exponent[:EXPONENT_BITS] & finite.replicate(EXPONENT_BITS)
        top = s.nan | (overflow & ~s.nothing)
        fraction &= finite.replicate(FRACTION_BITS)
        word = Cat(fraction[:-1], fraction[-1] | s.nan, field | top.replicate(EXPONENT_BITS), s.sign & ~zero & ~s.nan)
        m.d.comb += self.o.eq(register(m, word, "product"))
        return m


def _exponent(m: Module, s: SimpleNamespace) -> Signal:
    """The exponent field of the product, before it is known whether it is in range."""
    exponent = Signal(signed(EXPONENT_BITS + 3))
    m.d.comb += exponent.eq(s.base - s.zeros + s.repair)
    return exponent
