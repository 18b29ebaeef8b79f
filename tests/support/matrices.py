"""Random matrices that reach the corners of the formats and of FP32 accumulation."""

import numpy as np

KINDS = ("gaussian", "wide", "extreme", "zeros", "subnormal", "nonfinite")


def random_matrix(rng: np.random.Generator, shape: tuple[int, int], kind: str) -> np.ndarray:
    """A float32 matrix.

    ``gaussian`` has entries of similar size; ``wide`` has exponents all over FP32's range; ``extreme`` has only the
    smallest and largest, so that sums overflow and products underflow; ``zeros`` is mostly +0 and -0, with whole rows
    and columns of them; ``subnormal`` is below 2^-126 for the most part; ``nonfinite`` is wide with some NaN and Inf.
    """
    sign = np.where(rng.random(shape) < 0.5, -1.0, 1.0)
    if kind == "gaussian":
        return rng.standard_normal(shape).astype(np.float32)
    if kind == "extreme":
        exponents = np.where(rng.random(shape) < 0.5, rng.integers(-126, -110, shape), rng.integers(110, 128, shape))
        x = sign * np.ldexp(rng.uniform(1, 2, shape), exponents)
        return np.clip(x, -3.4e38, 3.4e38).astype(np.float32)
    if kind == "subnormal":
        words = rng.integers(0, 1 << 23, shape, dtype=np.uint32)
        words[rng.random(shape) < 0.2] = 0x00800000
        return (words | (sign < 0).astype(np.uint32) << np.uint32(31)).view(np.float32)
    x = (sign * np.ldexp(rng.uniform(1, 2, shape), rng.integers(-60, 60, shape))).astype(np.float32)
    if kind == "zeros":
        x[rng.random(shape) < 0.9] = 0
        x[rng.random(shape[0]) < 0.3] = 0
        x[:, rng.random(shape[1]) < 0.3] = -0.0
    if kind == "nonfinite":
        x[rng.random(shape) < 0.01] = np.nan
        x[rng.random(shape) < 0.01] = np.inf
        x[rng.random(shape) < 0.01] = -np.inf
    return x
