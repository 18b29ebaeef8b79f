"""Conversion of float32 tensors to MX on their device, to the bit that of `golden.quantize` (docs/numerics.md).

All is done in integers, so that neither subnormals nor a device's or a user's way with them matter.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from golden import MXTensor, Segment
from golden.checks import check_axis, check_choice
from golden.codec import NONFINITE, ROUNDINGS, SUBNORMALS
from golden.formats import BLOCK_SIZE, EXPONENT_BIAS, EXPONENT_NAN, PAIR_SIZE, PAIRS, Format, get_format

_SIGN = -(1 << 31)  # as an int32
_ABS = (1 << 31) - 1
_INF = 0x7F800000
_HIDDEN = 1 << 23
_SHIFT_LIMIT = 26  # from 25 on every significand is below one half
_CHUNK = {"cpu": 1 << 17}  # elements at a time, for the caches
_CHUNK_ELSEWHERE = 1 << 23  # and to bound the memory of a GPU


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of `golden.quantize`, checked: TypeError, ValueError."""

    rounding: str = "nearest-even"
    subnormals: str = "flush"
    nonfinite: str = "nan"

    def __post_init__(self) -> None:
        check_choice("rounding", self.rounding, ROUNDINGS)
        check_choice("subnormals", self.subnormals, SUBNORMALS)
        check_choice("nonfinite", self.nonfinite, NONFINITE)


@dataclass(frozen=True, kw_only=True)
class Fields:
    """The fields of blocks, all int32.

    Parameters
    ----------
    exponents
        Shared exponents (blocks, 1); 255 marks a NaN block, in which all else is 0.
    micro
        Microexponents of the pairs (blocks, 8).
    magnitudes
        Elements' magnitudes (blocks, 16).
    signs
        Their signs as the top bit of a word (blocks, 16).
    """

    exponents: Tensor
    micro: Tensor
    magnitudes: Tensor
    signs: Tensor


def fields(words: Tensor, fmt: Format, options: Options) -> Fields:
    """Convert FP32 words, int32 (blocks, 16)."""
    signs, magnitudes = words & _SIGN, words & _ABS
    if options.nonfinite == "saturate":
        nan = magnitudes > _INF
        signs = signs.masked_fill(nan, 0)
        magnitudes = magnitudes.masked_fill(nan, 0).clamp_(max=_INF - 1)
    exponents = magnitudes >> 23
    pairs = exponents.view(-1, PAIRS, PAIR_SIZE).amax(2)
    shared = pairs.amax(1, keepdim=True)
    micro = (pairs < shared).int()

    significands = magnitudes & (_HIDDEN - 1)
    small = significands << 1 if options.subnormals == "exact" else torch.zeros_like(significands)
    significands = torch.where(exponents > 0, significands + _HIDDEN, small)
    top = shared - micro + (24 - fmt.magnitude_bits)
    shifts = (_of_elements(top) - exponents).clamp_(max=_SHIFT_LIMIT)
    if options.rounding == "nearest-even":
        significands += (significands >> shifts) & 1
        significands -= 1
    if options.rounding != "truncate":
        significands += torch.ones_like(shifts) << (shifts - 1)
    # With nearest-even, 0 became one less than a half, so that nothing is negative here.
    magnitudes = (significands >> shifts).clamp_(max=fmt.max_magnitude)

    if options.nonfinite == "nan":
        finite = (shared != EXPONENT_NAN).int()
        micro, magnitudes, signs = micro * finite, magnitudes * finite, signs * finite
    return Fields(exponents=shared, micro=micro, magnitudes=magnitudes, signs=signs)


def _of_elements(pairs: Tensor) -> Tensor:
    """What belongs to pairs (blocks, 8), for each element (blocks, 16)."""
    return pairs.repeat_interleave(PAIR_SIZE, dim=1)


def values(f: Fields, fmt: Format) -> Tensor:
    """Values of the elements as FP32 words, int32 (blocks, 16); those of NaN blocks are 0.

    A value has at most 7 significant bits and is a multiple of 2^-133: the low 16 bits of its word are 0.
    """
    powers = _of_elements(f.exponents - f.micro) - (EXPONENT_BIAS + fmt.magnitude_bits - 1)
    words = f.magnitudes.float().view(torch.int32) + (powers << 23)
    normal = (f.magnitudes > 0) & (words >= _HIDDEN)
    subnormal = f.magnitudes << (powers + 149).clamp_(0, 23)
    return torch.where(normal, words, subnormal) | f.signs


@dataclass(frozen=True, kw_only=True)
class Converted:
    """Rows of blocks as what a product needs.

    Parameters
    ----------
    words
        int32 (rows, 16 * blocks): values as FP32 words; 0 in NaN blocks.
    exponents
        int32 (rows, blocks): shared exponents; -1 where all values are 0.
    nan
        bool (rows,): whether the row has a NaN block.
    """

    words: Tensor
    exponents: Tensor
    nan: Tensor


def convert(x: Tensor, fmt: Format, options: Options) -> Converted:
    """Convert float32 (rows, K) along K; a last partial block is padded with +0."""
    rows, length = x.shape
    blocks = -(-length // BLOCK_SIZE)
    words = torch.empty((rows, blocks * BLOCK_SIZE), dtype=torch.int32, device=x.device)
    exponents = torch.empty((rows, blocks), dtype=torch.int32, device=x.device)
    nan = torch.empty(rows, dtype=torch.bool, device=x.device)
    step = max(1, _CHUNK.get(x.device.type, _CHUNK_ELSEWHERE) // (blocks * BLOCK_SIZE))
    for first in range(0, rows, step):
        part = slice(first, first + step)
        f = fields(_blocks(x[part]), fmt, options)
        words[part] = values(f, fmt).view(-1, blocks * BLOCK_SIZE)
        zero = ~f.magnitudes.any(1, keepdim=True)
        exponents[part] = f.exponents.masked_fill(zero, -1).view(-1, blocks)
        nan[part] = (f.exponents == EXPONENT_NAN).view(-1, blocks).any(1)
    return Converted(words=words, exponents=exponents, nan=nan)


def _blocks(x: Tensor) -> Tensor:
    """Words of float32 (rows, K), padded, int32 (blocks, 16)."""
    words = x.contiguous().view(torch.int32)
    return F.pad(words, (0, -words.shape[1] % BLOCK_SIZE)).reshape(-1, BLOCK_SIZE)


def quantize(
    x: Tensor,
    fmt: str | Format,
    axis: int = -1,
    rounding: str = "nearest-even",
    subnormals: str = "flush",
    nonfinite: str = "nan",
) -> MXTensor:
    """`golden.quantize` of a float32 tensor, computed on the tensor's device; parameters and errors are the same."""
    if not isinstance(x, Tensor) or x.dtype != torch.float32:
        raise TypeError(f"x must be a float32 tensor, not {getattr(x, 'dtype', type(x).__name__)}")
    if x.ndim == 0 or x.numel() == 0:
        raise ValueError(f"x must have an axis and at least one element, not shape {tuple(x.shape)}")
    fmt = get_format(fmt)
    axis = check_axis(axis, x.ndim)
    options = Options(rounding=rounding, subnormals=subnormals, nonfinite=nonfinite)
    length = x.shape[axis]
    with torch.no_grad():
        f = fields(_blocks(x.movedim(axis, -1).reshape(-1, length)), fmt, options)
        bits = (f.micro << torch.arange(PAIRS, dtype=torch.int32, device=x.device)).sum(1)
        elements = (f.magnitudes | ((f.signs >> 24) & 0x80)).to(torch.uint8).cpu().numpy()
    rows = x.numel() // length
    return MXTensor(
        shape=tuple(x.shape),
        axis=axis,
        segments=(Segment(format=fmt, length=length),),
        exponents=f.exponents.cpu().numpy().astype(np.uint8).reshape(rows, -1),
        micro=bits.cpu().numpy().astype(np.uint8).reshape(rows, -1),
        elements=elements.reshape(rows, -1, BLOCK_SIZE),
    )
