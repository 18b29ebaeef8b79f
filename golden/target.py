"""Calibration to an error target: the fewest outliers whose products are as exact as asked for."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .checks import check_integer
from .dit import HEAD_PRODUCT, Gemm, matmul
from .exact import reference_gemm, sqnr_db
from .gemm import gemm as multiply
from .outlier import channel_magnitudes, top_channels
from .policy import EXEMPT, PrecisionPolicy, is_exempt


class Samples:
    """A `Gemm` that keeps a sample of the operands it meets, on which `meet_target` tries policies.

    Parameters
    ----------
    rows
        Rows of A to keep of each call to a linear layer, and twice as many of a head product's first image, both evenly
        spread; W is kept whole.
    calls
        Calls of a product to keep at most, an even number: with more, every second one of those kept is dropped.
    exempt
        Patterns of products of which nothing is kept.
    gemm
        Does the work.

    Attributes
    ----------
    layers
        For each linear layer, by name: the kept rows of A, a list of float32 (rows, K), and the weights (K, N).
    heads
        For each head product, by name: pairs of float32 (M, K) and (K, N), one for each call.
    """

    def __init__(self, rows: int = 32, calls: int = 16, *, exempt: Sequence[str] = EXEMPT, gemm: Gemm = matmul) -> None:
        if check_integer("rows", rows) < 1:
            raise ValueError(f"rows must be at least 1, not {rows}")
        if check_integer("calls", calls) < 2 or calls % 2:
            raise ValueError(f"calls must be even and at least 2, not {calls}")
        self.layers: dict[str, tuple[list[np.ndarray], np.ndarray]] = {}
        self.heads: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        self._rows = rows
        self._calls = calls
        self._exempt = tuple(exempt)
        self._gemm = gemm
        self._seen: dict[str, int] = {}

    def __call__(self, name: str, a: np.ndarray, w: np.ndarray, /) -> np.ndarray:
        """Multiply, and keep a sample."""
        if not is_exempt(name, self._exempt):
            if HEAD_PRODUCT.fullmatch(name):
                pair = (_spread(a[0], 2 * self._rows), np.array(w[0], order="C"))
                self._keep(name, self.heads.setdefault(name, []), pair)
            else:
                self._keep(name, self.layers.setdefault(name, ([], w))[0], _spread(a, self._rows))
        return self._gemm(name, a, w)

    def _keep(self, name: str, kept: list[Any], sample: Any) -> None:
        """Keep one call in 1, 2, 4 and so on: so many that the list stays within its length."""
        seen = self._seen.get(name, 0)
        self._seen[name] = seen + 1
        stride = 1
        while seen >= stride * self._calls:
            stride *= 2
        if seen == stride * self._calls // 2 and stride > 1:
            kept[:] = kept[::2]
        if seen % stride == 0:
            kept.append(sample)


def _spread(a: np.ndarray, count: int) -> np.ndarray:
    """So many rows of a (M, K), evenly spread, or all."""
    return a[np.linspace(0, len(a) - 1, min(count, len(a))).round().astype(int)]


def meet_target(samples: Samples, target: float, *, multiple: int = 16, **settings: Any) -> PrecisionPolicy:
    """The policy with the fewest outlier channels and MX9 heads by which every sampled product meets a target.

    Channels are ranked as `calibrate` does, by their largest magnitude in the sample. A layer's number of them is found
    by bisection: more channels in MX9 give a smaller error, but for the luck of single roundings. A head is in MX9
    where one of its two products misses the target otherwise. A layer that cannot meet it gets all its channels, and a
    head that cannot is in MX9: `product_sqnr` tells.

    Parameters
    ----------
    samples
        Hook of a run in float32 over all timesteps.
    target
        Least signal to quantisation noise of a product, dB, against its float32 operands in float64.
    multiple
        Channels are chosen by so many: 16 fill a block.
    settings
        Other fields of the policy.

    Raises
    ------
    TypeError, ValueError
        As `PrecisionPolicy`, or for a target that is no finite number, or a multiple below 1.
    """
    if not math.isfinite(target):
        raise ValueError(f"target must be a finite number of dB, not {target!r}")
    if check_integer("multiple", multiple) < 1:
        raise ValueError(f"multiple must be at least 1, not {multiple}")
    policy = PrecisionPolicy(**settings)
    outliers = {
        name: _fewest_channels(policy, name, np.concatenate(rows), w, target, multiple)
        for name, (rows, w) in samples.layers.items()
        if not policy.is_exempt(name)
    }
    wide: dict[str, set[int]] = {}
    for name, pairs in samples.heads.items():
        match = HEAD_PRODUCT.fullmatch(name)
        assert match is not None
        if not policy.is_exempt(name):
            heads = wide.setdefault(match["layer"], set())
            if product_sqnr(policy, name, pairs) < target:
                heads.add(int(match["head"]))
    return replace(policy, outliers=outliers, heads={layer: tuple(sorted(heads)) for layer, heads in wide.items()})


def product_sqnr(policy: PrecisionPolicy, name: str, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """Signal to quantisation noise of a product under a policy, dB, over all pairs of operands (M, K) and (K, N)."""
    exact = [reference_gemm(a, w).ravel() for a, w in pairs]
    found = [multiply(policy.quantize_a(name, a), policy.quantize_w(name, w)).ravel() for a, w in pairs]
    return sqnr_db(np.concatenate(exact), np.concatenate(found))


def _fewest_channels(
    policy: PrecisionPolicy, name: str, a: np.ndarray, w: np.ndarray, target: float, multiple: int
) -> tuple[int, ...]:
    """The fewest outlier channels by which a layer meets the target; all where it cannot."""
    channels, magnitudes = a.shape[1], channel_magnitudes(a)

    def chosen(steps: int) -> tuple[int, ...]:
        return tuple(top_channels(magnitudes, min(steps * multiple, channels)).tolist())

    low, high = 0, -(-channels // multiple)  # the answer is one of these or between them
    while low < high:
        middle = (low + high) // 2
        if product_sqnr(replace(policy, outliers={name: chosen(middle)}), name, [(a, w)]) >= target:
            high = middle
        else:
            low = middle + 1
    return chosen(low)
