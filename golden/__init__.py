"""Bit-exact NumPy model of MX9, MX6 and MX4 arithmetic: what the hardware must compute (docs/numerics.md).

Conversion is `quantize`; its result, an `MXTensor`, gives values (`dequantize`), bytes (`pack`, `unpack`) and fields.
`gemm` multiplies two of them. `split_outliers` and `repeat_outliers` put A and W in the stored order of a
mixed-precision multiplication. `scale_and_bias` and `to_bfloat16` are what an output stage does to results.
`golden.exact` holds slow references.
"""

from .codec import quantize
from .exact import reference_gemm, sqnr_db, trace
from .formats import FORMATS, MX4, MX6, MX9, Format, get_format
from .gemm import gemm, prepare
from .outlier import repeat_outliers, select_heads, select_outliers, split_outliers
from .tensor import MXTensor, Segment, concat, unpack
from .vector import from_bfloat16, scale_and_bias, to_bfloat16

__all__ = [
    "FORMATS",
    "MX4",
    "MX6",
    "MX9",
    "Format",
    "MXTensor",
    "Segment",
    "concat",
    "from_bfloat16",
    "gemm",
    "get_format",
    "prepare",
    "quantize",
    "reference_gemm",
    "repeat_outliers",
    "scale_and_bias",
    "select_heads",
    "select_outliers",
    "split_outliers",
    "sqnr_db",
    "to_bfloat16",
    "trace",
    "unpack",
]
