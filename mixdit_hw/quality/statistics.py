"""Statistics of paired samples: every policy has images from the same noise and labels as float32.

An image's seed is its own, so images are what is drawn at random, and intervals over seeds are intervals over images.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from .features import Moments, frechet, moments

CONFIDENCE = 0.95
POWER = 0.8  # with which the smallest difference that could have been detected would have been
RESAMPLES = 1000
SWAPS = 2000  # at least, and enough for the level of each of many comparisons
_RESAMPLE_SEED, _SWAP_SEED = 1, 2
# Student's t, two-sided 95 %, by degrees of freedom: of means over few seeds.
STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure with its 95 % confidence interval, `value` - `margin` to `value` + `margin`."""

    value: float
    margin: float


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How much a policy's figure is above float32's on the same seeds.

    Parameters
    ----------
    value, error
        The difference and its standard error.
    p
        Probability of a difference this large, up or down, were there none.
    detectable
        The smallest true difference that the test would have found 4 times out of 5, at the level of all comparisons
        together.
    """

    value: float
    error: float
    p: float
    detectable: float

    @property
    def margin(self) -> float:
        """Half of the 95 % confidence interval."""
        return _quantile(1 - CONFIDENCE) * self.error


@dataclass(frozen=True, kw_only=True)
class Separation:
    """Whether a policy's images can be told from float32's of the same seeds.

    Parameters
    ----------
    distance
        Fréchet distance between the two sets.
    p
        Probability of one this large, were each pair's two images exchangeable.
    threshold
        A measured distance above it is significant among all comparisons, whatever the others are (Bonferroni);
        infinite where there are too few swaps.
    detectable
        A true distance whose measurement, with the bootstrap's error, is above the threshold 4 times out of 5.
    """

    distance: Estimate
    p: float
    threshold: float
    detectable: float


def draw_resamples(count: int, *, times: int | None = None) -> np.ndarray:
    """How often each of ``count`` images is drawn in each bootstrap resample, float64 (times, count)."""
    times = RESAMPLES if times is None else times
    generator = np.random.default_rng([_RESAMPLE_SEED, count])
    draws = [np.bincount(generator.integers(0, count, count), minlength=count) for _ in range(times)]
    return np.stack(draws).astype(np.float64)


def draw_swaps(count: int, *, comparisons: int = 1) -> np.ndarray:
    """Which of ``count`` pairs are exchanged, boolean (times, count)."""
    times = max(SWAPS, 40 * comparisons)
    return np.random.default_rng([_SWAP_SEED, count]).random((times, count)) < 0.5


def separate(
    policy: np.ndarray, base: np.ndarray, swaps: np.ndarray, draws: np.ndarray, *, comparisons: int
) -> Separation:
    """Paired permutation test of two sets of features (B, D), with their Fréchet distance as the statistic.

    The null hypothesis is that the two images of a seed are exchangeable: then the distance between the sets is one
    like those between sets with pairs exchanged at random, whatever the images' distribution.
    """
    found = frechet(moments(policy), moments(base))
    chance = np.empty(len(swaps))
    for i, swap in enumerate(swaps[:, :, np.newaxis]):
        chance[i] = frechet(moments(np.where(swap, base, policy)), moments(np.where(swap, policy, base)))
    resampled = np.array([frechet(moments(policy, counts), moments(base, counts)) for counts in draws])
    # Above the threshold so few of chance's distances remain that p is below the level.
    above = math.ceil((1 - CONFIDENCE) / comparisons * (1 + len(chance))) - 2
    threshold = float(np.sort(chance)[-1 - above]) if above >= 0 else math.inf
    return Separation(
        distance=_with_margin(found, resampled),
        p=(1 + int((chance >= found).sum())) / (1 + len(chance)),
        threshold=threshold,
        detectable=threshold + NormalDist().inv_cdf(POWER) * float(np.std(resampled, ddof=1)),
    )


def distances(reference: Moments, features: np.ndarray, draws: np.ndarray) -> tuple[float, np.ndarray]:
    """Fréchet distance of features (B, D) from a reference, and of each of the resamples (times,)."""
    found = frechet(reference, moments(features))
    return found, np.array([frechet(reference, moments(features, counts)) for counts in draws])


def compare_distances(
    policy: tuple[float, np.ndarray], base: tuple[float, np.ndarray], *, comparisons: int
) -> Difference:
    """Difference of two distances whose resamples draw the same images.

    The bootstrap's standard error and a normal distribution: resampling raises both distances alike, so that their
    difference is much less biased by it than they are.
    """
    value, error = policy[0] - base[0], float(np.std(policy[1] - base[1], ddof=1))
    p = 1.0 if value == 0 else 2 * NormalDist().cdf(-abs(value) / error) if error else 0.0
    return Difference(value=value, error=error, p=p, detectable=_detectable(error, comparisons))


def compare_rates(policy: np.ndarray, base: np.ndarray, *, comparisons: int) -> Difference:
    """Difference of two shares of right images, boolean (B,), by McNemar's exact test of those that differ."""
    change = policy.astype(np.float64) - base
    worse, better = int((change < 0).sum()), int((change > 0).sum())
    error = float(np.std(change, ddof=1) / math.sqrt(len(change)))
    # So many images must differ, all one way, before the test can find anything.
    fewest = math.ceil(1 - math.log2((1 - CONFIDENCE) / comparisons))
    return Difference(
        value=float(change.mean()),
        error=error,
        p=sign_test(worse, better),
        detectable=max(_detectable(error, comparisons), fewest / len(change)),
    )


def sign_test(worse: int, better: int) -> float:
    """Probability that of so many fair tosses at least as many are alike, two-sided."""
    total, fewer = worse + better, min(worse, better)
    tail = sum(math.comb(total, k) for k in range(fewer + 1)) / 2**total
    return min(1.0, 2 * tail)


def rate(right: np.ndarray) -> Estimate:
    """Share of right images with the wider side of its interval after Wilson (1927) as margin."""
    n, share, z = len(right), float(right.mean()), _quantile(1 - CONFIDENCE)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Estimate(value=share, margin=max(abs(centre - half - share), abs(centre + half - share)))


def distance(found: tuple[float, np.ndarray]) -> Estimate:
    """A Fréchet distance with the bootstrap's interval."""
    return _with_margin(*found)


def pooled_sqnr(base: np.ndarray, images: np.ndarray, draws: np.ndarray) -> Estimate:
    """Signal to noise of images (B, ...) against float32's, dB, all images together; with the bootstrap's interval."""
    exact = base.reshape(len(base), -1).astype(np.float64)
    signal = np.sum(exact**2, axis=1)
    noise = np.sum((images.reshape(len(images), -1) - exact) ** 2, axis=1)
    if not noise.any():
        return Estimate(value=math.inf, margin=0.0)
    value = 10 * math.log10(signal.sum() / noise.sum())
    noises = draws @ noise
    drawn = noises > 0  # some may have drawn only images without noise
    return _with_margin(value, 10 * np.log10((draws @ signal)[drawn] / noises[drawn]))


def mean_over_seeds(values: Sequence[float]) -> Estimate:
    """Mean of figures of a few seeds, with Student's interval; infinite where one of them is."""
    count = len(values)
    if not np.isfinite(values).all():
        return Estimate(value=math.inf, margin=0.0)
    error = float(np.std(values, ddof=1)) / math.sqrt(count) if count > 1 else math.inf
    return Estimate(value=float(np.mean(values)), margin=STUDENT.get(count - 1, 1.96) * error)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values of several tests adjusted so that all together keep one level, after Holm (1979)."""
    order = np.argsort(p_values, kind="stable")
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, p_values[i] * (len(p_values) - rank)))
        adjusted[i] = highest
    return adjusted


def _with_margin(value: float, resampled: np.ndarray) -> Estimate:
    return Estimate(value=value, margin=_quantile(1 - CONFIDENCE) * float(np.std(resampled, ddof=1)))


def _quantile(level: float) -> float:
    """Of the normal distribution, two-sided."""
    return NormalDist().inv_cdf(1 - level / 2)


def _detectable(error: float, comparisons: int) -> float:
    return (_quantile((1 - CONFIDENCE) / comparisons) + NormalDist().inv_cdf(POWER)) * error
