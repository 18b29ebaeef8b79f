"""Number formats that our hardware does not have, to compare with: INT8 per token, and the OCP Microscaling formats.

Operands are converted and multiplied as float32 values, so that sums are rounded as NumPy's BLAS does it: what is
measured is the error of the formats. Element encodings are those of the library `ml_dtypes`.

Sources: OCP Microscaling Formats (MX) Specification 1.0, sections 5.1 to 5.3 and 6.3; symmetric INT8 with a scale for
each token of the activations and each output channel of the weights is that of Dettmers et al., "LLM.int8()" (2022),
section 2.1, without its outlier decomposition.
"""

from collections.abc import Callable
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from golden.dit import matmul
from golden.policy import is_exempt

OCP_BLOCK = 32
SCALE_BITS = 8  # E8M0

Convert = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Element:
    """Element format of the OCP specification.

    Parameters
    ----------
    dtype
        Of `ml_dtypes`; None for INT8, whose elements are 64ths.
    bits
        Of an element.
    emax
        Exponent of the largest binade.
    largest
        Largest magnitude; larger ones saturate.
    """

    dtype: type | None
    bits: int
    emax: int
    largest: float


ELEMENTS = {
    "mxint8": Element(dtype=None, bits=8, emax=0, largest=127 / 64),
    "mxfp8-e4m3": Element(dtype=ml_dtypes.float8_e4m3fn, bits=8, emax=8, largest=448.0),
    "mxfp8-e5m2": Element(dtype=ml_dtypes.float8_e5m2, bits=8, emax=15, largest=57344.0),
    "mxfp6-e2m3": Element(dtype=ml_dtypes.float6_e2m3fn, bits=6, emax=2, largest=7.5),
    "mxfp6-e3m2": Element(dtype=ml_dtypes.float6_e3m2fn, bits=6, emax=4, largest=28.0),
    "mxfp4": Element(dtype=ml_dtypes.float4_e2m1fn, bits=4, emax=2, largest=6.0),
}
INT8 = "int8"
SCHEMES = (INT8, *ELEMENTS)


def convert_ocp(x: np.ndarray, name: str) -> np.ndarray:
    """The values of finite float32 x, any shape, in blocks of 32 along the last axis, as float32.

    The scale is 2^(e - emax) with e the exponent of the block's largest magnitude, at least 2^-127; elements are
    rounded to nearest even and saturate.
    """
    element, length = ELEMENTS[name], x.shape[-1]
    padded = np.zeros((*x.shape[:-1], -(-length // OCP_BLOCK) * OCP_BLOCK), np.float32)
    padded[..., :length] = x
    blocks = padded.reshape(*x.shape[:-1], -1, OCP_BLOCK)
    # The exponent of the largest magnitude is read off its bits, whatever rounding would make of it.
    field = (np.abs(blocks).max(axis=-1, keepdims=True).view(np.uint32) >> np.uint32(23)).astype(np.int32)
    shift = np.maximum(field - element.emax, 0) - 127
    scaled = np.ldexp(blocks, -shift)
    if element.dtype is None:
        scaled = np.rint(scaled * np.float32(64)) * np.float32(1 / 64)
        np.clip(scaled, -element.largest, element.largest, out=scaled)
    else:
        np.clip(scaled, -element.largest, element.largest, out=scaled)
        scaled = scaled.astype(element.dtype).astype(np.float32)
    return np.ldexp(scaled, shift).reshape(padded.shape)[..., :length]


def convert_int8(x: np.ndarray) -> np.ndarray:
    """The values of finite float32 x, any shape, in INT8 with a scale, max|x| / 127, for each row of the last axis."""
    scale = np.abs(x).max(axis=-1, keepdims=True) / np.float32(127)
    scale[scale == 0] = 1
    return np.rint(x / scale) * scale


class Emulated:
    """A `golden.dit.Gemm` in one of `SCHEMES`; products outside of attention and MLP stay float32, as with a policy.

    Read-only right operands are converted once; the same object serves one model.

    Raises
    ------
    ValueError
        The scheme is unknown.
    """

    def __init__(self, scheme: str) -> None:
        if scheme not in SCHEMES:
            raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}, not {scheme!r}")
        self._convert: Convert = convert_int8 if scheme == INT8 else lambda x: convert_ocp(x, scheme)
        self._weights: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def __call__(self, name: str, a: np.ndarray, w: np.ndarray, /) -> np.ndarray:
        """Convert both operands along K and multiply their values."""
        if is_exempt(name):
            return matmul(name, a, w)
        return self._convert(a) @ self._weight(name, w)

    def _weight(self, name: str, w: np.ndarray) -> np.ndarray:
        known, values = self._weights.get(name, (None, None))
        if values is None or known is not w:
            values = self._convert(np.ascontiguousarray(w.swapaxes(-1, -2))).swapaxes(-1, -2)
            if not w.flags.writeable:
                values = np.ascontiguousarray(values)
                self._weights[name] = (w, values)
        return values


def bits_per_element(scheme: str) -> float:
    """Bits of an operand's element with its share of the scale: of a block, or, for INT8, none."""
    return 8.0 if scheme == INT8 else ELEMENTS[scheme].bits + SCALE_BITS / OCP_BLOCK
