"""Linear layers as jobs of the accelerator, and an MLP of two with GELU on the host between them.

    fc1 = Linear(name="fc1", w=w1, bias=b1, channels=golden.select_outliers(x, "5%"))
    fc2 = Linear(name="fc2", w=w2, bias=b2, channels=hidden_outliers)
    hidden, y = run_mlp(accelerator, arena, fc1, fc2, x)    # each with .result (M, N) and .counters

Weights are packed by the host, once; activations go as FP32, and the accelerator converts them as it reads them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

import golden
from golden import MXTensor
from golden.dit import gelu

from .host import Accelerator, Affine, Arena, gemm_job
from .params import ROUNDINGS

OUTLIER_FORMAT = "mx9"


@dataclass(frozen=True, kw_only=True, eq=False)
class Linear:
    """A linear layer, x @ w + bias.

    Parameters
    ----------
    name
        What it is called.
    w
        Weights (K, N), float32.
    bias
        Of each column, float32 (N,).
    channels
        Outlier channels of x, kept in MX9.
    x_format, w_format, outlier_w_format
        Of the other channels of x, of the weights, and of those of their rows that meet outliers.
    options
        Conversion: ``rounding``, ``subnormals`` and ``nonfinite`` of `golden.quantize`, as the design has them.
    """

    name: str
    w: np.ndarray
    bias: np.ndarray
    channels: Sequence[int] | np.ndarray = ()
    x_format: str = "mx6"
    w_format: str = "mx6"
    outlier_w_format: str = "mx6"
    options: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def packed(self) -> MXTensor:
        """The weights in stored order: the rows of outliers stand in place and again at the end."""
        return golden.repeat_outliers(
            self.w, self.channels, self.w_format, self.outlier_w_format, axis=0, **self.options
        )

    def convert(self, x: np.ndarray) -> MXTensor:
        """What the accelerator makes of its input (M, K) as it reads it."""
        return golden.split_outliers(x, self.channels, self.x_format, OUTLIER_FORMAT, axis=1, **self.options)

    def expected(self, x: np.ndarray) -> np.ndarray:
        """The golden model's result (M, N), bit for bit that of the accelerator."""
        return golden.scale_and_bias(golden.gemm(self.convert(x), self.packed), bias=self.bias)


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearRun:
    """What came of a linear layer on the accelerator.

    Parameters
    ----------
    result
        float32 (M, N).
    counters
        Of the job, by the names of `mixdit_hw.host.COUNTERS`.
    """

    result: np.ndarray
    counters: dict[str, int]


def run_linear(
    accelerator: Accelerator, arena: Arena, layer: Linear, x: np.ndarray, *, tag: int = 0, timeout: float = 60.0
) -> LinearRun:
    """Run a layer as one job.

    Parameters
    ----------
    accelerator, arena
        Where; the memory that the job takes is given back.
    layer
        The layer.
    x
        Its input (M, K), float32.
    tag
        Of the job.
    timeout
        Seconds that the job may take.

    Raises
    ------
    ValueError
        The operands do not fit each other or a job.
    JobFault, DeviceError
        As `Accelerator.run`.
    """
    (m, k), n = x.shape, layer.w.shape[1]
    outliers = len(layer.channels)
    a, w, c = arena.store(x), arena.store_mx(layer.packed), arena.result(m, n)
    bias = arena.store_words(layer.bias)
    mask = arena.store_mask(layer.channels, k) if outliers else 0
    job = gemm_job(
        a,
        w,
        c,
        a_format=layer.x_format,
        outliers=outliers,
        mask_address=mask,
        bias=Affine(address=bias),
        rounding=ROUNDINGS.index(layer.options.get("rounding", ROUNDINGS[0])),
        tag=tag,
    )
    counters = accelerator.run(job, timeout)
    run = LinearRun(result=arena.load(c), counters=counters)
    for place in (a, w, c, bias, *([mask] if outliers else [])):
        arena.free(place)
    return run


def run_mlp(
    accelerator: Accelerator, arena: Arena, fc1: Linear, fc2: Linear, x: np.ndarray, *, timeout: float = 60.0
) -> tuple[LinearRun, LinearRun]:
    """Run fc2(GELU(fc1(x))): two jobs, with tags 1 and 2, and GELU on the host, as `golden.dit` has it.

    Parameters and errors are those of `run_linear`.
    """
    hidden = run_linear(accelerator, arena, fc1, x, tag=1, timeout=timeout)
    return hidden, run_linear(accelerator, arena, fc2, gelu(hidden.result), tag=2, timeout=timeout)


def expected_mlp(fc1: Linear, fc2: Linear, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The golden model's results of `run_mlp`."""
    hidden = fc1.expected(x)
    return hidden, fc2.expected(gelu(hidden))


def memory_bytes(fc1: Linear, fc2: Linear, rows: int) -> int:
    """Bytes that are enough for an arena of `run_mlp` with so many rows, its driver's descriptors included."""
    layers = (layer.w.shape for layer in (fc1, fc2))
    # FP32 operands are the largest; W counts as if all its rows were there twice, in MX9.
    return max(4 * rows * (k + n) + 3 * k * n + 4 * n + k for k, n in layers) + (1 << 16)
