"""The GPU that a design is compared with: assumed at a share of its peak, bounded by its roofline, or measured.

RTX 3090: 71.2 TFLOPS dense in FP16 with FP32 accumulation, 142.3 with FP16 accumulation, 936 GB/s (NVIDIA, "Ampere
GA102 GPU Architecture"). A multiplication with its addition is two operations.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..workloads import Gemm

UTILISATIONS = (0.4, 0.5, 0.6)
FORMAT = "mixdit-gpu-baseline-1"
_FP16_BYTES = 2
_MAX_MODELS = 100
_MAX_TEXT = 200
_MIN_SECONDS, _MAX_SECONDS = 1e-9, 1e6


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """Peak figures of a GPU.

    Parameters
    ----------
    name
        What it is called.
    flops
        Dense FP16 operations per second with FP32 accumulation.
    fast_flops
        With FP16 accumulation.
    bandwidth
        Bytes per second to and from its memory.
    """

    name: str
    flops: float
    fast_flops: float
    bandwidth: float


RTX_3090 = Gpu(name="RTX 3090", flops=71.2e12, fast_flops=142.3e12, bandwidth=936e9)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What `benchmarks/gpu_baseline.py` measured on some device.

    Parameters
    ----------
    device, software
        Names of the device and of what ran on it.
    seconds
        Of a step's transformer blocks, by model.
    """

    device: str
    software: str
    seconds: dict[str, float]


def assumed_seconds(gemms: Sequence[Gemm], utilisation: float, flops: float) -> float:
    """Seconds of a step at a share of the peak.

    Parameters
    ----------
    gemms
        Products of the step.
    utilisation
        Share of the peak, more than 0 and at most 1.
    flops
        Peak, operations per second.
    """
    if not 0 < utilisation <= 1:
        raise ValueError(f"utilisation must be more than 0 and at most 1, not {utilisation!r}")
    return 2 * sum(gemm.macs for gemm in gemms) / (utilisation * flops)


def roofline_seconds(gemms: Sequence[Gemm], gpu: Gpu, flops: float) -> float:
    """Least seconds of a step: each product at the peak, or at the bandwidth if that is slower.

    Operands and results are read and written once, in FP16; scores of attention never leave the chip (fused attention),
    so that QK^T brings its operands and A V its V and its result.
    """
    total = 0.0
    for gemm in gemms:
        a, w, c = gemm.m * gemm.k, gemm.k * gemm.n, gemm.m * gemm.n
        moved = {"qk": a + w, "av": w + c}.get(gemm.layer, a + w + c)
        total += max(2 * gemm.macs / flops, gemm.instances * moved * _FP16_BYTES / gpu.bandwidth)
    return total


def parse_measured(text: str) -> Measured:
    """Read the JSON that `benchmarks/gpu_baseline.py` writes; keys that are not used here are passed over.

    Raises
    ------
    ValueError
        It is no such JSON; the text names what is wrong.
    """
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("must not nest so deeply") from None
    except ValueError as e:
        raise ValueError(f"must be JSON: {e}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else content
        raise ValueError(f"format must be {FORMAT!r}, not {_shown(found)}")
    names = {}
    for key in ("device", "software"):
        value = content.get(key)
        if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT or not value.isprintable():
            raise ValueError(f"{key} must be a name of 1 to {_MAX_TEXT} characters, not {_shown(value)}")
        names[key] = value
    models = content.get("models")
    if not isinstance(models, dict) or not 0 < len(models) <= _MAX_MODELS:
        raise ValueError(f"models must be an object of 1 to {_MAX_MODELS} models, not {_shown(models)}")
    seconds = {}
    for model, values in models.items():
        value = values.get("step_s") if isinstance(values, dict) else None
        if not isinstance(value, int | float) or isinstance(value, bool) or not _MIN_SECONDS <= value <= _MAX_SECONDS:
            allowed = "a number of seconds, from a billionth to a million"
            raise ValueError(f"step_s of {_shown(model)} must be {allowed}, not {_shown(value)}")
        seconds[model] = float(value)
    return Measured(**names, seconds=seconds)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
