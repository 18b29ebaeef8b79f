"""The output stage: scale, bias, and BF16 (docs/numerics.md, Output).

What is done to each result of a product on its way out, bit for bit as the hardware does it. Conversion to MX is
`quantize` of what comes out of here.
"""

import numpy as np

from .tensor import CANONICAL_NAN

TINY = np.float32(2.0**-126)  # the least normal magnitude
BF16_NAN = 0x7FC0


def scale_and_bias(
    acc: np.ndarray, scale: np.ndarray | float | None = None, bias: np.ndarray | float | None = None
) -> np.ndarray:
    """``FTZ(RN32(FTZ(RN32(acc * scale)) + bias))``, each step left out where its operand is None.

    Parameters
    ----------
    acc
        float32, as `golden.gemm` returns it.
    scale, bias
        FP32, for all of ``acc`` or of a shape that broadcasts to its: one value per column is an array (N,). Subnormal
        ones count as +0.

    Returns
    -------
    np.ndarray
        float32 of the shape of ``acc``: a copy of it where both steps are left out; otherwise results below 2^-126 are
        +0, and NaN is 0x7FC00000.

    Raises
    ------
    TypeError
        ``acc`` is not float32.
    ValueError
        The shape of ``scale`` or ``bias`` does not broadcast to that of ``acc``.
    """
    if acc.dtype != np.float32:
        raise TypeError(f"acc must be float32, not {acc.dtype}")
    y = np.array(acc, copy=True)
    for name, operand, work in (("scale", scale, np.multiply), ("bias", bias, np.add)):
        if operand is None:
            continue
        words = _flushed(np.array(operand, np.float32))
        try:
            words = np.broadcast_to(words, y.shape)
        except ValueError:
            raise ValueError(f"{name} must broadcast to acc's shape {y.shape}, not {words.shape}") from None
        with np.errstate(all="ignore"):
            y = _flushed(work(y, words))
    return y


def to_bfloat16(x: np.ndarray) -> np.ndarray:
    """Round float32 to BF16 words (uint16): to nearest even, below 2^-126 to +0, overflow to Inf, NaN to 0x7FC0.

    Raises
    ------
    TypeError
        ``x`` is not float32.
    """
    if x.dtype != np.float32:
        raise TypeError(f"x must be float32, not {x.dtype}")
    words = x.view(np.uint32).astype(np.uint64)
    rounded = (words + 0x7FFF + (words >> 16 & 1)) >> 16
    small = (rounded & 0x7F80) == 0
    rounded = np.where(small, 0, rounded)
    return np.where(np.isnan(x), BF16_NAN, rounded).astype(np.uint16)


def from_bfloat16(words: np.ndarray) -> np.ndarray:
    """Widen BF16 words (uint16) to float32, exactly.

    Raises
    ------
    TypeError
        ``words`` is not uint16.
    """
    if words.dtype != np.uint16:
        raise TypeError(f"words must be uint16, not {words.dtype}")
    return (words.astype(np.uint32) << 16).view(np.float32)


def _flushed(x: np.ndarray) -> np.ndarray:
    """FTZ, and the canonical NaN."""
    words = np.where(np.abs(x) < TINY, np.float32(0), x).view(np.uint32)
    return np.where(np.isnan(x), CANONICAL_NAN, words).view(np.float32)
