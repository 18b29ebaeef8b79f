"""What the samples say: every candidate against float32, with intervals and verdicts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from golden.dit import DiTConfig

from ..errors import CheckError
from ..params import Params
from . import statistics
from .candidates import BASE, CONTROL, Candidate, outlier_share
from .features import Classifier, Components, Features, moments
from .run import Sampling, Store, sampled_labels

TOLD, NOT_TOLD, UNDECIDED = "told apart", "not told apart", "undecided"


def summarise(
    candidates: Sequence[Candidate],
    store: Store,
    sampling: Sampling,
    config: DiTConfig,
    params: Params,
    classifier: Classifier | None,
    *,
    advance: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """All figures as plain values.

    Parameters
    ----------
    candidates
        Of which all pieces are there; float32 is among them.
    store, sampling
        The pieces, and how they were made.
    config
        Geometry of the DiT.
    params
        The design whose cycles are told.
    classifier
        Of what the DiT makes; without one, features are principal components, and the images of comparison are
        float32's from other noise.
    advance
        Is told how many candidates are done, and how many there are.

    Returns
    -------
    ``features``, ``reference`` and ``classifier_accuracy``; ``candidates``, a list with all figures of each;
    ``control`` and ``sees``, whether it was told apart; ``best``, the name of the cheapest candidate that our hardware
    runs and that is not told apart, or None; the last two again with ``_other_noise``, for images of other seeds.

    Raises
    ------
    CheckError
        Images are not finite.
    InputError
        A piece is missing or damaged.
    """
    ordered = sorted(candidates, key=lambda c: c.name != BASE)
    labels = sampled_labels(sampling.samples, config.classes)
    if classifier is not None:
        features: Features = classifier
        reference, about = classifier.images, f"all {len(classifier.images)} real digits"
    else:
        reference, about = store.images(ordered[0], reference=True), "float32 samples from other noise"
        _check_finite(reference, BASE)
        features = Components(reference)
    real = moments(features(reference))
    comparisons = len(ordered) - 1
    half = _half(sampling.samples, config.classes)
    draws, half_draws = statistics.draw_resamples(sampling.samples), statistics.draw_resamples(half)
    swaps = statistics.draw_swaps(sampling.samples, comparisons=comparisons)

    found: list[dict[str, Any]] = []
    base: dict[str, Any] = {}
    for number, candidate in enumerate(ordered):
        own = store.images(candidate)
        _check_finite(own, candidate.name)
        vectors = features(own)
        right = None if classifier is None else classifier.classify(own) == labels
        distances = statistics.distances(real, vectors, draws)
        entry: dict[str, Any] = {
            "name": candidate.name,
            "about": candidate.about,
            "cycles": candidate.cycles(config, params),
            "bits": candidate.bits(config),
            "outliers": None if candidate.policy is None else outlier_share(candidate.policy, config),
            "distance": asdict(statistics.distance(distances)),
            "accuracy": None if right is None else asdict(statistics.rate(right)),
        }
        if candidate.name == BASE:
            base = {"vectors": vectors, "right": right, "distances": distances, "images": own}
        else:
            entry |= _against(base, own, vectors, right, distances, swaps, draws, comparisons)
            # Images of the first seeds against float32's of as many others, each pair with the same label.
            others = base["vectors"][half : 2 * half]
            apart = statistics.separate(vectors[:half], others, swaps[:, :half], half_draws, comparisons=comparisons)
            entry["other_noise"] = _separation(apart)
            entry["layers"] = {
                name: _decibels(statistics.mean_over_seeds(v)) for name, v in store.layers(candidate).items()
            }
        found.append(entry)
        if advance is not None:
            advance(number + 1, len(ordered))
    _judge(found)
    return {
        "features": features.name,
        "reference": about,
        "classifier_accuracy": None if classifier is None else classifier.accuracy,
        "control": CONTROL,
        "sees": _sees(found, "verdict"),
        "sees_other_noise": _sees(found, "verdict_other_noise"),
        "candidates": found,
        "best": _best(found, "verdict"),
        "best_other_noise": _best(found, "verdict_other_noise"),
    }


def _check_finite(images: np.ndarray, name: str) -> None:
    if not np.isfinite(images).all():
        raise CheckError(f"images of {name} are not all finite")


def _against(
    base: Mapping[str, Any],
    images: np.ndarray,
    vectors: np.ndarray,
    right: np.ndarray | None,
    distances: tuple[float, np.ndarray],
    swaps: np.ndarray,
    draws: np.ndarray,
    comparisons: int,
) -> dict[str, Any]:
    """Figures of a candidate against float32 on the same seeds."""
    apart = statistics.separate(vectors, base["vectors"], swaps, draws, comparisons=comparisons)
    change = statistics.compare_distances(distances, base["distances"], comparisons=comparisons)
    accuracy = None
    if right is not None:
        accuracy = statistics.compare_rates(right, base["right"], comparisons=comparisons)
    return {
        "sqnr": _decibels(statistics.pooled_sqnr(base["images"], images, draws)),
        "from_float32": _separation(apart),
        "distance_change": _difference(change),
        "accuracy_change": None if accuracy is None else _difference(accuracy),
    }


def _half(samples: int, classes: int) -> int:
    """Half of the images, in whole rounds of all labels where there are so many."""
    return samples // 2 // classes * classes or samples // 2


def _separation(apart: statistics.Separation) -> dict[str, float]:
    return {**asdict(apart.distance), "p": apart.p, "threshold": apart.threshold, "detectable": apart.detectable}


def _decibels(estimate: statistics.Estimate) -> dict[str, float] | None:
    """None where there is no noise."""
    return asdict(estimate) if np.isfinite(estimate.value) else None


def _difference(d: statistics.Difference) -> dict[str, float]:
    return {"value": d.value, "margin": d.margin, "p": d.p, "detectable": d.detectable}


def _judge(found: Sequence[dict[str, Any]]) -> None:
    """Add each candidate's verdicts, each kind after Holm over all candidates."""
    others = [entry for entry in found if entry["name"] != BASE]
    for test, verdict in (("from_float32", "verdict"), ("other_noise", "verdict_other_noise")):
        adjusted = statistics.holm([entry[test]["p"] for entry in others])
        apart = {e["name"]: p < 1 - statistics.CONFIDENCE for e, p in zip(others, adjusted, strict=True)}
        for entry, p in zip(others, adjusted, strict=True):
            entry[test]["p_adjusted"] = p
            entry[verdict] = UNDECIDED if not apart[CONTROL] else TOLD if apart[entry["name"]] else NOT_TOLD


def _sees(found: Sequence[dict[str, Any]], verdict: str) -> bool:
    return any(entry.get(verdict) == TOLD for entry in found if entry["name"] == CONTROL)


def _best(found: Sequence[dict[str, Any]], verdict: str) -> str | None:
    able = [e for e in found if e.get(verdict) == NOT_TOLD and e["cycles"] is not None]
    return min(able, key=lambda e: e["cycles"])["name"] if able else None
