"""Statistics: known cases, and how often tests are wrong where the truth is known."""

import math

import numpy as np
import pytest

from mixdit_hw.quality import statistics
from mixdit_hw.quality.features import moments


def test_sign_test():
    assert statistics.sign_test(0, 0) == 1
    assert statistics.sign_test(5, 0) == statistics.sign_test(0, 5) == 2 / 32
    assert statistics.sign_test(1, 3) == 2 * 5 / 16
    assert statistics.sign_test(4, 4) == 1


def test_holm():
    """The example of three tests, by hand: 3 * 0.01, 2 * 0.02, then not below the one before."""
    assert statistics.holm([0.02, 0.01, 0.9]) == pytest.approx([0.04, 0.03, 0.9])
    assert statistics.holm([0.03, 0.01, 0.031]) == pytest.approx([0.06, 0.03, 0.06])
    assert statistics.holm([0.6, 0.7]) == [1.0, 1.0]


def test_rate():
    """Wilson's interval of 9 of 10 is 0.596 to 0.982."""
    found = statistics.rate(np.arange(10) > 0)
    assert found.value == 0.9
    assert found.margin == pytest.approx(0.9 - 0.5958, abs=1e-4)
    assert 0 < statistics.rate(np.ones(1000, bool)).margin < 0.005


def test_rates_of_pairs():
    base, policy = np.ones(100, bool), np.ones(100, bool)
    same = statistics.compare_rates(policy, base, comparisons=3)
    assert (same.value, same.error, same.p) == (0, 0, 1)
    assert same.detectable == pytest.approx(7 / 100)  # 7 images all one way: 2 / 2**7 < 0.05 / 3 < 2 / 2**6
    policy[:12] = False
    worse = statistics.compare_rates(policy, base, comparisons=3)
    assert worse.value == pytest.approx(-0.12)
    assert worse.p == pytest.approx(2 / 2**12)
    assert worse.detectable == pytest.approx((2.394 + 0.8416) * worse.error, rel=1e-3)


def test_mean_over_seeds():
    found = statistics.mean_over_seeds([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.value == 3
    assert found.margin == pytest.approx(2.776 * math.sqrt(2.5 / 5), rel=1e-3)
    assert statistics.mean_over_seeds([1.0, math.inf]) == statistics.Estimate(value=math.inf, margin=0.0)


def test_pooled_sqnr():
    rng = np.random.default_rng(0)
    base = rng.standard_normal((40, 1, 4, 4)).astype(np.float32)
    draws = statistics.draw_resamples(40)
    assert statistics.pooled_sqnr(base, base, draws).value == math.inf
    found = statistics.pooled_sqnr(base, base * np.float32(1.1), draws)
    assert found.value == pytest.approx(20, abs=1e-3)
    assert found.margin < 1e-3


def test_draws():
    draws, swaps = statistics.draw_resamples(30, times=50), statistics.draw_swaps(30)
    assert (len(swaps), len(statistics.draw_swaps(30, comparisons=100))) == (2000, 4000)
    assert draws.shape == (50, 30)
    assert (draws.sum(axis=1) == 30).all()
    assert np.array_equal(draws, statistics.draw_resamples(30, times=50))
    assert 0.45 < swaps.mean() < 0.55


def features(rng: np.random.Generator, count: int = 80) -> np.ndarray:
    return rng.standard_normal((count, 4)) * [3, 1, 1, 0.5]


@pytest.mark.parametrize(("shift", "spread", "told"), [(0.3, 1.0, True), (0.0, 1.1, True), (0.0, 1.0, False)])
def test_separation(shift, spread, told):
    """A shift or a spread of all images is found far below the distance between independent samples; noise is not."""
    rng = np.random.default_rng(1)
    base = features(rng)
    policy = spread * base + shift + 0.05 * rng.standard_normal(base.shape)
    if not told:  # noise that is exchangeable: both are disturbed alike
        middle = base
        base, policy = (middle + 0.2 * rng.standard_normal(middle.shape) for _ in range(2))
    swaps, draws = statistics.draw_swaps(80)[:400], statistics.draw_resamples(80, times=50)
    found = statistics.separate(policy, base, swaps, draws, comparisons=5)
    assert (found.p < 0.01) == told
    assert (found.distance.value > found.threshold) == told
    assert found.detectable > found.threshold


def test_threshold():
    """A distance above it has a p below the level of each of 17 comparisons; the next lower one of chance has not."""
    rng = np.random.default_rng(4)
    base = features(rng)
    policy = base + 0.2 * rng.standard_normal(base.shape)
    swaps, draws = statistics.draw_swaps(80), statistics.draw_resamples(80, times=2)
    found = statistics.separate(policy, base, swaps, draws, comparisons=17)
    chance = [
        statistics.frechet(moments(np.where(s[:, None], base, policy)), moments(np.where(s[:, None], policy, base)))
        for s in swaps
    ]
    above = sum(c > found.threshold for c in chance)
    assert (1 + above) / 2001 < 0.05 / 17 <= (2 + above) / 2001
    few = statistics.separate(policy, base, swaps[:99], draws, comparisons=17)
    assert few.threshold == math.inf


def test_false_alarms_are_as_rare_as_said():
    """Of 200 comparisons where pairs are exchangeable about 5 % have p <= 0.05: 1 to 20 of them, surely."""
    rng = np.random.default_rng(2)
    swaps, draws = statistics.draw_swaps(40)[:99], statistics.draw_resamples(40, times=2)
    wrong = 0
    for _ in range(200):
        middle = features(rng, 40)
        a, b = (middle + 0.3 * rng.standard_normal(middle.shape) for _ in range(2))
        wrong += statistics.separate(a, b, swaps, draws, comparisons=1).p <= 0.05
    assert 1 <= wrong <= 20


def test_change_of_a_distance():
    """Of two sets whose distance from a reference differs by a known shift, found on the same resamples."""
    rng = np.random.default_rng(3)
    reference, base = moments(features(rng, 4000)), features(rng, 400)
    policy = base + np.array([0, 1.0, 0, 0])
    draws = statistics.draw_resamples(400, times=200)
    before, after = (statistics.distances(reference, x, draws) for x in (base, policy))
    found = statistics.compare_distances(after, before, comparisons=1)
    shift = base.mean(axis=0)[1] - reference.mean[1]
    assert found.value == pytest.approx(1 + 2 * shift, abs=1e-6)
    assert 0.02 < found.error < 0.3  # of 2 * mean of 400 normal values: 0.1
    assert found.p < 1e-6
    same = statistics.compare_distances(before, before, comparisons=1)
    assert (same.value, same.p) == (0, 1)
