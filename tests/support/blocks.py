"""Random MX blocks in wide ranges, and an exact reference of their dot products, in plain Python."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from golden.formats import BLOCK_SIZE, PAIRS, Format

CANONICAL_NAN = 0x7FC00000


@dataclass(frozen=True, kw_only=True)
class Block:
    """Fields of one block; ``micro`` is the bit mask of the microexponents."""

    fmt: Format
    exponent: int
    micro: int
    signs: tuple[int, ...]
    magnitudes: tuple[int, ...]

    def container(self, magnitude_bits: int) -> int:
        """Bits of the block in the container of that width (`mixdit_hw.shapes.BlockLayout`)."""
        shift = magnitude_bits - self.fmt.magnitude_bits
        bits = self.exponent | self.micro << 8
        for i in range(BLOCK_SIZE):
            element = self.magnitudes[i] << shift | self.signs[i] << magnitude_bits
            bits |= element << (16 + i * (magnitude_bits + 1))
        return bits

    def operand(self, low: bool) -> int:
        """The high or low digits, with signs, as a dot engine takes them (`mixdit_hw.dot.operand.DigitsLayout`)."""
        scaled = [m << (8 - self.fmt.magnitude_bits) for m in self.magnitudes]  # two 4-bit digits
        bits = 0
        for i, m in enumerate(scaled):
            bits |= (m & 15 if low else m >> 4) << 4 * i
        return bits | sum(s << i for i, s in enumerate(self.signs)) << 4 * BLOCK_SIZE


def join(values: Iterable[int], width: int) -> int:
    """Values of so many bits side by side, the first in the lowest bits."""
    return sum(value << i * width for i, value in enumerate(values))


def random_block(rng: np.random.Generator, fmt: Format, centre: int = 127, spread: int = 20) -> Block:
    """A block of any legal bits: dense, sparse, zero, extreme or, rarely, NaN."""
    kind = rng.random()
    top = fmt.max_magnitude
    magnitudes = rng.integers(0, top + 1, BLOCK_SIZE)
    if kind < 0.1:
        magnitudes[rng.random(BLOCK_SIZE) < 0.9] = 0
    elif kind < 0.15:
        magnitudes[:] = 0
    elif kind < 0.25:
        magnitudes[:] = top
    exponent = int(np.clip(centre + rng.integers(-spread, spread + 1), 0, 254))
    if rng.random() < 0.01:
        exponent = 255
    signs = rng.integers(0, 2, BLOCK_SIZE) if rng.random() < 0.8 else np.full(BLOCK_SIZE, rng.integers(0, 2))
    micro = int(rng.integers(0, 1 << PAIRS)) if kind < 0.9 else 0
    return Block(
        fmt=fmt,
        exponent=exponent,
        micro=micro,
        signs=tuple(int(x) for x in signs),
        magnitudes=tuple(int(x) for x in magnitudes),
    )


def block_dot(a: Block, w: Block) -> int:
    """The exact integer S of a block pair (docs/numerics.md, Dot product)."""
    total = 0
    for i in range(BLOCK_SIZE):
        j = i // 2
        product = (a.magnitudes[i] << 1 - (a.micro >> j & 1)) * (w.magnitudes[i] << 1 - (w.micro >> j & 1))
        total += -product if a.signs[i] ^ w.signs[i] else product
    return total


def block_product(a: Block, w: Block) -> np.float32:
    """The FP32 word that a block pair adds."""
    if 255 in (a.exponent, w.exponent):
        return np.float32(np.nan)
    exact = np.ldexp(
        np.float64(block_dot(a, w)), a.exponent + w.exponent - 254 - a.fmt.magnitude_bits - w.fmt.magnitude_bits
    )
    if abs(exact) < 2.0**-126:
        return np.float32(0)
    with np.errstate(over="ignore"):
        return np.float32(exact)


def accumulate(pairs: list[tuple[Block, Block]]) -> int:
    """FP32 word of the sum over a column of block pairs, in order."""
    acc = np.float32(0)
    with np.errstate(all="ignore"):
        for a, w in pairs:
            acc = np.float32(acc + block_product(a, w))
            if abs(acc) < 2.0**-126:
                acc = np.float32(0)
    return CANONICAL_NAN if np.isnan(acc) else int(acc.view(np.uint32))
