"""Exact emulation of the accelerator's products in PyTorch, for whole DiTs on a GPU (docs/pytorch.md).

`quantize_model` makes the products of a DiT those of a policy, bit for bit as `golden.gemm` computes them; `restore`
undoes it. `calibrate_model` chooses a policy's outliers while the model runs in float. PyTorch is the extra ``torch``.
"""

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as e:
    if e.name != "torch":
        raise
    raise ImportError("mixdit_hw.torch needs PyTorch: pip install mixdit-hw[torch]") from None

from .convert import quantize
from .model import Quantized, quantize_model, restore
from .peaks import calibrate_model, record_peaks
from .product import matmul

__all__ = ["Quantized", "calibrate_model", "matmul", "quantize", "quantize_model", "record_peaks", "restore"]
