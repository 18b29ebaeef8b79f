"""Pipelined FP32 adder: round to nearest even, subnormals flushed to +0."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .carry_select import carry_select_add
from .register import register

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

    Latency: 4 cycles (`latency`). Throughput: one sum per cycle.

    Members
    -------
    a, b : In(32)
        Summands.
    o : Out(32)
        Their sum, 4 cycles later.
    """

    latency = 4

    def __init__(self) -> None:
        super().__init__({"a": In(32), "b": In(32), "o": Out(32)})

    def elaborate(self, platform: object) -> Module:
        m = Module()

        # Cycle 1: order by magnitude, align the smaller to the larger.
        a_exp, b_exp = self.a[23:31], self.b[23:31]
        swap = Signal()
        m.d.comb += swap.eq(_less_than(self.a[:31], self.b[:31]))
        large, small = Signal(32), Signal(32)
        m.d.comb += [
            large.eq(Mux(swap, self.b, self.a)),
            small.eq(Mux(swap, self.a, self.b)),
        ]
        a_minus_b, b_minus_a = Signal(9), Signal(9)
        m.d.comb += [a_minus_b.eq(a_exp - b_exp), b_minus_a.eq(b_exp - a_exp)]
        distance = Signal(8)
        m.d.comb += distance.eq(Mux(a_minus_b[8], b_minus_a, a_minus_b))
        # The significand of a zero stays out by its missing hidden bit alone: its fraction is zero too.
        significand = Cat(Const(0, 2), small[:23], small[23:31].any())
        aligned, sticky = Signal(26), Signal()
        shifted: Value = significand
        lost: Value = Const(0, 1)
        for k in range(5):
            step = 1 << k
            take = distance[k]
            lost = lost | (take & shifted[:step].any())
            shifted = Mux(take, shifted[step:], shifted)
        far = distance[5:].any()
        m.d.comb += [
            aligned.eq(Mux(far, 0, shifted)),
            sticky.eq(Mux(far, significand.any(), lost)),
        ]
        is_nan, is_inf = Signal(), Signal()
        a_top, b_top = a_exp.all(), b_exp.all()
        a_frac, b_frac = self.a[22], self.b[22]  # a NaN is canonical: its top fraction bit is set
        subtract = self.a[31] ^ self.b[31]
        m.d.comb += [
            is_nan.eq((a_top & a_frac) | (b_top & b_frac) | (a_top & b_top & subtract)),
            is_inf.eq(a_top | b_top),
        ]
        sign1 = register(m, large[31], "sign1")
        exp1 = register(m, large[23:31], "exp1")
        large1 = register(m, Cat(large[:23], large[23:31].any()), "large1")
        small1 = register(m, Cat(sticky, aligned), "small1")
        subtract1 = register(m, subtract, "subtract1")
        nan1, inf1 = register(m, is_nan, "nan1"), register(m, is_inf, "inf1")

        # Cycle 2: add or subtract; never negative, since the larger magnitude comes first.
        augend = Cat(Const(0, _GUARDS), large1)
        total = carry_select_add(augend, small1 ^ subtract1.replicate(len(augend)), subtract1, (9, 9, 9))
        sum2 = register(m, Cat(total[:-1], total[-1] & ~subtract1), "sum2")
        sign2, exp2 = register(m, sign1, "sign2"), register(m, exp1, "exp2")
        nan2, inf2 = register(m, nan1, "nan2"), register(m, inf1, "inf2")

        # Cycle 3: normalise, the coarse shifts first, each as soon as the bits above it are known to be zero.
        normal: Value = sum2
        count: list[Value] = []
        for k in reversed(range(5)):
            step = 1 << k
            empty = ~normal[-step:].any()
            normal = Mux(empty, Cat(Const(0, step), normal[:-step]), normal)
            count.insert(0, empty)
        kept = register(m, normal[_GUARDS:], "kept3")
        guard3, fraction3, nonzero3 = kept[0], kept[1:-1], kept[-1]
        sticky3 = register(m, normal[:_GUARDS].any(), "sticky3")
        count3 = register(m, Cat(count), "count3")
        sign3, exp3 = register(m, sign2, "sign3"), register(m, exp2, "exp3")
        nan3, inf3 = register(m, nan2, "nan3"), register(m, inf2, "inf3")

        # Cycle 4: round. A sum below 2^-126 is a multiple of 2^-149: it is exact, and rounding cannot lift it out of
        # zero. Rounding up to 2^128 leaves a fraction of 0, so it gives Inf by itself. So all special cases are known
        # early.
        round_up = Signal()
        exponent, bumped = Signal(signed(EXPONENT_BITS + 2)), Signal(EXPONENT_BITS)
        m.d.comb += [
            round_up.eq(guard3 & (sticky3 | fraction3[0])),
            exponent.eq(exp3 + 1 - count3),
            bumped.eq(exp3 + 2 - count3),
        ]
        # The fraction in segments, each plus 1 where round_up comes through all those below it.
        parts: list[Value] = []
        carry: Value = round_up
        for part in (fraction3[:8], fraction3[8:16], fraction3[16:]):
            parts.append(Mux(carry, (part + 1)[: len(part)], part))
            carry = round_up & fraction3[: sum(map(len, parts))].all()
        zero, overflow = Signal(), Signal()
        m.d.comb += [
            zero.eq((~nonzero3 | (exponent <= 0)) & ~inf3),
            overflow.eq(inf3 | (exponent == EXPONENT_MAX)),
        ]
        finite = ~(zero | overflow | nan3)
        fraction = Cat(*parts) & finite.replicate(FRACTION_BITS)
        field = Mux(carry, bumped, exponent[:EXPONENT_BITS]) & (~zero | nan3).replicate(EXPONENT_BITS)
        word = Cat(
            fraction[:-1],
            fraction[-1] | nan3,
            field | (overflow | nan3).replicate(EXPONENT_BITS),
            sign3 & ~zero & ~nan3,
        )
        m.d.comb += self.o.eq(register(m, word, "sum4"))
        return m
