"""Calibration: the peaks of a DiT's activations while it runs in float, and the policy that they give."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from golden.capture import Peaks
from golden.policy import PrecisionPolicy, calibrate

from .layouts import Layer, find_sites
from .model import restore
from .modules import PlainProducts, replace_layer

_ABS = 0x7FFFFFFF


class _Maximum:
    """Largest magnitude of each channel over all tensors that it was shown, on their device."""

    def __init__(self) -> None:
        self._words: Tensor | None = None

    def update(self, x: Tensor) -> None:
        """Take note of a tensor whose last axis has the channels; as in `golden.outlier`, NaN is above Inf."""
        words = x.detach().float().contiguous().view(torch.int32).reshape(-1, x.shape[-1])
        peaks = (words & _ABS).amax(0)
        self._words = peaks if self._words is None else torch.maximum(self._words.to(peaks.device), peaks)

    def peaks(self) -> np.ndarray | None:
        """float32 (K,); None where nothing was shown."""
        return None if self._words is None else self._words.cpu().numpy().view(np.float32)


class _WatchedProducts(PlainProducts):
    """Products whose operands' peaks by head are noted."""

    def __init__(self) -> None:
        super().__init__()
        self.maximum = _Maximum()

    def forward(self, product: str, a: Tensor, w: Tensor) -> Tensor:
        """As of `PlainProducts`."""
        for x in (a, w):
            self.maximum.update(x.transpose(1, 3))
        return super().forward(product, a, w)


@contextmanager
def record_peaks(model: nn.Module) -> Iterator[Peaks]:
    """Watch a DiT, in place, while it runs in float; what is yielded holds the peaks after the block has ended.

    ``golden.policy.calibrate`` makes a policy of them. Scores and softmax of the attention are float32 meanwhile.

    Raises
    ------
    TypeError, ValueError
        As `quantize_model` does for the model.
    """
    sites = find_sites(model)
    peaks = Peaks(lambda name, a, w: a)  # nothing is multiplied: it is shown peaks only
    channels: dict[str, _Maximum] = {layer.name: _Maximum() for layer in sites.layers}
    heads = {attention.name: _WatchedProducts() for attention in sites.attentions}
    hooks: list[Any] = []
    try:
        for layer in sites.layers:
            hooks.append(layer.module.register_forward_pre_hook(_watcher(layer, channels[layer.name])))
        for attention in sites.attentions:
            replace_layer(attention.module, attention.replacement, heads[attention.name])
        yield peaks
    finally:
        for hook in hooks:
            hook.remove()
        restore(model)
    none = np.zeros((1, 1), np.float32)
    for name, maximum in channels.items():
        found = maximum.peaks()
        if found is not None:
            peaks(name, found[np.newaxis], none)
    for name, watched in heads.items():
        found = watched.maximum.peaks()
        for head, peak in enumerate([] if found is None else found):
            peaks(f"{name}.qk.{head}", np.full((1, 1), peak, np.float32), none)


def _watcher(layer: Layer, maximum: _Maximum) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0]
        if isinstance(module, nn.Conv2d):
            p, q = module.kernel_size
            x = x.unflatten(3, (-1, q)).unflatten(2, (-1, p)).permute(0, 2, 4, 1, 3, 5).flatten(3)
        maximum.update(x)

    return hook


def calibrate_model(
    model: nn.Module, run: Callable[[], object], amount: int | str, heads: int | str = 0, **settings: Any
) -> PrecisionPolicy:
    """Choose a policy's outliers by what a DiT meets in a run in float.

    Parameters
    ----------
    model
        As for `quantize_model`, not quantized.
    run
        Runs whatever uses the model, over all timesteps.
    amount, heads, settings
        As for `golden.policy.calibrate`.

    Raises
    ------
    TypeError
        As `golden.policy.calibrate`, and for the model as `quantize_model`.
    ValueError
        Likewise; or the run did not use the model.
    """
    with record_peaks(model) as peaks:
        run()
    if not peaks.channels:
        raise ValueError("run must use the model, which was not called")
    return calibrate(peaks, amount, heads, **settings)
