"""The pipelined FP32 multiplier against NumPy's float32 multiplication, and against exact integers."""

import numpy as np
import pytest

from golden.exact import multiply_words
from mixdit_hw.arith.fp32_multiply import FP32Multiply
from tests.support.clocked import Clocked
from tests.support.errors import raises_exactly

CORNERS = (
    0x00000000, 0x80000000, 0x00800000, 0x80800000, 0x00FFFFFF, 0x01000000, 0x3F000000, 0x3EFFFFFF, 0x3F7FFFFF,
    0x3F800000, 0xBF800000, 0x3F800001, 0x3FFFFFFF, 0x40000000, 0x1FFFFFFF, 0x20000000, 0x20000001, 0x1F7FFFFF,
    0x5F7FFFFF, 0x5F800000, 0x60000000, 0x7E800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000,
    0x00000001, 0x807FFFFF, 0xFFC00001, 0x7F800001,
)  # fmt: skip


def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """With NumPy: subnormal factors flushed before."""
    x, y = (np.where((w >> 23 & 0xFF) == 0, 0, w).astype(np.uint32).view(np.float32) for w in (a, b))
    with np.errstate(all="ignore"):
        p = x * y
    words = np.where(np.abs(p) < np.float32(2.0**-126), np.float32(0), p).view(np.uint32).copy()
    words[np.isnan(p)] = 0x7FC00000
    return words


LATENCIES = pytest.mark.parametrize("latency", [6, 9])


def check(a: np.ndarray, b: np.ndarray, latency: int) -> None:
    rows = [{"a": x, "b": y} for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    out = Clocked(FP32Multiply(latency)).run(rows, ["o"], tail=latency)["o"]
    got, want = np.array(out[latency:], dtype=np.uint32), reference(a, b)
    bad = np.flatnonzero(got != want)
    assert not len(bad), f"{a[bad[0]]:08x} * {b[bad[0]]:08x} = {got[bad[0]]:08x}, not {want[bad[0]]:08x}"
    assert [multiply_words(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)] == want.tolist()


@LATENCIES
def test_corners(latency: int) -> None:
    a, b = (x.ravel() for x in np.meshgrid(np.array(CORNERS, dtype=np.uint32), np.array(CORNERS, dtype=np.uint32)))
    check(a.copy(), b.copy(), latency)


@LATENCIES
@pytest.mark.parametrize("seed", [1])
def test_random(seed: int, latency: int) -> None:
    """Any words."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 1 << 32, (2, 600), dtype=np.uint32)
    check(a, b, latency)


@LATENCIES
@pytest.mark.parametrize("seed", [1])
def test_limits(seed: int, latency: int) -> None:
    """Products around 2^-126 and 2^128, and sparse fractions that round by half."""
    rng = np.random.default_rng(seed)
    a = rng.integers(1 << 23, 0xFF << 23, 600, dtype=np.uint32)
    centre = np.where(rng.random(600) < 0.5, 1, 255)
    field = centre + 127 - (a >> 23).astype(int) + rng.integers(-2, 2, 600)
    fraction = rng.integers(0, 1 << 23, 600, dtype=np.uint32)
    dense = np.where(rng.random(600) < 0.5, 0x7FFFFF ^ (fraction & 0x3), fraction & 0x7FF000)
    b = (np.clip(field, 1, 254).astype(np.uint32) << 23) | np.where(rng.random(600) < 0.5, dense, fraction)
    a = np.where(rng.random(600) < 0.3, a & 0xFFFFF000, a).astype(np.uint32)
    check(a, (b | rng.integers(0, 2, 600, dtype=np.uint32) << 31).astype(np.uint32), latency)


@LATENCIES
@pytest.mark.parametrize("seed", [1])
def test_just_below_the_least_normal_word(seed: int, latency: int) -> None:
    """Factors whose product's 24 bits are all ones at half of 2^-126: rounding reaches it, or not by one bit."""
    rng = np.random.default_rng(seed)
    pairs = []
    for significand in (1 << 23) + rng.integers(1, 1 << 23, 200):
        other = ((1 << 47) - (1 << 23)) // int(significand)
        for near in (other - 1, other, other + 1):
            field = int(rng.integers(2, 120))
            if 1 << 23 <= near < 1 << 24:
                pairs.append((field << 23 | int(significand) & 0x7FFFFF, (127 - field) << 23 | near & 0x7FFFFF))
    a, b = np.array(pairs, dtype=np.uint32).T
    assert {0x00800000, 0} == set(reference(a, b).tolist())
    check(a.copy(), b.copy(), latency)


def test_argument() -> None:
    with raises_exactly(ValueError, "latency must be one of 6, 9, not 7"):
        FP32Multiply(7)
