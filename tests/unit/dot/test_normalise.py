"""From integer sums to FP32 words against NumPy."""

import numpy as np
import pytest

from mixdit_hw.dot.normalise import Normalise
from mixdit_hw.dot.timing import TIMINGS, Timing
from tests.support.clocked import Clocked


def reference(total: np.ndarray, exponent: np.ndarray, low_bits: int) -> np.ndarray:
    """FP32 words of total * 2^(exponent - 254 - low_bits - 8)."""
    exact = np.ldexp(total.astype(np.float64), exponent - 254 - low_bits - 8)
    exact[np.abs(exact) < 2.0**-126] = 0.0
    with np.errstate(over="ignore"):
        return np.where(exact == 0, 0.0, exact).astype(np.float32).view(np.uint32)


def check(total: np.ndarray, exponent: np.ndarray, low_bits: int, timing: Timing) -> None:
    raw = total % (1 << 16 + low_bits)
    rows = [
        {"high": t >> low_bits, "exponent": e} | ({"low": t % (1 << low_bits)} if low_bits else {})
        for t, e in zip(raw.tolist(), exponent.tolist(), strict=True)
    ]
    out = Clocked(Normalise(timing, low_bits)).run(rows, ["o"], tail=timing.normalise)["o"]
    got, want = np.array(out[timing.normalise :], np.uint32), reference(total, exponent, low_bits)
    bad = np.flatnonzero(got != want)
    assert not len(bad), f"{total[bad[0]]} with {exponent[bad[0]]}: {got[bad[0]]:08x}, not {want[bad[0]]:08x}"


TIMING = pytest.mark.parametrize("timing", TIMINGS.values(), ids=[f"loop{latency}" for latency in TIMINGS])


@TIMING
@pytest.mark.parametrize("low_bits", [0, 8])
def test_powers_of_two(low_bits, timing):
    """Both sides of every power of two, in either sign, at exponents around both ends of FP32's range and in it."""
    top = 1 << 14 + low_bits
    ends = [1 << k for k in range(15 + low_bits)]
    totals = sorted({s * (x + d) for x in ends for d in (-1, 0, 1) for s in (-1, 1) if x + d < top})
    exponents = [0, 1, 254, 508]
    exponents += [e + 254 + low_bits + 8 - k for k in (0, 1, 7, 13, 13 + low_bits) for e in (-126, -127, 127, 128)]
    total, exponent = (x.ravel() for x in np.meshgrid(totals, sorted({e for e in exponents if 0 <= e <= 508})))
    check(total, exponent, low_bits, timing)


@TIMING
@pytest.mark.parametrize("low_bits", [0, 8])
def test_random(low_bits, timing):
    rng = np.random.default_rng(low_bits)
    n = 2000
    width = rng.integers(1, 15 + low_bits, n)
    total = rng.integers(0, 1 << width) * rng.choice([-1, 1], n)
    check(total, rng.integers(0, 509, n), low_bits, timing)


@TIMING
def test_nan(timing):
    """A NaN in any cycle is the canonical one, whatever the sum, and only in that cycle."""
    rows = [{"high": 5, "exponent": 262, "nan": nan} for nan in (0, 1, 0)] + [{"nan": 1}, {"exponent": 510, "nan": 1}]
    out = Clocked(Normalise(timing, 0)).run(rows, ["o"], tail=timing.normalise)["o"][timing.normalise :]
    assert [f"{word:08x}" for word in out] == ["40a00000", "7fc00000", "40a00000", "7fc00000", "7fc00000"]
