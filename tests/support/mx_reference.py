"""Scalar reference of conversion and packing, one block at a time in Python's integers.

Written from docs/numerics.md and apart from `golden`, to which it is a second opinion: values are exact
multiples of 2^-160 instead of shifted significands.
"""

from dataclasses import dataclass

from golden.formats import BLOCK_SIZE, Format

UNIT = 160  # magnitudes are integers in units of 2^-160


@dataclass(frozen=True)
class Block:
    """Fields of a block: shared exponent, microexponents (bit j of pair j), and the elements."""

    exponent: int
    micro: int
    signs: tuple[int, ...]
    magnitudes: tuple[int, ...]

    def pack(self, fmt: Format) -> int:
        """The packed block, as a little-endian integer."""
        bits = self.exponent | self.micro << 8
        for k, (sign, magnitude) in enumerate(zip(self.signs, self.magnitudes, strict=True)):
            bits |= (sign << fmt.magnitude_bits | magnitude) << 16 + k * fmt.element_bits
        return bits

    def container(self, fmt: Format, magnitude_bits: int) -> int:
        """The bits of `BlockLayout(magnitude_bits)`, magnitudes at its top."""
        wide = Format(name="container", code=3, magnitude_bits=magnitude_bits)
        shift = magnitude_bits - fmt.magnitude_bits
        return Block(self.exponent, self.micro, self.signs, tuple(x << shift for x in self.magnitudes)).pack(wide)


def convert(words: list[int], fmt: Format, rounding: str, subnormals: str, nonfinite: str) -> Block:
    """Convert 16 FP32 words to a block."""
    fields = [(w >> 31, w >> 23 & 0xFF, w & 0x7FFFFF) for w in words]
    if nonfinite == "saturate":
        fields = [(0, 0, 0) if e == 255 and f else (s, 254, 0x7FFFFF) if e == 255 else (s, e, f) for s, e, f in fields]
    shared = max(e for _, e, _ in fields)
    if shared == 255:
        return Block(255, 0, (0,) * BLOCK_SIZE, (0,) * BLOCK_SIZE)
    pairs = [max(fields[k][1], fields[k + 1][1]) for k in range(0, BLOCK_SIZE, 2)]
    micro = sum((p < shared) << j for j, p in enumerate(pairs))
    magnitudes = []
    for k, (_, e, f) in enumerate(fields):
        significand = 1 << 23 | f if e else f if subnormals == "exact" else 0
        value = significand << max(e, 1) - 150 + UNIT
        ulp = 1 << shared - 127 - (micro >> k // 2 & 1) - (fmt.magnitude_bits - 1) + UNIT
        quotient, rest = divmod(value, ulp)
        if rounding == "nearest-even":
            quotient += 2 * rest > ulp or (2 * rest == ulp and quotient % 2 == 1)
        elif rounding == "half-away":
            quotient += 2 * rest >= ulp
        magnitudes.append(min(quotient, fmt.max_magnitude))
    return Block(shared, micro, tuple(s for s, _, _ in fields), tuple(magnitudes))
