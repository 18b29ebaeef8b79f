"""Conversion of FP32 arrays to MX9, MX6 and MX4 (docs/numerics.md, Conversion)."""

import numpy as np

from .checks import check_array, check_axis, check_choice
from .formats import BLOCK_SIZE, EXPONENT_NAN, PAIRS, Format, get_format
from .tensor import EIGHT_COPIES, SIGN_BIT, MXTensor, Segment

ROUNDINGS = ("nearest-even", "truncate", "half-away")
SUBNORMALS = ("flush", "exact")
NONFINITE = ("nan", "saturate")

_ABS = np.uint32(0x7FFFFFFF)
_INF = np.uint32(0x7F800000)
_MAX_FINITE = np.uint32(0x7F7FFFFF)
_MIN_NORMAL = np.uint32(0x00800000)
# Elements converted at a time: the scratch for them then stays in a 2 MiB cache. Along K at most so many that a chunk
# of an array blocked along its first axis reads whole lines.
_CHUNK = 1 << 16
_CHUNK_K = 1 << 8

# Below this shared exponent a pair's scale could pass the largest float32; such blocks are scaled in two steps. At or
# above it an FP32 subnormal is so far below half of the last place that every rounding makes it 0.
_LOW_EXPONENT = 16
_LOW_STEP = 32

_ONE_HALF_DOWN = np.nextafter(np.float32(0.5), np.float32(0))
_INTEGER = np.float32(1 << 23)  # floats from here to 2^24 are the integers; their low bits are the number


def quantize(
    x: np.ndarray,
    fmt: str | Format,
    axis: int = -1,
    rounding: str = "nearest-even",
    subnormals: str = "flush",
    nonfinite: str = "nan",
) -> MXTensor:
    """Convert a float32 array to blocks of 16 along `axis`.

    Parameters
    ----------
    x
        float32 array of any shape, with at least one element; a last partial block is padded with +0.
    fmt
        ``mx9``, ``mx6`` or ``mx4``, or the descriptor.
    rounding
        ``nearest-even``, ``truncate`` or ``half-away``, each saturating at the largest magnitude.
    subnormals
        FP32 subnormals of x: ``flush`` to zero or take their ``exact`` value.
    nonfinite
        Inf or NaN makes its block a NaN block (``nan``), or Inf counts as the largest finite number and NaN as +0
        (``saturate``).

    Raises
    ------
    TypeError
        If x is not a float32 array, or axis or an option is of the wrong kind.
    ValueError
        If x is empty, or for an unknown format or option or an axis out of range.
    """
    check_array("x", x)
    fmt = get_format(fmt)
    axis = check_axis(axis, x.ndim)
    check_choice("rounding", rounding, ROUNDINGS)
    check_choice("subnormals", subnormals, SUBNORMALS)
    check_choice("nonfinite", nonfinite, NONFINITE)

    length = x.shape[axis]
    words = np.moveaxis(x, axis, -1).reshape(-1, length).view(np.uint32)
    rows, blocks = words.shape[0], -(-length // BLOCK_SIZE)
    exponents = np.empty((rows, blocks), np.uint8)
    micro = np.empty((rows, blocks), np.uint8)
    elements = np.empty((rows, blocks, BLOCK_SIZE), np.uint8)

    chunk_blocks = min(blocks, _CHUNK_K // BLOCK_SIZE)
    chunk_rows = min(rows, max(1, _CHUNK // (chunk_blocks * BLOCK_SIZE)))
    converter = _Converter(chunk_rows * chunk_blocks, fmt, rounding, subnormals, nonfinite)
    for r in range(0, rows, chunk_rows):
        for b in range(0, blocks, chunk_blocks):
            part = words[r : r + chunk_rows, b * BLOCK_SIZE : (b + chunk_blocks) * BLOCK_SIZE]
            at = np.s_[r : r + chunk_rows, b : b + chunk_blocks]
            converter.convert(part, exponents[at], micro[at], elements[at])
    return MXTensor(
        shape=x.shape,
        axis=axis,
        segments=(Segment(format=fmt, length=length),),
        exponents=exponents,
        micro=micro,
        elements=elements,
    )


class _Converter:
    """Converts chunks of at most `blocks` blocks, in scratch memory that is allocated once.

    An element's magnitude is |x| * 2^n, rounded: with float32 arithmetic the product by a power of two is exact, as is
    every step after it, so that this gives the bits of the integer definition.
    """

    def __init__(self, blocks: int, fmt: Format, rounding: str, subnormals: str, nonfinite: str) -> None:
        self._fmt = fmt
        self._rounding = rounding
        self._flush = subnormals == "flush"
        self._saturate = nonfinite == "saturate"
        self._words = np.empty(blocks * BLOCK_SIZE, np.uint32)
        self._magnitudes = np.empty(blocks * BLOCK_SIZE, np.uint32)
        self._maxima = [np.empty((blocks * PAIRS) >> i, np.uint32) for i in range(4)]
        self._pair_fields = np.empty(blocks * PAIRS, np.uint8)
        self._scales = np.empty(blocks * PAIRS, np.uint64)

    def convert(self, part: np.ndarray, exponents: np.ndarray, micro: np.ndarray, elements: np.ndarray) -> None:
        """Convert `part`, FP32 words (rows, K), into the fields (rows, blocks) and (rows, blocks, 16)."""
        rows, blocks = exponents.shape
        count = rows * blocks
        words = self._words[: count * BLOCK_SIZE]
        padded = words.reshape(rows, -1)
        padded[:, : part.shape[1]] = part
        padded[:, part.shape[1] :] = 0
        magnitudes = self._magnitudes[: count * BLOCK_SIZE]
        np.bitwise_and(words, _ABS, out=magnitudes)

        shared, pairs = self._exponents(magnitudes)
        nan = np.flatnonzero(shared == EXPONENT_NAN)
        if nan.size and self._saturate:
            words[magnitudes > _INF] = 0
            magnitudes[magnitudes > _INF] = 0
            np.minimum(magnitudes, _MAX_FINITE, out=magnitudes)
            shared, pairs = self._exponents(magnitudes)
            nan = nan[:0]
        words.reshape(-1, BLOCK_SIZE)[nan] = 0
        magnitudes.reshape(-1, BLOCK_SIZE)[nan] = 0

        shared_of_pairs = (shared * EIGHT_COPIES).view(np.uint8)
        flags = np.less(pairs, shared_of_pairs)
        bits = np.packbits(flags, bitorder="little")
        bits[nan] = 0
        exponents[:] = shared.reshape(rows, blocks)
        micro[:] = bits.reshape(rows, blocks)

        self._scale(magnitudes.view(np.float32), shared, shared_of_pairs, flags.view(np.uint8))
        self._round(magnitudes.view(np.float32))
        np.right_shift(words, 24, out=words)
        np.bitwise_and(words, SIGN_BIT, out=words)
        np.bitwise_or(magnitudes, words, out=words)
        elements[:] = words.reshape(rows, blocks, BLOCK_SIZE)  # the low byte

    def _exponents(self, magnitudes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Largest exponent field of each block (a view of scratch, uint32) and of each pair (uint8)."""
        maxima, source = [m[: magnitudes.size >> (i + 1)] for i, m in enumerate(self._maxima)], magnitudes
        for out in maxima:
            np.maximum(source[0::2], source[1::2], out=out)
            source = out
        pairs = self._pair_fields[: maxima[0].size]
        np.right_shift(maxima[0], 23, out=maxima[0])
        pairs[:] = maxima[0]
        return np.right_shift(maxima[3], 23, out=maxima[3]), pairs

    def _scale(self, values: np.ndarray, shared: np.ndarray, shared_of_pairs: np.ndarray, flags: np.ndarray) -> None:
        """Multiply |x| by 2^(127 - E + D + m - 1), in place: the real number that becomes the magnitude."""
        # The exponent field of that power, modulo 256: it passes 254 only for blocks of the second step.
        fields = flags - shared_of_pairs
        fields += np.uint8((253 + self._fmt.magnitude_bits) % 256)
        low = (shared < _LOW_EXPONENT)[:, np.newaxis]
        if low.any():
            if self._flush:
                words = values.view(np.uint32)
                np.multiply(words, words >= _MIN_NORMAL, out=words)
            blocks = values.reshape(-1, BLOCK_SIZE)
            np.multiply(blocks, np.where(low, np.float32(1 << _LOW_STEP), np.float32(1)), out=blocks)
            fields.reshape(-1, PAIRS)[:] -= np.where(low, np.uint8(_LOW_STEP), np.uint8(0))
        # Each field twice, at bits 23-30 of both halves of a word: one float32 scale for each element of the pair.
        scales = self._scales[: fields.size]
        np.multiply(fields, np.uint64(0x0080000000800000), out=scales, dtype=np.uint64)
        np.multiply(values, scales.view(np.float32), out=values)

    def _round(self, values: np.ndarray) -> None:
        """Round and saturate in place; the magnitude is left in the low byte of each word.

        Saturating before rounding gives the same, as the limit is an integer, and keeps the sum below 2^24.
        """
        np.minimum(values, np.float32(self._fmt.max_magnitude), out=values)
        if self._rounding == "half-away":
            # Not 0.5, with which the float just below 0.5 would give 1: the sum of it and 0.5's predecessor stays
            # below 1, and of k + 0.5 and the predecessor still rounds to k + 1.
            np.add(values, _ONE_HALF_DOWN, out=values)
        if self._rounding != "nearest-even":
            np.floor(values, out=values)
        np.add(values, _INTEGER, out=values)  # rounds to the nearest integer, ties to even
