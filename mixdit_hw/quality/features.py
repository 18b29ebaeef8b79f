"""Features of images and the Fréchet distance between their statistics.

Source of the distance: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule" (2017), equation 6, there with
the features of an Inception network; here with those of a classifier of handwritten digits, or with principal
components.
"""

import os
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from golden.dit import gelu

from ..checkpoint import read_checkpoint
from ..errors import InputError

CLASSIFIER = Path(__file__).resolve().parents[2] / "examples" / "digits_features.safetensors"
_LAYERS = 3


class Features(Protocol):
    """Makes vectors of images."""

    name: str

    def __call__(self, images: np.ndarray, /) -> np.ndarray:
        """Images (B, C, S, S) to float64 (B, D)."""
        ...


class Classifier:
    """The classifier of `examples/train_classifier.py`, with the digits it knows.

    Parameters
    ----------
    path
        A safetensors file with ``layers.N.weight`` and ``.bias`` for N from 0 to 2, ``images`` (B, 1, 8, 8) and
        ``labels`` (B,).

    Attributes
    ----------
    images, labels
        Real digits, float32 in [-1, 1], and what they are.
    accuracy
        Of digits that it had not learned from, as the file says.

    Raises
    ------
    InputError
        The file cannot be read or lacks something.
    """

    name = "the 32 values before the last layer of a classifier of the digits"

    def __init__(self, path: str | os.PathLike[str] = CLASSIFIER) -> None:
        tensors, metadata = read_checkpoint(path)
        wanted = [f"layers.{n}.{part}" for n in range(_LAYERS) for part in ("weight", "bias")]
        for key in (*wanted, "images", "labels"):
            if key not in tensors:
                raise InputError(f"{path} must hold {key!r}, which is missing")
        self._layers = [(tensors[f"layers.{n}.weight"], tensors[f"layers.{n}.bias"]) for n in range(_LAYERS)]
        self.images, self.labels = tensors["images"], tensors["labels"].astype(np.int64)
        self.accuracy = metadata.get("held_out_accuracy", "unknown")
        shapes = [w.shape for w, _ in self._layers]
        pixels = self.images[0].size
        if [s[1] for s in shapes] != [pixels, *(s[0] for s in shapes[:-1])] or len(self.labels) != len(self.images):
            raise InputError(f"{path}: layers must fit each other and the images, not be of shapes {shapes}")

    def __call__(self, images: np.ndarray, /) -> np.ndarray:
        """Features of images, which are clipped to [-1, 1] as a picture would be."""
        x = np.clip(images, -1, 1).reshape(len(images), -1).astype(np.float32)
        for weight, bias in self._layers[:-1]:
            x = gelu(x @ weight.T + bias)
        return x.astype(np.float64)

    def classify(self, images: np.ndarray) -> np.ndarray:
        """The digits seen, int64 (B,)."""
        weight, bias = self._layers[-1]
        return (self(images) @ weight.T + bias).argmax(axis=1)


class Components:
    """The first principal components of reference images, where there is no classifier.

    Parameters
    ----------
    reference
        Images (B, C, S, S).
    count
        Components, at most B - 1 and the values of an image.
    """

    def __init__(self, reference: np.ndarray, count: int = 16) -> None:
        flat = reference.reshape(len(reference), -1).astype(np.float64)
        self._mean = flat.mean(axis=0)
        _, _, rows = np.linalg.svd(flat - self._mean, full_matrices=False)
        self._rows = rows[: min(count, len(reference) - 1)]
        self.name = f"the first {len(self._rows)} principal components of float32 samples from other noise"

    def __call__(self, images: np.ndarray, /) -> np.ndarray:
        """Coordinates of images."""
        return (images.reshape(len(images), -1) - self._mean) @ self._rows.T


class Moments(NamedTuple):
    """Mean (D,) and covariance (D, D) of features, float64."""

    mean: np.ndarray
    covariance: np.ndarray


def moments(features: np.ndarray, counts: np.ndarray | None = None) -> Moments:
    """Of features (B, D), of which each counts so often, (B,), by default once; B is at least 2."""
    counts = np.ones(len(features)) if counts is None else counts
    total = counts.sum()
    mean = counts @ features / total
    centred = features - mean
    return Moments(mean, (centred * counts[:, np.newaxis]).T @ centred / (total - 1))


def frechet(x: Moments, y: Moments) -> float:
    """Fréchet distance of two normal distributions, |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))."""
    values, vectors = np.linalg.eigh(x.covariance)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    # S1 S2 has the eigenvalues of the symmetric root(S1) S2 root(S1).
    common = np.linalg.eigvalsh(root @ y.covariance @ root)
    shift = x.mean - y.mean
    trace = np.trace(x.covariance) + np.trace(y.covariance) - 2 * np.sqrt(np.maximum(common, 0)).sum()
    return max(0.0, float(shift @ shift + trace))  # which rounding can make negative
