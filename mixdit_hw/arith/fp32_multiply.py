"""Pipelined FP32 multiplier: round to nearest even, subnormals flushed to +0."""

from itertools import zip_longest

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden.formats import EXPONENT_BIAS

from .carry_select import carry_select_add
from .compress import partial_products, reduce_columns
from .fp32_add import EXPONENT_BITS, EXPONENT_MAX, FRACTION_BITS
from .register import cut, register

_SIGNIFICAND_BITS = FRACTION_BITS + 1
_SEGMENTS = (8, 8, 8)  # of half an addition


class FP32Multiply(wiring.Component):
    """``o = FTZ(RN32(a * b))``.

    Inputs must be normal, Inf, NaN or with an exponent of 0, which counts as 0. What rounds to less than 2^-126 is +0,
    products of 2^128(1 - 2^-25) and more are Inf; NaN, and 0 times Inf, give 0x7FC00000 (docs/numerics.md, Output).

    Latency: 6 cycles (``latency``): partial products in columns, their sum in two words, two halves of an addition,
    normalise, round. Throughput: one product per cycle.

    Members
    -------
    a, b : In(32)
        Factors.
    o : Out(32)
        Their product.
    """

    latency = 6

    def __init__(self) -> None:
        super().__init__({"a": In(32), "b": In(32), "o": Out(32)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        exponents = [x[FRACTION_BITS : FRACTION_BITS + EXPONENT_BITS] for x in (self.a, self.b)]
        fractions = [x[:FRACTION_BITS] for x in (self.a, self.b)]
        zeros = [~e.any() for e in exponents]
        tops = [e.all() for e in exponents]
        nans = [top & f.any() for top, f in zip(tops, fractions, strict=True)]
        nan = nans[0] | nans[1] | (zeros[0] & tops[1]) | (zeros[1] & tops[0])

        # From 24 bits in a column to 6, to 2.
        significands = [Cat(f, Const(1, 1)) for f in fractions]
        columns = reduce_columns(m, partial_products(m, significands[0], significands[1]), 6)
        s = cut(
            m,
            "_columns",
            bits=Cat(*(bit for column in columns for bit in column)),
            exponent=exponents[0] + exponents[1],
            sign=self.a[-1] ^ self.b[-1],
            zero=zeros[0] | zeros[1],
            inf=tops[0] | tops[1],
            nan=nan,
        )
        bits = iter(s.bits)
        columns = reduce_columns(m, [[next(bits) for _ in column] for column in columns])
        first, second = (
            Cat(*(Const(0, 1) if bit is None else bit for bit in row)) for row in list(zip_longest(*columns))[:2]
        )
        rest = {"exponent": s.exponent, "sign": s.sign, "zero": s.zero, "inf": s.inf, "nan": s.nan}
        s = cut(m, "_words", first=first, second=second, **rest)

        # The addition, in two halves.
        half = _SIGNIFICAND_BITS
        low = carry_select_add(s.first[:half], s.second[:half], Const(0, 1), _SEGMENTS)
        rest = {name: getattr(s, name) for name in rest}
        s = cut(m, "_low", low=low, first=s.first[half:], second=s.second[half:], **rest)
        high = carry_select_add(s.first, s.second, s.low[-1], _SEGMENTS)[:half]
        rest = {name: getattr(s, name) for name in rest}
        s = cut(m, "_product", product=Cat(s.low[:half], high), **rest)

        # Of two significands below 2 the product is below 4. One just below 2^-126, whose 24 bits are all ones, rounds
        # up to it; all other products below 2^-126 are 0.
        top = s.product[-1]
        kept = Mux(top, s.product[half:], s.product[half - 1 : -1])
        guard = Mux(top, s.product[half - 1], s.product[half - 2])
        sticky = s.product[: half - 2].any() | (top & s.product[half - 2])
        exponent = Signal(signed(EXPONENT_BITS + 2))
        m.d.comb += exponent.eq(s.exponent - EXPONENT_BIAS + top)
        edge = (exponent == 0) & kept.all()
        finite = ~(s.zero | s.inf | s.nan)
        s = cut(
            m,
            "_rounding",
            fraction=kept[:-1],
            round_up=(guard & (sticky | kept[0])) | edge,
            exponent=exponent[:EXPONENT_BITS],
            finite=finite & ((exponent > 0) | edge) & (exponent < EXPONENT_MAX),
            infinite=(s.inf | (finite & (exponent >= EXPONENT_MAX))) & ~s.nan,
            sign=s.sign,
            nan=s.nan,
        )
        # A fraction of ones becomes 0 and adds one to the exponent: up to Inf, which has the fraction 0, too.
        rounded = Signal(FRACTION_BITS + EXPONENT_BITS)
        m.d.comb += rounded.eq(Cat(s.fraction, s.exponent) + s.round_up)
        word = Cat(rounded & s.finite.replicate(len(rounded)), s.sign & (s.finite | s.infinite))
        special = Cat(Const(0, FRACTION_BITS - 1), s.nan, (s.infinite | s.nan).replicate(EXPONENT_BITS), Const(0, 1))
        m.d.comb += self.o.eq(register(m, word | special, "result"))
        return m
