"""Hooks that watch a DiT's matrix products: the operands of some, or the peaks of all."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .diffusion import Schedule, denoise
from .dit import HEAD_PRODUCT, DiT, Gemm, matmul
from .outlier import channel_magnitudes


class Capture:
    """A `Gemm` that keeps the operands of the products named, from their first call while it is enabled.

    Parameters
    ----------
    names
        Products to keep.
    gemm
        Does the work.

    Attributes
    ----------
    enabled
        Whether operands are being kept.
    operands
        Copies of ``a`` (M, K) and ``w`` (K, N), by name; of a head product, those of the first image.
    """

    def __init__(self, names: Iterable[str], gemm: Gemm = matmul) -> None:
        self.enabled = True
        self.operands: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._names = frozenset(names)
        self._gemm = gemm

    def __call__(self, name: str, a: np.ndarray, w: np.ndarray, /) -> np.ndarray:
        """Multiply, and keep the operands if they are wanted."""
        if self.enabled and name in self._names and name not in self.operands:
            first = (a[0], w[0]) if a.ndim == 3 else (a, w)
            self.operands[name] = (np.array(first[0], order="C"), np.array(first[1], order="C"))
        return self._gemm(name, a, w)


def capture(
    model: DiT,
    schedule: Schedule,
    labels: Sequence[int],
    names: Sequence[str],
    *,
    step: int,
    steps: int = 50,
    gemm: Gemm = matmul,
    **options: Any,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Sample up to one step and return the operands of some products in it.

    Parameters
    ----------
    model, schedule, labels, steps, gemm, options
        As for `diffusion.denoise`.
    names
        Products whose operands are wanted; of a head product, those of the first image.
    step
        Number of the step, 0 to ``steps`` - 1.

    Returns
    -------
    ``a`` (M, K) and ``w`` (K, N) by name, float32; in a linear layer, M is all tokens of all images evaluated.

    Raises
    ------
    ValueError
        The step is out of range, or the model has no product of a name.
    """
    if not 0 <= step < steps:
        raise ValueError(f"step must be 0 to {steps - 1}, not {step}")
    hook = Capture(names, gemm)
    hook.enabled = step == 0
    for done, _ in enumerate(denoise(model, schedule, labels, steps=steps, gemm=hook, **options)):
        if done == step:
            break
        hook.enabled = done + 1 == step
    for name in names:
        if name not in hook.operands:
            raise ValueError(f"name must be that of a product of the model, not {name!r}")
    return hook.operands


class Peaks:
    """A `Gemm` that keeps the largest magnitudes it meets, from which outliers are chosen.

    Parameters
    ----------
    gemm
        Does the work.

    Attributes
    ----------
    channels
        For each linear layer, by name: max |a[:, k]| over all calls, float32 (K,).
    """

    def __init__(self, gemm: Gemm = matmul) -> None:
        self.channels: dict[str, np.ndarray] = {}
        self._heads: dict[str, dict[int, np.ndarray]] = {}
        self._gemm = gemm

    @property
    def heads(self) -> dict[str, np.ndarray]:
        """For each attention (``blocks.N.attn``): the largest magnitude in each head's operands, float32 (H,)."""
        return {layer: np.concatenate([peaks[head] for head in sorted(peaks)]) for layer, peaks in self._heads.items()}

    def __call__(self, name: str, a: np.ndarray, w: np.ndarray, /) -> np.ndarray:
        """Multiply, and take note of the peaks."""
        match = HEAD_PRODUCT.fullmatch(name)
        if match is None:
            _raise_peak(self.channels, name, channel_magnitudes(a))
        else:
            peaks = self._heads.setdefault(match["layer"], {})
            _raise_peak(peaks, int(match["head"]), channel_magnitudes(a.reshape(-1, 1)))
            _raise_peak(peaks, int(match["head"]), channel_magnitudes(w.reshape(-1, 1)))
        return self._gemm(name, a, w)


def _raise_peak(peaks: dict[Any, np.ndarray], key: str | int, peak: np.ndarray) -> None:
    peaks[key] = np.maximum(peak, peaks[key]) if key in peaks else peak
