"""The pipelined FP32 adder against NumPy's float32 addition."""

import numpy as np
import pytest

from mixdit_hw.arith.fp32_add import FP32Add
from tests.support.clocked import Clocked

CORNERS = (
    0x00000000, 0x00800000, 0x80800000, 0x00800001, 0x80FFFFFF, 0x01000000, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000,
    0xFF800000, 0x7FC00000, 0x3F800000, 0xBF800000, 0x3F7FFFFF, 0x33800000, 0xB3800000, 0x33800001, 0x73000000,
    0x80000000, 0x72FFFFFF, 0xF3000000, 0x34000000, 0x4B000000, 0x4B7FFFFF,
)  # fmt: skip


def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        s = a.view(np.float32) + b.view(np.float32)
    s[np.abs(s) < np.float32(2.0**-126)] = 0.0  # also -0, and subnormals to +0
    words = s.view(np.uint32)
    words[np.isnan(s)] = 0x7FC00000
    return words


def random_words(rng: np.random.Generator, n: int) -> np.ndarray:
    words = rng.integers(0, 1 << 32, n, dtype=np.uint32)
    exponent = (words >> 23) & 0xFF
    words = np.where(exponent == 0, words & 0x80000000, words)
    words = np.where(exponent == 255, 0x7FC00000, words).astype(np.uint32)
    return np.where(words == 0x80000000, 0, words).astype(np.uint32)


def near(rng: np.random.Generator, a: np.ndarray) -> np.ndarray:
    """Words whose exponents lie within 30 of those of ``a``, with either sign and some equal or sparse fractions."""
    exponent = np.clip(((a >> 23) & 0xFF).astype(int) + rng.integers(-30, 31, len(a)), 1, 254).astype(np.uint32)
    exponent = np.where(rng.random(len(a)) < 0.3, np.clip((a >> 23) & 0xFF, 1, 254), exponent).astype(np.uint32)
    fraction = rng.integers(0, 1 << 23, len(a), dtype=np.uint32)
    fraction = np.where(rng.random(len(a)) < 0.3, a & 0x7FFFFF, fraction)
    fraction = np.where(rng.random(len(a)) < 0.2, fraction & 0x7F0000, fraction).astype(np.uint32)
    sign = rng.integers(0, 2, len(a), dtype=np.uint32)
    return (sign << 31) | (exponent << 23) | fraction


def run(a: np.ndarray, b: np.ndarray, latency: int, clear: np.ndarray) -> np.ndarray:
    columns = a.tolist(), b.tolist(), clear.tolist()
    rows = [{"a": x, "b": y, "clear": c} for x, y, c in zip(*columns, strict=True)]
    out = Clocked(FP32Add(latency)).run(rows, ["o"], tail=latency)["o"]
    return np.array(out[latency:], dtype=np.uint32)


def check(a: np.ndarray, b: np.ndarray, latency: int, seed: int = 0) -> None:
    """One sum in eight with the first summand cleared."""
    clear = np.random.default_rng(seed).random(len(a)) < 0.125
    got, want = run(a, b, latency, clear), reference(np.where(clear, 0, a).astype(np.uint32), b)
    bad = np.flatnonzero(got != want)
    assert not len(bad), f"{a[bad[0]]:08x} + {b[bad[0]]:08x} = {got[bad[0]]:08x}, not {want[bad[0]]:08x}"


LATENCIES = pytest.mark.parametrize("latency", [4, 8])


@LATENCIES
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_corners(seed, latency):
    a, b = (x.ravel() for x in np.meshgrid(np.array(CORNERS, dtype=np.uint32), np.array(CORNERS, dtype=np.uint32)))
    check(a.copy(), b.copy(), latency, seed)


@LATENCIES
@pytest.mark.parametrize("seed", [1, 2])
def test_random(seed, latency):
    rng = np.random.default_rng(seed)
    a = random_words(rng, 2000)
    check(a, np.concatenate([random_words(rng, 500), near(rng, a[500:])]), latency, seed)


def test_argument():
    with pytest.raises(ValueError, match=r"^latency must be 4 or 8, not 5$"):
        FP32Add(5)
