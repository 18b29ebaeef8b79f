"""Sixteen digit multipliers, added in pairs."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.formats import DIGIT_BITS, PAIRS

from ..arith.compress import multiply
from ..arith.register import cut
from .operand import DigitsLayout
from .timing import Timing

PRODUCT_BITS = 2 * DIGIT_BITS
PRODUCTS_BITS = 2 * PAIRS * PRODUCT_BITS
PAIR_BITS = PRODUCT_BITS + 3  # twice the sum of two products of either sign


class Lanes(wiring.Component):
    """Multiply 16 signed digits by 16, add the products in pairs, and shift the sums by W's microexponents.

    The two elements of a pair share their microexponents, so their products are added before they are shifted. To
    negate a product costs an inversion only: it becomes one too low, and so does the sum of a pair, once where the
    first product is negative (``signs``) and once where the second is, which the carry into the addition makes up for.
    The adder tree makes up for the first.

    Multipliers that several engines share (`Cluster`) are outside: ``products`` takes the place of the digits.

    Latency: ``timing.lanes`` cycles. Throughput: one operand pair per cycle.

    Parameters
    ----------
    timing
        Of the engine.
    multiply
        Whether the multipliers are in here.

    Members
    -------
    a, w : In(DigitsLayout)
        Operands, if ``multiply``.
    products : In(16 x 8), product_signs : In(16)
        Otherwise: magnitudes of the products and their signs.
    w_micro : In(8)
        W's microexponents, ``timing.w_micro`` cycles after its digits.
    pairs : Out(8 x 11)
        Pair sums, two's complement, doubled where W's microexponent is 0; one too low where ``signs`` is set.
    signs : Out(8)
        The sign of each pair's first product.
    """

    def __init__(self, timing: Timing, *, multiply: bool = True) -> None:
        self._timing = timing
        self._multiply = multiply
        operands = {"a": In(DigitsLayout()), "w": In(DigitsLayout())}
        products = {"products": In(PRODUCTS_BITS), "product_signs": In(2 * PAIRS)}
        super().__init__(
            (operands if multiply else products)
            | {
                "w_micro": In(PAIRS),
                "pairs": Out(data.ArrayLayout(PAIR_BITS, PAIRS)),
                "signs": Out(PAIRS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pairs, signs = self._multiplied(m) if self._multiply else self._taken(m)
        shifted = [
            Mux(micro, Cat(pair, pair[-1]), Cat(sign, pair))
            for micro, pair, sign in zip(self.w_micro, pairs, signs, strict=True)
        ]
        s = cut(m, "_pair", sums=Cat(shifted), signs=Cat(signs))
        m.d.comb += [self.pairs.eq(s.sums), self.signs.eq(s.signs)]
        return m

    def _multiplied(self, m: Module) -> tuple[list[Value], list[Value]]:
        """Sums of pairs, too low by ``signs``, of products from here."""
        signs = Signal(2 * PAIRS)
        m.d.comb += signs.eq(self.a.signs ^ self.w.signs)
        products = [multiply(m, self.a.digits[i], self.w.digits[i], signs[i]) for i in range(2 * PAIRS)]
        s = cut(m, "_product", self._timing.lanes > 1, digits=Cat(products), signs=signs)
        pairs: list[Value] = []
        for j in range(PAIRS):
            first, second = (s.digits.word_select(2 * j + k, PRODUCT_BITS) for k in range(2))
            sign, other = s.signs[2 * j], s.signs[2 * j + 1]
            total = Signal(PRODUCT_BITS + 2, name=f"total{j}")
            m.d.comb += total.eq(Cat(other, first) + Cat(other, second))
            # The sum is that of the low bits, less 2^8 for each negative product.
            carry = total[PRODUCT_BITS + 1]
            top = Cat(carry ^ sign ^ other, (sign & other) | (~carry & (sign | other)))
            pairs.append(Cat(total[1 : PRODUCT_BITS + 1], top))
        return pairs, list(s.signs[::2])

    def _taken(self, m: Module) -> tuple[list[Value], list[Value]]:
        """Likewise, of products from outside.

        Where their signs differ the second is subtracted from the first, and the sum, not a product, is inverted where
        the first is negative: in LUTs that costs nothing, together with the shift.
        """
        differ = Signal(PAIRS)
        m.d.comb += differ.eq(self.product_signs[::2] ^ self.product_signs[1::2])
        early = self._timing.lanes > 1
        s = cut(m, "_product", early, digits=self.products, signs=self.product_signs[::2], differ=differ)
        pairs: list[Value] = []
        for j in range(PAIRS):
            first, second = (s.digits.word_select(2 * j + k, PRODUCT_BITS) for k in range(2))
            minus = s.differ[j]
            total = Signal(PRODUCT_BITS + 2, name=f"total{j}")
            m.d.comb += total.eq(Cat(minus, first) + Cat(minus, second ^ minus.replicate(PRODUCT_BITS)))
            carry = total[PRODUCT_BITS + 1]
            pair = Cat(total[1 : PRODUCT_BITS + 1], carry ^ minus, minus & ~carry)
            pairs.append(pair ^ s.signs[j].replicate(len(pair)))
        return pairs, list(s.signs)
