"""Pipelined FP32 adder: round to nearest even, subnormals flushed to +0."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .carry_select import carry_select_add
from .register import cut, register

FRACTION_BITS = 23
EXPONENT_BITS = 8
EXPONENT_MAX = 255
CANONICAL_NAN = 0x7FC00000

_GUARDS = 3  # guard, round and sticky bit below the fraction


def _less_than(a: Value, b: Value) -> Value:
    """Whether ``a < b``, as a tree over halves of the words."""

    def compare(a: Value, b: Value) -> tuple[Value, Value]:
        if len(a) == 1:
            return ~a & b, ~(a ^ b)
        half = len(a) // 2
        low_less, low_equal = compare(a[:half], b[:half])
        high_less, high_equal = compare(a[half:], b[half:])
        return high_less | (high_equal & low_less), high_equal & low_equal

    return compare(a, b)[0]


class FP32Add(wiring.Component):
    """``o = FTZ(RN32(a + b))``.

    Inputs must be zero, normal, Inf or the canonical NaN 0x7FC00000: subnormals and other NaN give wrong sums. Results
    below 2^-126 are +0, sums of 2^128(1 - 2^-25) and more are Inf; Inf - Inf and NaN give 0x7FC00000; exact
    cancellation gives +0 (docs/numerics.md, Accumulation).

    Latency: ``latency`` cycles, as asked for. Throughput: one sum per cycle.

    Parameters
    ----------
    latency
        4: align, add, normalise, round; or 8, in which each of these takes two cycles.

    Members
    -------
    a, b : In(32)
        Summands.
    clear : In(1)
        Take 0 for ``a``.
    o : Out(32)
        Their sum, ``latency`` cycles later.

    Raises
    ------
    ValueError
        ``latency`` is neither 4 nor 8.
    """

    def __init__(self, latency: int = 4) -> None:
        if latency not in (4, 8):
            raise ValueError(f"latency must be 4 or 8, not {latency}")
        super().__init__({"a": In(32), "b": In(32), "clear": In(1), "o": Out(32)})
        self.latency = latency

    def elaborate(self, platform: object) -> Module:
        m = Module()
        long = self.latency == 8

        # Order by magnitude. A cleared summand is the smaller one, and 0; how far it would be off does not matter then.
        a_exp, b_exp = self.a[23:31], self.b[23:31]
        swap = Signal()
        m.d.comb += swap.eq(_less_than(self.a[:31], self.b[:31]) | self.clear)
        large, small = Signal(32), Signal(31)
        m.d.comb += [
            large.eq(Mux(swap, self.b, self.a)),
            small.eq(Mux(swap, self.a[:31] & ~self.clear.replicate(31), self.b[:31])),
        ]
        a_minus_b, b_minus_a = Signal(9), Signal(9)
        m.d.comb += [a_minus_b.eq(a_exp - b_exp), b_minus_a.eq(b_exp - a_exp)]
        distance = Signal(8)
        m.d.comb += distance.eq(Mux(a_minus_b[8], b_minus_a, a_minus_b))
        a_top, b_top = a_exp.all() & ~self.clear, b_exp.all()
        a_frac, b_frac = self.a[22], self.b[22]  # a NaN is canonical: its top fraction bit is set
        subtract = (self.a[31] & ~self.clear) ^ self.b[31]
        s = cut(
            m,
            "_ordered",
            long,
            sign=large[31],
            exp=large[23:31],
            large=large[:23],
            small=Cat(small[:23], small[23:].any()),
            near=distance[:5],
            far=distance[5:].any(),
            subtract=subtract,
            nan=(a_top & a_frac) | (b_top & b_frac) | (a_top & b_top & subtract),
            inf=a_top | b_top,
        )

        # Align the smaller to the larger, and invert it where it is subtracted. The significand of a zero stays out by
        # its missing hidden bit alone: its fraction is zero too.
        shifted: Value = Cat(Const(0, 2), s.small)
        lost: Value = Const(0, 1)
        for k in range(5):
            step = 1 << k
            lost = lost | (s.near[k] & shifted[:step].any())
            shifted = Mux(s.near[k], shifted[step:], shifted)
        aligned = Cat(Mux(s.far, s.small[-1], lost), shifted & ~s.far.replicate(len(shifted)))
        s = cut(
            m,
            "_aligned",
            sign=s.sign,
            exp=s.exp,
            large=Cat(s.large, s.exp.any()),
            small=aligned ^ s.subtract.replicate(len(aligned)) if long else aligned,
            subtract=s.subtract,
            nan=s.nan,
            inf=s.inf,
        )

        # Add or subtract; never negative, since the larger magnitude comes first.
        augend = Cat(Const(0, _GUARDS), s.large)
        if long:
            half = 15
            low = (Cat(s.subtract, augend[:half]) + Cat(s.subtract, s.small[:half]))[1 : half + 2]
            s = cut(
                m,
                "_low",
                sign=s.sign,
                exp=s.exp,
                low=low,
                large=augend[half:],
                small=s.small[half:],
                subtract=s.subtract,
                nan=s.nan,
                inf=s.inf,
            )
            high = (Cat(s.low[half], s.large) + Cat(s.low[half], s.small))[1 : len(s.large) + 2]
            total = Cat(s.low[:half], high)
        else:
            addend = s.small ^ s.subtract.replicate(len(augend))
            total = carry_select_add(augend, addend, s.subtract, (9, 9, 9))
        s = cut(
            m,
            "_added",
            sign=s.sign,
            exp=s.exp,
            total=Cat(total[:-1], total[-1] & ~s.subtract),
            nan=s.nan,
            inf=s.inf,
        )

        # Normalise, the coarse shifts first, each as soon as the bits above it are known to be zero.
        normal: Value = s.total
        count: list[Value] = []
        for k in reversed(range(5)):
            if k == 2:
                s = cut(
                    m,
                    "_coarse",
                    long,
                    sign=s.sign,
                    exp=s.exp,
                    normal=normal,
                    count=Cat(count),
                    nan=s.nan,
                    inf=s.inf,
                )
                normal, count = s.normal, list(s.count)
            step = 1 << k
            empty = ~normal[-step:].any()
            normal = Mux(empty, Cat(Const(0, step), normal[:-step]), normal)
            count.insert(0, empty)
        s = cut(
            m,
            "_normal",
            sign=s.sign,
            exp=s.exp,
            kept=normal[_GUARDS:],
            sticky=normal[:_GUARDS].any(),
            count=Cat(count),
            nan=s.nan,
            inf=s.inf,
        )
        guard, fraction, nonzero = s.kept[0], s.kept[1:-1], s.kept[-1]

        # Round. A sum below 2^-126 is a multiple of 2^-149: it is exact, and rounding cannot lift it out of zero.
        # Rounding up to 2^128 leaves a fraction of 0, so it gives Inf by itself. So all special cases are known early.
        round_up = Signal()
        exponent = Signal(signed(EXPONENT_BITS + 2))
        zero, overflow = Signal(), Signal()
        m.d.comb += [
            round_up.eq(guard & (s.sticky | fraction[0])),
            exponent.eq(s.exp + 1 - s.count),
            zero.eq((~nonzero | (exponent <= 0)) & ~s.inf),
            overflow.eq(s.inf | (exponent == EXPONENT_MAX)),
        ]
        # The exponent plus 1, unless there are cycles to add it later.
        bumped = {} if long else {"bumped": (s.exp + 2 - s.count)[:EXPONENT_BITS]}
        # The fraction in segments, each plus 1 where round_up comes through all those below it.
        segments = (fraction[:8], fraction[8:16], fraction[16:])
        carries = [round_up, *(round_up & fraction[:end].all() for end in (8, 16, FRACTION_BITS))]
        s = cut(
            m,
            "_rounding",
            long,
            segments=Cat(segments),
            carries=Cat(carries),
            finite=~(zero | overflow | s.nan),
            exponent=exponent[:EXPONENT_BITS],
            **bumped,
            keep=~zero | s.nan,
            top=overflow | s.nan,
            sign=s.sign & ~zero & ~s.nan,
            nan=s.nan,
        )
        rounded: list[Value] = []
        start = 0
        for k, segment in enumerate(segments):
            part = s.segments[start : start + len(segment)]
            rounded.append(Mux(s.carries[k], (part + 1)[: len(part)], part))
            start += len(part)
        result = Cat(*rounded) & s.finite.replicate(FRACTION_BITS)
        field = (s.exponent + s.carries[-1])[:EXPONENT_BITS] if long else Mux(s.carries[-1], s.bumped, s.exponent)
        field &= s.keep.replicate(EXPONENT_BITS)
        word = Cat(result[:-1], result[-1] | s.nan, field | s.top.replicate(EXPONENT_BITS), s.sign)
        m.d.comb += self.o.eq(register(m, word, "sum"))
        return m
