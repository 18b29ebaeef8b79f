"""The software half of the demo: images of a DiT under several precisions, and the operands of some of its products."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from golden import MXTensor, gemm, reference_gemm, sqnr_db
from golden.capture import Peaks, capture
from golden.diffusion import Schedule, sample
from golden.dit import DiT, gelu, matmul
from golden.policy import MXGemm, PrecisionPolicy, calibrate

from ..mlp import Linear
from ..params import ROUNDINGS, Params

GUIDANCE = 2.0
CALIBRATION_SEED = 1  # other noise than that of the samples, which have seed 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """A matrix product captured while sampling.

    Parameters
    ----------
    name
        Its name in the model.
    a, w
        Operands, float32 (M, K) and (K, N).
    """

    name: str
    a: np.ndarray
    w: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """M, K, N."""
        return self.a.shape[0], self.a.shape[1], self.w.shape[1]


@dataclass(frozen=True, kw_only=True, eq=False)
class Precision:
    """A layer in one precision, on the golden model.

    Parameters
    ----------
    a, w
        Operands in stored order.
    result
        float32 (M, N).
    sqnr
        Of the result against the product of the float32 operands in float64, dB.
    """

    a: MXTensor
    w: MXTensor
    result: np.ndarray
    sqnr: float


def make_policies(
    model: DiT, schedule: Schedule, *, outliers: int | str, heads: int | str, steps: int
) -> tuple[dict[str, PrecisionPolicy], Peaks]:
    """MX6, MX6 with outlier channels and heads in MX9, and MX9; and the calibration run that chose the outliers."""
    peaks = Peaks()
    labels = range(model.config.classes)
    sample(model, schedule, labels, steps=steps, guidance=GUIDANCE, seed=CALIBRATION_SEED, gemm=peaks)
    policies = {
        "mx6": PrecisionPolicy(),
        "mixed": calibrate(peaks, outliers, heads, outlier_weight_format="mx9"),
        "mx9": PrecisionPolicy(inlier_format="mx9", weight_format="mx9"),
    }
    return policies, peaks


def sample_images(
    model: DiT, schedule: Schedule, policies: dict[str, PrecisionPolicy], *, steps: int, done: Callable[[str], None]
) -> dict[str, np.ndarray]:
    """One image of each class, in float32 and under each policy, from the same noise; ``done`` is told each name."""
    images = {}
    for name, product in {"float32": matmul, **{name: MXGemm(p) for name, p in policies.items()}}.items():
        labels = range(model.config.classes)
        images[name] = sample(model, schedule, labels, steps=steps, guidance=GUIDANCE, gemm=product)
        done(name)
    return images


def capture_layers(
    model: DiT, schedule: Schedule, names: Sequence[str], *, labels: Sequence[int], steps: int
) -> list[Layer]:
    """The operands of some products in the middle of sampling, in float32."""
    found = capture(model, schedule, labels, names, step=steps // 2, steps=steps, guidance=GUIDANCE)
    return [Layer(name=name, a=found[name][0], w=found[name][1]) for name in names]


def quantize_layer(layer: Layer, policy: PrecisionPolicy) -> Precision:
    """Convert and multiply a layer under a policy."""
    a, w = policy.quantize_a(layer.name, layer.a), policy.quantize_w(layer.name, layer.w)
    result = gemm(a, w)
    return Precision(a=a, w=w, result=result, sqnr=sqnr_db(reference_gemm(layer.a, layer.w), result))


def make_mlp(model: DiT, block: str, policy: PrecisionPolicy, params: Params) -> tuple[Linear, Linear]:
    """The two layers of a block's MLP under a policy, but for weights in one format and a design's own conversion."""
    rounding = ROUNDINGS[0] if params.rounding == "runtime" else params.rounding
    changed = replace(
        policy,
        outlier_weight_format=policy.weight_format,
        rounding=rounding,
        subnormals=params.subnormals,
        nonfinite=params.nonfinite,
    )
    fc1, fc2 = (
        Linear(name=name, w=model.weight(name), bias=model.bias(name), policy=changed)
        for name in (f"{block}.mlp.fc1", f"{block}.mlp.fc2")
    )
    return fc1, fc2


def exact_mlp(fc1: Linear, fc2: Linear, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The results of both layers for float32 operands, all in float64."""
    hidden = reference_gemm(x, fc1.w) + fc1.bias
    return hidden, reference_gemm(gelu(hidden), fc2.w) + fc2.bias
