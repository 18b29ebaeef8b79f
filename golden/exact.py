"""References: exact arithmetic in Python integers, one element at a time, and float64 for measuring errors.

What is here is slow and follows the definitions of docs/numerics.md word by word; it shares no arithmetic with `codec`
and `gemm`, so that tests can hold those against it, and it explains single outputs (`trace`).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .formats import BLOCK_SIZE, EXPONENT_BIAS, EXPONENT_NAN, PAIR_SIZE, Format
from .operands import check_operands
from .tensor import MXTensor

NAN_WORD = 0x7FC00000
INF_WORD = 0x7F800000
_SIGN = 0x80000000


class Block(NamedTuple):
    """A block: E, D as a mask (bit j for pair j), and 16 signs and magnitudes."""

    exponent: int
    micro: int
    signs: tuple[int, ...]
    magnitudes: tuple[int, ...]


class Step(NamedTuple):
    """What one K block does to one output.

    ``block`` counts K blocks; ``a_format`` and ``w_format`` are the operands'; ``s`` is the integer dot product, None
    with a NaN block; ``p`` and ``acc`` are FP32 words: the block's partial sum and the accumulator after it.
    """

    block: int
    a_format: Format
    w_format: Format
    s: int | None
    p: int
    acc: int


def quantize_block(
    words: Sequence[int],
    fmt: Format,
    rounding: str = "nearest-even",
    subnormals: str = "flush",
    nonfinite: str = "nan",
) -> Block:
    """Convert 16 FP32 words in integer arithmetic; options as `golden.quantize`."""
    m = fmt.magnitude_bits
    signs = [w >> 31 for w in words]
    fields = [w >> 23 & 0xFF for w in words]
    fractions = [w & 0x7FFFFF for w in words]
    if nonfinite == "saturate":
        for i, e in enumerate(fields):
            if e == 255 and fractions[i]:
                signs[i], fields[i], fractions[i] = 0, 0, 0
            elif e == 255:
                fields[i], fractions[i] = 254, 0x7FFFFF
    shared = max(fields)
    if shared == 255:
        return Block(EXPONENT_NAN, 0, (0,) * BLOCK_SIZE, (0,) * BLOCK_SIZE)

    micro, magnitudes = 0, []
    for i, (e, f) in enumerate(zip(fields, fractions, strict=True)):
        j = i // PAIR_SIZE
        d = int(max(fields[PAIR_SIZE * j : PAIR_SIZE * (j + 1)]) < shared)
        micro |= d << j
        significand = (1 << 23) + f if e else 2 * f * (subnormals == "exact")
        shift = shared - d - e + 24 - m
        q, r, half = significand >> shift, significand & ((1 << shift) - 1), 1 << (shift - 1)
        if rounding == "nearest-even":
            q += r > half or (r == half and q & 1)
        elif rounding == "half-away":
            q += r >= half
        magnitudes.append(min(q, fmt.max_magnitude))
    return Block(shared, micro, tuple(signs), tuple(magnitudes))


def integers(block: Block) -> list[int]:
    """The integers a' = ±M * 2^(1 - D) of a block; they count 2^(E - 127 - m)."""
    return [
        (-m if s else m) << 1 - (block.micro >> i // PAIR_SIZE & 1)
        for i, (s, m) in enumerate(zip(block.signs, block.magnitudes, strict=True))
    ]


def decode_words(block: Block, fmt: Format) -> list[int]:
    """FP32 words of the 16 values of a block; -0 keeps its sign, and a NaN block is 0x7FC00000 throughout."""
    if block.exponent == EXPONENT_NAN:
        return [NAN_WORD] * BLOCK_SIZE
    exponent = block.exponent - EXPONENT_BIAS - fmt.magnitude_bits
    return [round_word(n, exponent, "ieee") | s << 31 for n, s in zip(integers(block), block.signs, strict=True)]


def round_word(number: int, exponent: int, subnormals: str = "ftz") -> int:
    """FP32 word nearest to number * 2^exponent, ties to even.

    Overflow gives Inf; with ``ftz`` what is below 2^-126 is +0, with ``ieee`` it is rounded as a subnormal. The number
    0 gives +0.
    """
    if number == 0:
        return 0
    sign, magnitude = (_SIGN if number < 0 else 0), abs(number)
    top = magnitude.bit_length() - 1 + exponent  # 2^top <= |value| < 2^(top+1)
    if top < -126 and subnormals == "ftz":
        return 0
    unit = max(top, -126) - 23  # exponent of the last place
    shift = unit - exponent
    if shift <= 0:
        q = magnitude << -shift
    else:
        q, r, half = magnitude >> shift, magnitude & ((1 << shift) - 1), 1 << (shift - 1)
        q += r > half or (r == half and q & 1)
    # q carries the hidden bit (if normal), which adds 1 to the field of the number below; so does a rounding to 2^24.
    return sign | min((unit + 149 << 23) + q, INF_WORD)


def add_words(x: int, y: int, subnormals: str = "ftz") -> int:
    """FP32 sum of two words, with the accumulator's rules for subnormal sums, Inf and NaN."""
    exponents = [w >> 23 & 0xFF for w in (x, y)]
    if 255 in exponents:
        special = [w for w, e in zip((x, y), exponents, strict=True) if e == 255]
        nan = any(w & 0x7FFFFF for w in special) or len(set(special)) > 1
        return NAN_WORD if nan else special[0]
    total = 0
    for w, e in zip((x, y), exponents, strict=True):
        significand = (w & 0x7FFFFF) + (1 << 23 if e else 0)
        total += (-significand if w & _SIGN else significand) << max(e, 1) - 1
    return round_word(total, -149, subnormals)


def multiply_words(x: int, y: int) -> int:
    """FP32 product of two words: rounded as IEEE does, then FTZ; words with an exponent of 0 count as 0."""
    exponents = [w >> 23 & 0xFF for w in (x, y)]
    sign = (x ^ y) & _SIGN
    if 255 in exponents:
        nan = 0 in exponents or any(e == 255 and w & 0x7FFFFF for w, e in zip((x, y), exponents, strict=True))
        return NAN_WORD if nan else INF_WORD | sign
    if 0 in exponents:
        return 0
    magnitude = (x & 0x7FFFFF | 1 << 23) * (y & 0x7FFFFF | 1 << 23)
    word = round_word(-magnitude if sign else magnitude, sum(exponents) - 2 * (EXPONENT_BIAS + 23), "ieee")
    return word if word >> 23 & 0xFF else 0


def block_of(t: MXTensor, row: int, block: int) -> Block:
    """One block of a tensor."""
    elements = t.elements[row, block].tolist()
    return Block(
        int(t.exponents[row, block]),
        int(t.micro[row, block]),
        tuple(e >> 7 for e in elements),
        tuple(e & 0x7F for e in elements),
    )


def trace(a: MXTensor, w: MXTensor, row: int, column: int, subnormals: str = "ftz") -> list[Step]:
    """How output [row, column] of `golden.gemm(a, w)` comes about, one `Step` per K block in stored order.

    Raises
    ------
    ValueError
        Where the operands do not fit each other, as `golden.gemm`.
    """
    check_operands(a, w)
    steps, acc = [], 0
    for k, (fa, fw) in enumerate(zip(a.formats, w.formats, strict=True)):
        x, y = block_of(a, row, k), block_of(w, column, k)
        if EXPONENT_NAN in (x.exponent, y.exponent):
            s, p = None, NAN_WORD
        else:
            s = sum(i * j for i, j in zip(integers(x), integers(y), strict=True))
            scale = x.exponent + y.exponent - 2 * EXPONENT_BIAS - fa.magnitude_bits - fw.magnitude_bits
            p = round_word(s, scale, subnormals)
        acc = add_words(acc, p, subnormals)
        steps.append(Step(k, fa, fw, s, p, acc))
    return steps


def gemm(a: MXTensor, w: MXTensor, subnormals: str = "ftz") -> np.ndarray:
    """`golden.gemm` by `trace`, output by output: float32 (M, N)."""
    words = [[trace(a, w, i, j, subnormals)[-1].acc for j in range(w.rows)] for i in range(a.rows)]
    return np.array(words, np.uint32).view(np.float32)


def reference_gemm(a: np.ndarray, w: np.ndarray) -> np.ndarray:
    """A @ W of unquantised matrices in float64."""
    return np.matmul(a.astype(np.float64), w.astype(np.float64))


def sqnr_db(reference: np.ndarray, value: np.ndarray) -> float:
    """Signal to quantisation noise, 10 log10(sum reference^2 / sum (reference - value)^2), in dB, computed in float64.

    inf where both are equal, -inf where only the reference is all zero; NaN or Inf in either gives NaN.

    Raises
    ------
    ValueError
        If the shapes differ or there is no element.
    """
    if reference.shape != value.shape or reference.size == 0:
        raise ValueError(
            f"reference and value must have the same non-empty shape, not {reference.shape} and {value.shape}"
        )
    reference = reference.astype(np.float64)
    value = value.astype(np.float64)
    if not (np.isfinite(reference).all() and np.isfinite(value).all()):
        return math.nan
    noise = float(np.sum((reference - value) ** 2))
    signal = float(np.sum(reference**2))
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf
