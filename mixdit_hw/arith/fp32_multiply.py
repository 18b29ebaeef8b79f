"""Pipelined FP32 multiplier: round to nearest even, subnormals flushed to +0."""

import itertools

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden.formats import EXPONENT_BIAS

from .carry_select import carry_select_add
from .compress import partial_products, reduce_columns
from .fp32_add import EXPONENT_BITS, EXPONENT_MAX, FRACTION_BITS
from .register import cut, register

_SIGNIFICAND_BITS = FRACTION_BITS + 1
# Segments of each part of the addition, by latency.
_PARTS = {6: ((8, 8, 8),) * 2, 9: ((6, 6),) * 4}


class FP32Multiply(wiring.Component):
    """``o = FTZ(RN32(a * b))``.

    Inputs must be normal, Inf, NaN or with an exponent of 0, which counts as 0. What rounds to less than 2^-126 is +0,
    products of 2^128(1 - 2^-25) and more are Inf; NaN, and 0 times Inf, give 0x7FC00000 (docs/numerics.md, Output).

    Latency: ``latency`` cycles, as asked for. Throughput: one product per cycle.

    Parameters
    ----------
    latency
        6: partial products in columns of 6, their sum in two words, the addition in halves, normalise, round; or 9,
        with the addition in quarters and the rounding in two cycles.

    Members
    -------
    a, b : In(32)
        Factors.
    o : Out(32)
        Their product, ``latency`` cycles later.

    Raises
    ------
    ValueError
        ``latency`` is neither 6 nor 9.
    """

    def __init__(self, latency: int = 6) -> None:
        if latency not in _PARTS:
            raise ValueError(f"latency must be one of {', '.join(map(str, _PARTS))}, not {latency}")
        super().__init__({"a": In(32), "b": In(32), "o": Out(32)})
        self.latency = latency

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
            Cat(*(Const(0, 1) if bit is None else bit for bit in row))
            for row in list(itertools.zip_longest(*columns))[:2]
        )
        rest = {"exponent": s.exponent, "sign": s.sign, "zero": s.zero, "inf": s.inf, "nan": s.nan}
        s = cut(m, "_words", first=first, second=second, **rest)

        # The addition, part by part, the lowest first.
        low: list[Value] = []
        carry: Value = Const(0, 1)
        for part, segments in enumerate(_PARTS[self.latency]):
            width = sum(segments)
            total = carry_select_add(s.first[:width], s.second[:width], carry, segments)
            rest = {name: getattr(s, name) for name in rest}
            words = {"first": s.first[width:], "second": s.second[width:]} if len(s.first) > width else {}
            s = cut(m, f"_part{part}", low=Cat(*low, total[:width]), carry=total[width], **words, **rest)
            low, carry = [s.low], s.carry
        product = s.low

        # Of two significands below 2 the product is below 4. One just below 2^-126, whose 24 bits are all ones, rounds
        # up to it; all other products below 2^-126 are 0.
        half = _SIGNIFICAND_BITS
        top = product[-1]
        kept = Mux(top, product[half:], product[half - 1 : -1])
        guard = Mux(top, product[half - 1], product[half - 2])
        sticky = product[: half - 2].any() | (top & product[half - 2])
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
        # A fraction of ones becomes 0 and adds one to the exponent, up to Inf, which has the fraction 0, too.
        word = Cat(s.fraction, s.exponent)
        if self.latency == 6:
            rounded = (word + s.round_up)[: len(word)]
        else:
            # In segments, each plus 1 where round_up comes through all those below it.
            ends = (0, 8, 16, FRACTION_BITS, len(word))
            carries = Cat(s.round_up, *(s.round_up & word[:end].all() for end in ends[1:-1]))
            rest = {name: getattr(s, name) for name in ("finite", "infinite", "sign", "nan")}
            s = cut(m, "_carries", word=word, carries=carries, **rest)
            rounded = Cat(
                (s.word[start:end] + s.carries[k])[: end - start]
                for k, (start, end) in enumerate(itertools.pairwise(ends))
            )
        finite = Cat(rounded & s.finite.replicate(len(rounded)), s.sign & (s.finite | s.infinite))
        special = Cat(Const(0, FRACTION_BITS - 1), s.nan, (s.infinite | s.nan).replicate(EXPONENT_BITS), Const(0, 1))
        m.d.comb += self.o.eq(register(m, finite | special, "result"))
        return m
