"""Products of MX matrices in PyTorch, to the bit those of `golden.gemm` (docs/numerics.md, Accumulation).

K blocks are added one after the other in stored order. Within a block any order of summation is exact in float32 where
the exponents of all block pairs lie in the window of `golden.gemm`; here they must also be so great that every value is
a normal number, so that it does not matter how a device treats subnormal ones. Other blocks are multiplied in float64,
in which they are always exact, and rounded to float32 once. On a device whose float32 products turn out inexact, all
blocks are.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor

from golden.formats import BLOCK_SIZE, Format
from golden.gemm import window
from golden.policy import PrecisionPolicy

from .convert import Options, convert
from .order import stored_order
from .precision import exact_products, is_exact

_MIN_NORMAL = 2.0**-126
_NEUTRAL = 1024  # exponent of a block that never leaves the window: all zero, or NaN and dealt with elsewhere
_PANEL = {"cpu": 1 << 19}  # outputs at a time: their sums and one block's products stay in the caches
_PANEL_ELSEWHERE = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Operand:
    """A stack of B matrices in stored order.

    Parameters
    ----------
    words
        Their values as FP32 words, (B, M, K) of A and (B, K, N) of W with K in whole blocks: int32, or int16 with only
        the upper halves, as the others are 0.
    low, high
        Least and greatest shared exponent of each K block over all rows and matrices; 1024 and -1024 where all values
        are 0 or NaN.
    nan
        bool (B, M) or (B, N): rows of A, or columns of W, with a NaN block.
    formats
        Format of each K block.
    """

    words: Tensor
    low: tuple[int, ...]
    high: tuple[int, ...]
    nan: Tensor
    formats: tuple[Format, ...]

    def full_words(self) -> Tensor:
        """The words as int32."""
        return self.words if self.words.dtype == torch.int32 else self.words.int() << 16


def operand(parts: Sequence[tuple[Tensor, Format]], options: Options, *, left: bool) -> Operand:
    """Convert matrices in stored order.

    Parameters
    ----------
    parts
        For each segment float32 (B, M, K) of A, or (B, N, K) of W, and its format.
    options
        Of the conversion.
    left
        Whether it is an A.
    """
    count, rows, _ = parts[0][0].shape
    converted = [convert(x.reshape(count * rows, -1), fmt, options) for x, fmt in parts]
    words = torch.cat([c.words for c in converted], 1) if len(parts) > 1 else converted[0].words
    exponents = torch.cat([c.exponents for c in converted], 1)
    low = exponents.masked_fill(exponents < 0, _NEUTRAL).amin(0)
    high = exponents.masked_fill(exponents < 0, -_NEUTRAL).amax(0)
    lows, highs = torch.stack([low, high]).tolist()
    nan = torch.stack([c.nan for c in converted]).any(0)
    words = words.view(count, rows, -1)
    return Operand(
        words=words if left else words.transpose(1, 2),
        low=tuple(lows),
        high=tuple(highs),
        nan=nan.view(count, rows),
        formats=tuple(fmt for c, (_, fmt) in zip(converted, parts, strict=True) for _ in range(c.exponents.shape[1])),
    )


def multiply(a: Operand, w: Operand) -> Tensor:
    """The products (B, M, N), float32; NaN is always 0x7FC00000. A W of one matrix may serve an A of one only."""
    device = a.words.device
    with exact_products(device):
        fast = _exact_blocks(a, w) if _trusts(device) else [False] * len(a.formats)
        words_a, words_w = a.full_words(), w.full_words()
        result = torch.empty(*words_a.shape[:2], words_w.shape[2], dtype=torch.float32, device=device)
        for part, rows in _panels(result):
            result[part, rows] = _panel(words_a[part, rows], words_w[part], fast)
        result.masked_fill_(a.nan[:, :, None] | w.nan[:, None] | result.isnan(), float("nan"))
        return result


@cache
def _trusts(device: torch.device) -> bool:
    """Whether float32 products are exact on a device; a warning where they are not."""
    if is_exact(device):
        return True
    warnings.warn(f"float32 products are inexact on {device}: all are computed in float64", stacklevel=4)
    return False


def _exact_blocks(a: Operand, w: Operand) -> list[bool]:
    """For each K block, whether its products are exact in float32."""
    result = []
    for block, (fa, fw) in enumerate(zip(a.formats, w.formats, strict=True)):
        least, most = window(fa, fw)
        normal = a.low[block] > fa.magnitude_bits and w.low[block] > fw.magnitude_bits
        inside = least <= a.low[block] + w.low[block] and a.high[block] + w.high[block] <= most
        result.append(normal and inside)
    return result


def _panels(result: Tensor) -> Iterator[tuple[slice, slice]]:
    """Matrices and rows of panels of (B, M, N) outputs."""
    count, m, n = result.shape
    most = max(1, _PANEL.get(result.device.type, _PANEL_ELSEWHERE) // n)  # rows
    matrices, rows = max(1, most // m), min(m, most)
    for i, j in pairwise([*range(0, count, matrices), count]):
        for k, last in pairwise([*range(0, m, rows), m]):
            yield slice(i, j), slice(k, last)


def _panel(a: Tensor, w: Tensor, fast: list[bool]) -> Tensor:
    """Sums over all K blocks, from words of A (B, M, K) and W (B, K, N), without the NaNs of NaN blocks."""
    values_a, values_w = a.view(torch.float32), w.view(torch.float32)
    total = torch.zeros(a.shape[0], a.shape[1], w.shape[2], dtype=torch.float32, device=a.device)
    products = torch.empty_like(total)
    flush = False
    for block, is_fast in enumerate(fast):
        k = slice(block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE)
        if is_fast:
            torch.bmm(values_a[:, :, k], values_w[:, k], out=products)
        else:
            sums = torch.bmm(_doubles(a[:, :, k]), _doubles(w[:, k]))
            products.copy_(sums.masked_fill_(sums.abs() < _MIN_NORMAL, 0))
            flush = True
        total += products
        if flush:  # only after such a block can a sum be subnormal
            total.masked_fill_(total.abs() < _MIN_NORMAL, 0)
    return total.add_(0.0)  # -0 becomes +0


def _doubles(words: Tensor) -> Tensor:
    """Values of FP32 words as float64, subnormal ones too, whatever a device or a user makes of those."""
    fields, fractions = (words >> 23) & 0xFF, words & 0x7FFFFF
    signs = (words < 0).long() << 63
    normal = signs | (fields.long() + (1023 - 127)) << 52 | fractions.long() << 29
    subnormal = torch.where(words < 0, -fractions, fractions).double() * 2.0**-149
    return torch.where(fields > 0, normal.view(torch.float64), subnormal)


def matmul(policy: PrecisionPolicy, name: str, a: Tensor, w: Tensor) -> Tensor:
    """The product of that name under a policy, as `golden.policy.MXGemm` computes it.

    Parameters
    ----------
    policy, name
        Formats and outliers. A product that is exempt is PyTorch's own.
    a, w
        float32 (M, K) and (K, N), or stacks (B, M, K) and (B, K, N) of head products, on one device.

    Returns
    -------
    float32 (M, N) or (B, M, N).

    Raises
    ------
    TypeError
        An operand is not float32.
    ValueError
        Shapes do not fit, or an outlier is none of the K channels.
    """
    for key, x in (("a", a), ("w", w)):
        if x.dtype != torch.float32:
            raise TypeError(f"{key} must be float32, not {x.dtype}")
    if a.ndim not in (2, 3) or w.ndim != a.ndim or a.shape[-1] != w.shape[-2] or a.shape[:-2] != w.shape[:-2]:
        raise ValueError(f"a and w must be (M, K) and (K, N) or stacks, not {tuple(a.shape)} and {tuple(w.shape)}")
    order = stored_order(policy, name, a.shape[-1])
    if order is None:
        return a @ w
    options = Options(**policy.options)
    stacks = [x if x.ndim == 3 else x[None] for x in (a, w.transpose(-1, -2))]
    index, others = order.indices(a.device)
    with torch.no_grad():
        left = operand(order.parts_of_a(stacks[0], index, others), options, left=True)
        right = operand(order.parts_of_w(stacks[1], index, others), options, left=False)
        result = multiply(left, right)
    return result if a.ndim == 3 else result[0]
