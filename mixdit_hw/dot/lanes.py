"""Sixteen digit multipliers, added in pairs."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.formats import DIGIT_BITS, PAIRS

from ..arith.register import register
from .operand import DigitsLayout

PRODUCT_BITS = 2 * DIGIT_BITS
PAIR_BITS = PRODUCT_BITS + 2  # the sum of two products of either sign


class Lanes(wiring.Component):
    """Multiply 16 signed digits by 16 and add the products in pairs.

    The two elements of a pair share their microexponents, so their products are added before they are shifted. To
    negate a pair costs an inversion only: where ``signs`` is set, the pair leaves as the bitwise complement of its
    negative, that is, one too low, and the adder tree makes up for it.

    Latency: 1 cycle. Throughput: one operand pair per cycle.

    Members
    -------
    a, w : In(DigitsLayout)
        Operands.
    pairs : Out(8 x 10)
        Pair sums, two's complement, each less one where its sign is set.
    signs : Out(8)
        The sign of each pair's first product.
    """

    latency = 1

    def __init__(self) -> None:
        super().__init__(
            {
                "a": In(DigitsLayout()),
                "w": In(DigitsLayout()),
                "pairs": Out(data.ArrayLayout(PAIR_BITS, PAIRS)),
                "signs": Out(PAIRS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        signs = Signal(2 * PAIRS)
        m.d.comb += signs.eq(self.a.signs ^ self.w.signs)
        pairs = []
        for j in range(PAIRS):
            first, second = (Signal(PRODUCT_BITS, name=f"product{2 * j + k}") for k in range(2))
            m.d.comb += [
                first.eq(self.a.digits[2 * j] * self.w.digits[2 * j]),
                second.eq(self.a.digits[2 * j + 1] * self.w.digits[2 * j + 1]),
            ]
            sign, differ = signs[2 * j], signs[2 * j] ^ signs[2 * j + 1]
            # first + second or first - second; the lowest bit of both summands makes the carry-in.
            total = Signal(PRODUCT_BITS + 2, name=f"total{j}")
            m.d.comb += total.eq(Cat(differ, first) + Cat(differ, second ^ differ.replicate(PRODUCT_BITS)))
            # The carry is the sum's bit 8; in a subtraction its absence means a negative difference.
            carry = total[PRODUCT_BITS + 1]
            relative = Cat(total[1 : PRODUCT_BITS + 1], carry ^ differ, differ & ~carry)
            pairs.append(relative ^ sign.replicate(PAIR_BITS))
        m.d.comb += [
            self.pairs.eq(register(m, Cat(pairs), "pair_sums")),
            self.signs.eq(register(m, Cat(signs[2 * j] for j in range(PAIRS)), "pair_signs")),
        ]
        return m
