"""MXTensor: an array in blocks of 16 along one axis, as fields; its values and its packed bytes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np

from .checks import check_array, check_axis, check_integer, check_integers
from .formats import BLOCK_SIZE, EXPONENT_BIAS, EXPONENT_NAN, Format, get_format

CANONICAL_NAN = np.uint32(0x7FC00000)
SIGN_BIT = 0x80
MAGNITUDE_MASK = 0x7F

# Multiplying a byte, held in 64 bits, by this copies it into all eight bytes: one for each pair of a block.
EIGHT_COPIES = np.uint64(0x0101010101010101)
_HALF = BLOCK_SIZE // 2
_DECODE_ELEMENTS = 1 << 16  # elements decoded at a time, so that temporaries stay in the L2 cache


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A run of K positions of one format, stored in whole blocks; the last block is padded with +0.

    Parameters
    ----------
    format
        Format of all its blocks.
    length
        K positions without padding, at least 1.

    Raises
    ------
    TypeError, ValueError
        For a format that is not a `Format`, or a length that is not an integer of at least 1.
    """

    format: Format
    length: int

    def __post_init__(self) -> None:
        if not isinstance(self.format, Format):
            raise TypeError(f"format must be a Format, not {self.format!r}")
        if check_integer("length", self.length) < 1:
            raise ValueError(f"length must be at least 1, not {self.length}")

    @property
    def blocks(self) -> int:
        """Blocks along K, ceil(length / 16)."""
        return -(-self.length // BLOCK_SIZE)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MXTensor:
    """An array in shared-microexponent blocks along one axis.

    The blocked axis (K) is thought of as moved last and all the others as flattened, in C order, into rows. Fields are
    arrays with one entry per row and K block, in stored order, which is the order of accumulation.

    Parameters
    ----------
    shape
        Shape of `dequantize()`'s result; along `axis` the sum of the segments' lengths.
    axis
        Blocked axis, counted from the front.
    segments
        Formats along K: all rows have the same.
    exponents
        uint8 (rows, blocks): shared exponent E, a field with bias 127; 255 marks a NaN block.
    micro
        uint8 (rows, blocks): microexponents D; bit j belongs to elements 2j and 2j+1.
    elements
        uint8 (rows, blocks, 16): sign in bit 7, magnitude in the low bits.

    Raises
    ------
    ValueError
        Where the fields do not fit each other, or a magnitude is above its format's largest.
    """

    shape: tuple[int, ...]
    axis: int
    segments: tuple[Segment, ...]
    exponents: np.ndarray
    micro: np.ndarray
    elements: np.ndarray

    def __post_init__(self) -> None:
        length = sum(s.length for s in self.segments)
        if self.shape[self.axis] != length:
            raise ValueError(f"shape must have {length} positions along axis {self.axis}, not {self.shape}")
        for name, tail in (("exponents", ()), ("micro", ()), ("elements", (BLOCK_SIZE,))):
            field, wanted = getattr(self, name), (self.rows, self.blocks, *tail)
            if field.dtype != np.uint8 or field.shape != wanted:
                raise ValueError(f"{name} must be uint8 of shape {wanted}, not {field.dtype} of {field.shape}")
        self._check_magnitudes()

    def _check_magnitudes(self) -> None:
        first = 0
        for s in self.segments:
            last, limit = first + s.blocks, s.format.max_magnitude
            elements = self.elements[:, first:last]
            if np.bitwise_or.reduce(elements, axis=None) & (MAGNITUDE_MASK - limit):  # one pass, without a copy
                magnitudes = elements & np.uint8(MAGNITUDE_MASK)
                row, block, i = (int(n) for n in np.argwhere(magnitudes > limit)[0])
                raise ValueError(
                    f"elements[{row}, {first + block}, {i}] must have a magnitude of 0 to {limit} in {s.format}, "
                    f"not {magnitudes[row, block, i]}"
                )
            first = last

    def __repr__(self) -> str:
        parts = ", ".join(f"{s.length} {s.format}" for s in self.segments)
        return f"MXTensor(shape={self.shape}, axis={self.axis}, segments=[{parts}])"

    @cached_property
    def rows(self) -> int:
        """Product of the lengths of all axes but the blocked one."""
        return math.prod(self.shape[: self.axis] + self.shape[self.axis + 1 :])

    @cached_property
    def blocks(self) -> int:
        """Blocks of a row, over all segments."""
        return sum(s.blocks for s in self.segments)

    @cached_property
    def formats(self) -> tuple[Format, ...]:
        """Format of each K block."""
        return tuple(s.format for s in self.segments for _ in range(s.blocks))

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """K positions of each K block, without padding: 16, and what is left in the last block of a segment."""
        return tuple(min(BLOCK_SIZE, s.length - k) for s in self.segments for k in range(0, s.length, BLOCK_SIZE))

    @property
    def signs(self) -> np.ndarray:
        """uint8 (rows, blocks, 16): 1 for a negative element (-0 too). A copy."""
        return self.elements >> 7

    @property
    def magnitudes(self) -> np.ndarray:
        """uint8 (rows, blocks, 16): magnitudes, 0 to 2^m - 1. A copy."""
        return self.elements & np.uint8(MAGNITUDE_MASK)

    def dequantize(self) -> np.ndarray:
        """The values, exact, as a C-contiguous float32 array of `shape`; padding is dropped.

        All values of a NaN block are 0x7FC00000.
        """
        values = decode(self, self.exponents)
        values.view(np.uint32)[self.exponents == EXPONENT_NAN] = CANONICAL_NAN
        rows = values.reshape(self.rows, -1)
        if any(s.length % BLOCK_SIZE for s in self.segments):
            ends = np.cumsum([s.blocks * BLOCK_SIZE for s in self.segments])
            parts = [
                rows[:, end - s.blocks * BLOCK_SIZE :][:, : s.length]
                for s, end in zip(self.segments, ends, strict=True)
            ]
            rows = np.concatenate(parts, axis=1)
        others = self.shape[: self.axis] + self.shape[self.axis + 1 :]
        return np.ascontiguousarray(np.moveaxis(rows.reshape(*others, self.shape[self.axis]), -1, self.axis))

    def pack(self) -> np.ndarray:
        """The blocks' bytes, 1-D uint8: row after row, in each row block after block.

        A block is one little-endian integer: E in bits 0-7, D in bits 8-15, element i at 16 + i*(m+1) with its sign
        on top. Padding is part of the last block.
        """
        parts, first = [], 0
        for s in self.segments:
            last, m = first + s.blocks, s.format.magnitude_bits
            elements = self.elements[:, first:last]
            fields = (elements >> 7 << m) | (elements & np.uint8(MAGNITUDE_MASK))
            # Eight elements of m+1 bits are m+1 whole bytes: gather each half of a block in one 64-bit word.
            halves = np.zeros((self.rows, s.blocks, 2), "<u8")
            for i in range(_HALF):
                halves |= fields[:, :, i::_HALF].astype(np.uint64) << np.uint64(i * (m + 1))
            out = np.empty((self.rows, s.blocks, s.format.block_bytes), np.uint8)
            out[:, :, 0] = self.exponents[:, first:last]
            out[:, :, 1] = self.micro[:, first:last]
            out[:, :, 2:] = (
                halves.view(np.uint8).reshape(self.rows, s.blocks, 2, 8)[..., : m + 1].reshape(self.rows, s.blocks, -1)
            )
            parts.append(out.reshape(self.rows, -1))
            first = last
        return np.concatenate(parts, axis=1).reshape(-1)


@cache
def _tables(fmt: Format) -> tuple[np.ndarray, np.ndarray]:
    """Scales by 2*E + D, each twice in a 64-bit word so that one serves a pair, and signed magnitudes by byte."""
    exponent = np.arange(512) // 2 - np.arange(512) % 2 - EXPONENT_BIAS - (fmt.magnitude_bits - 1)
    scales = np.ldexp(1.0, exponent).astype(np.float32)  # the least, 2^-134, is subnormal but exact
    byte = np.arange(256)
    magnitudes = (byte & MAGNITUDE_MASK).astype(np.float32)
    return np.repeat(scales, 2).view(np.uint64), np.where(byte < SIGN_BIT, magnitudes, -magnitudes)


def decode(t: MXTensor, exponents: np.ndarray, first: int = 0, last: int | None = None) -> np.ndarray:
    """Values of K blocks `first` to `last` - 1 as float32 (rows, blocks, 16), with `exponents` as shared exponents.

    Nothing is special about a NaN block here: with E = 255 its values are finite or infinite and mean nothing.
    Each value is M * 2^n with both factors and the product exact in float32 (subnormals included).
    """
    last = t.blocks if last is None else last
    values = np.empty((t.rows, last - first, BLOCK_SIZE), np.float32)
    start = 0
    for s in t.segments:
        stop = start + s.blocks
        low, high = max(start, first), min(stop, last)
        start = stop
        if low >= high:
            continue
        scales, signed = _tables(s.format)
        step = max(1, _DECODE_ELEMENTS // ((high - low) * BLOCK_SIZE))
        for r in range(0, t.rows, step):
            rows = slice(r, r + step)
            index = (exponents[rows, low:high] * EIGHT_COPIES).view(np.uint8).astype(np.uint16)
            index <<= 1
            index |= np.unpackbits(t.micro[rows, low:high], axis=1, bitorder="little")
            scale = scales.take(index).view(np.float32).reshape(-1, high - low, BLOCK_SIZE)
            with np.errstate(over="ignore"):  # only NaN blocks can overflow
                np.multiply(
                    signed.take(t.elements[rows, low:high]),
                    scale,
                    out=values[rows, low - first : high - first],
                )
    return values


def unpack(data: np.ndarray, fmt: str | Format | Sequence[Segment], shape: Sequence[int], axis: int = -1) -> MXTensor:
    """Read what `MXTensor.pack` wrote.

    Padding is read like all else and may hold anything in data from elsewhere, although docs/numerics.md has it +0:
    `gemm`, `trace` and the hardware multiply what is stored, padding by padding, while `dequantize` drops it.

    Parameters
    ----------
    data
        1-D uint8; every bit is kept, so that packing again gives the same bytes, whatever they are.
    fmt
        A format, or the `MXTensor.segments` of a tensor of several formats.
    shape, axis
        Shape of the values and the blocked axis.

    Raises
    ------
    TypeError, ValueError
        For a wrong kind of array, an unknown format, segments that are none or do not have the shape's length, a shape
        that is not of positive integers, or a wrong number of bytes.
    """
    check_array("data", data, np.uint8)
    if data.ndim != 1:
        raise ValueError(f"data must be 1-D, not of shape {data.shape}")
    dims = tuple(check_integers("shape", shape))
    if not dims or min(dims) < 1:
        raise ValueError(f"shape must have axes of at least one position, not {dims}")
    axis = check_axis(axis, len(dims))
    if isinstance(fmt, (str, Format)) or not isinstance(fmt, Sequence):
        segments = (Segment(format=get_format(fmt), length=dims[axis]),)
    else:
        segments = tuple(fmt)
        if not all(isinstance(s, Segment) for s in segments):
            raise TypeError(f"fmt must be a format or a sequence of Segments, not {fmt!r}")
    rows = math.prod(dims[:axis] + dims[axis + 1 :])
    size = rows * sum(s.blocks * s.format.block_bytes for s in segments)
    if data.size != size:
        raise ValueError(f"data must have {size} bytes for shape {dims}, not {data.size}")

    blocks = sum(s.blocks for s in segments)
    exponents = np.empty((rows, blocks), np.uint8)
    micro = np.empty((rows, blocks), np.uint8)
    elements = np.empty((rows, blocks, BLOCK_SIZE), np.uint8)
    packed, offset, first = data.reshape(rows, -1), 0, 0
    for s in segments:
        last, m = first + s.blocks, s.format.magnitude_bits
        part = packed[:, offset : offset + s.blocks * s.format.block_bytes].reshape(rows, s.blocks, -1)
        offset += s.blocks * s.format.block_bytes
        exponents[:, first:last] = part[:, :, 0]
        micro[:, first:last] = part[:, :, 1]
        padded = np.zeros((rows, s.blocks, 2, 8), np.uint8)
        padded[..., : m + 1] = part[:, :, 2:].reshape(rows, s.blocks, 2, m + 1)
        halves = padded.view("<u8")[..., 0]
        for i in range(_HALF):
            fields = (halves >> np.uint64(i * (m + 1))).astype(np.uint8)
            magnitudes = fields & np.uint8(s.format.max_magnitude)
            elements[:, first:last, i::_HALF] = magnitudes | (fields >> m << 7)
        first = last
    return MXTensor(shape=dims, axis=axis, segments=segments, exponents=exponents, micro=micro, elements=elements)


def concat(parts: Sequence[Any]) -> MXTensor:
    """Join tensors of any formats along their blocked axis, in that order; each keeps its own padding.

    Raises
    ------
    TypeError
        If a part is not an MXTensor.
    ValueError
        Without any part, or where parts differ in their blocked axis or in another axis' length.
    """
    parts = list(parts)
    if not parts:
        raise ValueError("parts must hold at least one tensor, not []")
    for part in parts:
        if not isinstance(part, MXTensor):
            raise TypeError(f"parts must hold MXTensors, not {type(part).__name__}")
    axis, shape = parts[0].axis, parts[0].shape
    for part in parts[1:]:
        if part.axis != axis:
            raise ValueError(f"parts must be blocked along the same axis, not {axis} and {part.axis}")
        if part.shape[:axis] != shape[:axis] or part.shape[axis + 1 :] != shape[axis + 1 :]:
            raise ValueError(f"parts must agree in all axes but {axis}, not {shape} and {part.shape}")
    length = sum(part.shape[axis] for part in parts)
    return MXTensor(
        shape=(*shape[:axis], length, *shape[axis + 1 :]),
        axis=axis,
        segments=tuple(s for part in parts for s in part.segments),
        exponents=np.concatenate([part.exponents for part in parts], axis=1),
        micro=np.concatenate([part.micro for part in parts], axis=1),
        elements=np.concatenate([part.elements for part in parts], axis=1),
    )
