"""What a converter does to one element: split its FP32 word, align it to its block's exponent, round it.

Combinational pieces, for `Converter` and `NarrowConverter`. Which of several equal forms stands here was chosen by
measured area: docs/converter.md.
"""

from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data

from golden.formats import EXPONENT_BITS

from ..params import ROUNDINGS, Params
from ..shapes import FP32_BITS

FRACTION_BITS = 23
ROUNDING_BITS = 2
REACH_BITS = 3  # of a distance that leaves more than zeros: in MX9 7, at which the top bit is the guard bit
TRUNCATE = ROUNDINGS.index("truncate")
HALF_AWAY = ROUNDINGS.index("half-away")
SHIFT_ORDER = (1, 2, 0)  # by 2, by 4, by 1


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
        self._shared = shared
        self._next = Signal(EXPONENT_BITS - REACH_BITS, name="next_lower")  # one less than the upper bits of E
        self._bottom = Signal(name="bottom")  # zeros may be in reach, and must be told apart
        m.d.comb += [
            self._next.eq(shared[REACH_BITS:] - 1),
            self._bottom.eq(~shared[REACH_BITS + 1 :].any() if params.subnormals == "flush" else 0),
        ]

    def measure(self, m: Module, exponent: Value, micro: Value, name: str, *, equal: Value) -> tuple[Value, Value]:
        """Lower bits of the distance E - D - e, and whether it is below 8 and the element no flushed one.

        ``equal`` tells that the upper bits of E and e are equal: then the distance is below 8 if nothing is borrowed
        from them, which cannot be: E - D is not below e. Where those of E are one more, it is if something is.
        """
        distance, carry = Signal(REACH_BITS, name=f"{name}_distance"), Signal(name=f"{name}_carry")
        zero, reached = Signal(name=f"{name}_zero"), Signal(name=f"{name}_reached")
        m.d.comb += [
            Cat(distance, carry).eq(self._shared[:REACH_BITS] + ~exponent[:REACH_BITS] + ~micro),
            zero.eq(self._bottom & ~exponent[: REACH_BITS + 1].any()),
            reached.eq((equal | (_at_least(m, exponent[REACH_BITS:], self._next, f"{name}_next") & ~carry)) & ~zero),
        ]
        return distance, reached


def _at_least(m: Module, a: Value, b: Value, name: str) -> Value:
    """Whether ``a >= b``, as a chain of majorities from the lowest bit up."""
    reached: Value = Const(1, 1)
    for k, (x, y) in enumerate(zip(a, b, strict=True)):
        before, reached = reached, Signal(name=f"{name}{k}")
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
    m.d.comb += [near.eq(alive & ~distance[last]), far.eq(alive & distance[last])]
    m.d.sync += [
        aligned.eq(
            (shifted & near.replicate(width))
            | (shifted[1 << last :] & far.replicate(width))
            | (aligned & hold.replicate(width))
        ),
        sticky.eq(Mux(hold, sticky, lost | (distance[last] & shifted[: 1 << last].any()))),
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
        self._width = width = params.magnitude_bits
        rounding: Value = Const(ROUNDINGS.index(params.rounding) if params.rounding in ROUNDINGS else 0, ROUNDING_BITS)
        if params.rounding == "runtime":
            rounding = chosen.rounding
        self._truncate, self._away = rounding[TRUNCATE - 1], rounding[HALF_AWAY - 1]
        self._below = Signal(width, name="below")  # the magnitude bits that the format lacks
        for fmt in params.format_set:
            with m.If(chosen.format == fmt.code):
                m.d.comb += self._below.eq((1 << width - fmt.magnitude_bits) - 1)

    def round(self, m: Module, aligned: Value, sticky: Value, name: str) -> Value:
        """The magnitude at the top of the container, rounded to its format and saturated, with zeros below."""
        below = self._below
        magnitude, lower = aligned[1:], aligned[: self._width]  # lower: the bit below each of the magnitude's
        place = ~below & Cat(1, below)  # one-hot: the format's last place
        odd, guard = (magnitude & place).any(), (lower & place).any()
        up, full = Signal(name=f"{name}_up"), Signal(self._width, name=f"{name}_full")
        m.d.comb += [
            full.eq(magnitude | below),
            up.eq(guard & ~self._truncate & (self._away | sticky | (lower & below).any() | odd) & ~full.all()),
        ]
        return (full + up) & ~below
