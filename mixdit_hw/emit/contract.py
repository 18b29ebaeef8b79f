"""A digest of the numerics that a design was made for."""

import hashlib
from functools import cache
from itertools import product

import numpy as np

import golden

_WORDS = 1 << 14


@cache
def numerics_digest() -> str:
    """SHA-256, in hex, of what the golden model makes of a fixed set of vectors.

    It changes when, and only when, a result for one of them does: the packed bytes of 16384 FP32 words spread over all
    exponents (subnormals, infinities and NaN too) in every format with all options, and the results of every pair
    of formats multiplied, once with values that fit each other and once with such that overflow and underflow. The
    vectors come from a few lines of integer arithmetic below, so that no library's random numbers can change them.
    """
    digest = hashlib.sha256()
    words = _scrambled(_WORDS).view(np.float32)
    for fmt, rounding, subnormals, nonfinite in product(
        golden.FORMATS, ("nearest-even", "truncate", "half-away"), ("flush", "exact"), ("nan", "saturate")
    ):
        tensor = golden.quantize(words, fmt, rounding=rounding, subnormals=subnormals, nonfinite=nonfinite)
        digest.update(tensor.pack().tobytes())
    bits = _scrambled(2 * 32 * 256).reshape(2, 32, 256)
    near = (bits & 0x807FFFFF) | (120 + (bits >> 23 & 15)) << 23
    for operands in (near, bits):
        values = operands.astype(np.uint32).view(np.float32)
        for a_format, w_format in product(golden.FORMATS, repeat=2):
            a = golden.quantize(values[0], a_format)
            w = golden.quantize(np.ascontiguousarray(values[1].T), w_format, axis=0)
            digest.update(golden.gemm(a, w).tobytes())
    return digest.hexdigest()


def _scrambled(count: int) -> np.ndarray:
    """So many 32-bit words that look random: an integer hash of 0, 1, 2, ..."""
    x = np.arange(count, dtype=np.uint32)
    for multiplier, shift in ((0x7FEB352D, 15), (0x846CA68B, 16)):
        x = (x ^ x >> np.uint32(shift)) * np.uint32(multiplier)
    return x ^ x >> np.uint32(16)
