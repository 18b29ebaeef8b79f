"""Descriptors of the shared-microexponent formats MX9, MX6 and MX4.

A block of 16 elements along K shares an 8-bit exponent E; each pair of neighbours shares a 1-bit microexponent D; an
element is a sign S and an m-bit magnitude M without hidden bit::

    value = (-1)^S * M * 2^(E - 127 - D - (m - 1))

Hardware and golden model both read these descriptors, and nothing else, for the formats' geometry.
"""

from dataclasses import dataclass

EXPONENT_BITS = 8
EXPONENT_BIAS = 127
EXPONENT_NAN = 255  # a block with this shared exponent is NaN in every element
BLOCK_SIZE = 16
PAIR_SIZE = 2
PAIRS = BLOCK_SIZE // PAIR_SIZE
DIGIT_BITS = 4  # the hardware multiplies magnitudes digit by digit


@dataclass(frozen=True, kw_only=True)
class Format:
    """Geometry of one format.

    Parameters
    ----------
    name
        What users type: ``mx9``, ``mx6`` or ``mx4``.
    code
        2-bit number of the format on hardware streams.
    magnitude_bits
        Bits m of an element's magnitude.
    """

    name: str
    code: int
    magnitude_bits: int

    @property
    def element_bits(self) -> int:
        """Bits of an element: sign (top bit) and magnitude."""
        return self.magnitude_bits + 1

    @property
    def max_magnitude(self) -> int:
        """Largest magnitude, 2^m - 1, to which conversion saturates."""
        return (1 << self.magnitude_bits) - 1

    @property
    def block_bits(self) -> int:
        """Bits of a packed block: E in bits 0-7, D in bits 8-15, then the elements."""
        return EXPONENT_BITS + PAIRS + BLOCK_SIZE * self.element_bits

    @property
    def block_bytes(self) -> int:
        """Bytes of a packed block: 18, 12 and 8."""
        return self.block_bits // 8

    @property
    def digits(self) -> int:
        """4-bit digits of a magnitude; a block pair takes the product of both operands' digits in passes."""
        return -(-self.magnitude_bits // DIGIT_BITS)

    def __str__(self) -> str:
        return self.name


MX4 = Format(name="mx4", code=0, magnitude_bits=2)
MX6 = Format(name="mx6", code=1, magnitude_bits=4)
MX9 = Format(name="mx9", code=2, magnitude_bits=7)

FORMATS = {f.name: f for f in (MX9, MX6, MX4)}


def get_format(fmt: "str | Format") -> Format:
    """Return the format of that name (or the format itself).

    Raises
    ------
    ValueError
        For a name that is not a format.
    """
    if isinstance(fmt, Format):
        return fmt
    try:
        return FORMATS[fmt]
    except (KeyError, TypeError):
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, not {fmt!r}") from None
