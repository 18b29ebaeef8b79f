"""What a converter does to one element: split its FP32 word, align it to its block's exponent, round it.

Combinational pieces, for `Converter` and `NarrowConverter`. Which of several equal forms stands here was chosen by
measured area: docs/converter.md.
"""

from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data

from ..params import ROUNDINGS, Params
from ..shapes import FP32_BITS

FRACTION_BITS = 23
ROUNDING_BITS = 2
REACH_BITS = 3  # of a distance that leaves more than zeros: in MX9 7, at which the top bit is the guard bit
TRUNCATE = ROUNDINGS.index("truncate")
HALF_AWAY = ROUNDINGS.index("half-away")
SHIFT_ORDER = (2, 1, 0)  # by 4, by 2, by 1


class Element(NamedTuple):
    """One word, cut to what can reach a magnitude or its guard bit.

    Attributes
    ----------
    sign : 1
    exponent : 8
        Field.
    significand : `significand_bits`
        Its upper end; without the top bit where subnormals are flushed, since that is 1 in all that is not zero.
    sticky : 1
        The rest of the significand is not zero.
    """

    sign: Value
    exponent: Value
    significand: Value
    sticky: Value


def significand_bits(params: Params) -> int:
    """Bits of a significand that an `Element` keeps."""
    return params.magnitude_bits + (params.subnormals == "exact")


def split(m: Module, params: Params, word: Value, name: str) -> Element:
    """Split a word, with the options for subnormal and non-finite words."""
    fraction, exponent, sign = word[:FRACTION_BITS], word[FRACTION_BITS:-1], word[-1]
    if params.nonfinite == "saturate":
        special, nan = Signal(name=f"{name}_special"), Signal(name=f"{name}_nan")
        finite = Signal(FP32_BITS, name=f"{name}_finite")
        largest = Cat(fraction | special.replicate(FRACTION_BITS), exponent[0] & ~special, exponent[1:], sign)
        m.d.comb += [
            special.eq(exponent.all()),
            nan.eq(special & fraction.any()),
            finite.eq(Mux(nan, 0, largest)),
        ]
        fraction, exponent, sign = finite[:FRACTION_BITS], finite[FRACTION_BITS:-1], finite[-1]
    low = FRACTION_BITS - params.magnitude_bits
    if params.subnormals == "flush":
        return Element(sign, exponent, fraction[low:], fraction[:low].any())
    normal = Signal(name=f"{name}_normal")
    significand = Signal(FRACTION_BITS + 1, name=f"{name}_significand")
    m.d.comb += [normal.eq(exponent.any()), significand.eq(Mux(normal, Cat(fraction, normal), fraction << 1))]
    return Element(sign, exponent, significand[low:], significand[:low].any())


class Reach:
    """How far elements are from the last place of their block, and which of them are too far.

    Parameters
    ----------
    m
        Module to add the common logic to.
    params
        Of which ``subnormals`` is used.
    shared
        The block's exponent E, no less than any element's.
    """

    def __init__(self, m: Module, params: Params, shared: Value) -> None:
        upper = shared[REACH_BITS:]
        self._shared = shared
        self._lowest = Signal(name="lowest")  # nothing is below the upper bits of E
        self._next = Signal(len(upper), name="next_lower")  # one less than these
        self._bottom = Signal(name="bottom")  # zeros may be in reach, and must be told apart
        m.d.comb += [
            self._lowest.eq(~upper.any()),
            self._next.eq(upper - 1),
            self._bottom.eq(~upper[1:].any() if params.subnormals == "flush" else 0),
        ]

    def measure(
        self, m: Module, exponent: Value, micro: Value, name: str, *, equal: Value | None = None
    ) -> tuple[Value, Value]:
        """Lower bits of the distance E - D - e; whether it is below 8 and the element none that is flushed.

        It is below 8 if the upper bits of E and e are equal, or if those of E are one more and the lower bits borrow.
        ``equal`` is the first of these where it is known anyway.
        """
        distance, carry = Signal(REACH_BITS, name=f"{name}_distance"), Signal(name=f"{name}_carry")
        zero, reached = Signal(name=f"{name}_zero"), Signal(name=f"{name}_reached")
        m.d.comb += [
            Cat(distance, carry).eq(self._shared[:REACH_BITS] + ~exponent[:REACH_BITS] + ~micro),
            zero.eq(self._bottom & ~exponent[: REACH_BITS + 1].any()),
        ]
        upper = exponent[REACH_BITS:]
        if equal is None:
            near = _exceeds(m, upper, self._next & ~self._lowest.replicate(len(upper)), ~carry | self._lowest, name)
        else:
            near = equal | (_exceeds(m, upper, self._next, Const(1, 1), name) & ~carry)
        m.d.comb += reached.eq(near & ~zero)
        return distance, reached


def _exceeds(m: Module, a: Value, b: Value, ties: Value, name: str) -> Value:
    """Whether a > b, or a = b and ``ties``: a chain of majorities from the lowest bit up."""
    reached = ties
    for k, (x, y) in enumerate(zip(a, b, strict=True)):
        before, reached = reached, Signal(name=f"{name}_exceeds{k}")
        m.d.comb += reached.eq((x & ~y) | ((x | ~y) & before))
    return reached


def align(
    m: Module, params: Params, element: Element, distance: Value, alive: Value, hold: Value, name: str
) -> tuple[Value, Value]:
    """Guard bit and, above it, magnitude of the widest format; and the sticky bit: registers, one cycle later.

    The significand is shifted right by the distance. Where the element is not ``alive``, the first is zero, and the
    sticky bit means nothing. With ``hold`` the registers keep what they have, and ``alive`` must be 0.

    The last step of the shift, zero and hold are one selection, which takes fewer gates than each by itself.
    """
    width = params.magnitude_bits + 1
    implied = [Const(1, 1)] if params.subnormals == "flush" else []
    shifted, lost = Cat(element.significand, *implied), element.sticky
    *steps, last = SHIFT_ORDER
    for step in steps:
        amount = 1 << step
        before, shifted = shifted, Signal(width, name=f"{name}_by{amount}")
        m.d.comb += shifted.eq(Mux(distance[step], before[amount:], before))
        lost = lost | (distance[step] & before[:amount].any())
    near, far = Signal(name=f"{name}_near"), Signal(name=f"{name}_far")
    aligned = Signal(width, name=f"{name}_aligned", reset_less=True)
    sticky = Signal(name=f"{name}_sticky", reset_less=True)
    m.d.comb += [near.eq(alive & ~distance[last]), far.eq(alive & ~near)]
    lost = lost | (distance[last] & shifted[: 1 << last].any())
    m.d.sync += [
        aligned.eq(
            (shifted & near.replicate(width))
            | (shifted[1 << last :] & far.replicate(width))
            | (aligned & hold.replicate(width))
        ),
        sticky.eq((lost & ~hold) | (sticky & hold)),
    ]
    return aligned, sticky


class Rounder:
    """Rounds the magnitudes of elements of one format.

    Parameters
    ----------
    m
        Module to add the common logic to.
    params
        Of which ``formats`` and ``rounding`` are used.
    chosen
        View with the codes ``format`` and, where it is chosen at run time, ``rounding``.
    """

    def __init__(self, m: Module, params: Params, chosen: data.View) -> None:
        self._params = params
        rounding: Value = Const(ROUNDINGS.index(params.rounding) if params.rounding in ROUNDINGS else 0, ROUNDING_BITS)
        if params.rounding == "runtime":
            rounding = chosen.rounding
        self._truncate, self._away = rounding[TRUNCATE - 1], rounding[HALF_AWAY - 1]
        widest, *others = params.format_set
        self._is = {fmt.name: Signal(name=f"is_{fmt.name}") for fmt in params.format_set}
        self._lacks = Signal(params.magnitude_bits, name="lacks")  # the magnitude bits that the format lacks
        m.d.comb += [self._is[fmt.name].eq(chosen.format == fmt.code) for fmt in others]
        m.d.comb += self._is[widest.name].eq(~Cat(self._is[fmt.name] for fmt in others).any())
        for fmt in others:
            with m.If(self._is[fmt.name]):
                m.d.comb += self._lacks.eq((1 << params.magnitude_bits - fmt.magnitude_bits) - 1)

    def round(self, m: Module, aligned: Value, sticky: Value, name: str) -> Value:
        """The magnitude at the top of the container, rounded to its format and saturated, with zeros below.

        The chosen format's last place takes a carry into the one chain of half adders; a carry out of the top makes
        all bits ones.
        """
        width = self._params.magnitude_bits
        magnitude, lost, below = aligned[1:], sticky, 0
        carries: dict[int, Value] = {}  # by the place that they go into
        for fmt in self._params.format_set:
            place = width - fmt.magnitude_bits
            if place > below:
                before, lost = lost, Signal(name=f"{name}_lost_{fmt.name}")
                m.d.comb += lost.eq(before | aligned[below:place].any())
            below = place
            up = ~self._truncate & (self._away | lost | magnitude[place])
            carries[place] = aligned[place] & self._is[fmt.name] & up
        total, carry = Signal(width, name=f"{name}_total"), Const(0, 1)
        for place in range(width):
            before, into = carry, Signal(name=f"{name}_into{place}")
            m.d.comb += [
                into.eq(before | carries[place] if place in carries else before),
                total[place].eq(magnitude[place] ^ into),
            ]
            carry = into & magnitude[place]
        over = Signal(name=f"{name}_over")
        m.d.comb += over.eq(carry)
        return (total | over.replicate(width)) & ~self._lacks
