"""Linear layers as jobs of the accelerator, and an MLP of two with GELU on the host between them.

    policy = golden.policy.calibrate(peaks, "5%")
    fc1 = Linear(name="blocks.0.mlp.fc1", w=w1, bias=b1, policy=policy)
    fc2 = Linear(name="blocks.0.mlp.fc2", w=w2, bias=b2, policy=policy)
    hidden, y = run_mlp(accelerator, arena, fc1, fc2, x)    # each with .result (M, N) and .counters

Weights are packed by the host, once; activations go as FP32, and the accelerator converts them as it reads them.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

import golden
from golden import MXTensor
from golden.dit import gelu
from golden.policy import PrecisionPolicy

from .host import Accelerator, Affine, Arena, policy_job


@dataclass(frozen=True, kw_only=True, eq=False)
class Linear:
    """A linear layer, x @ w + bias.

    Parameters
    ----------
    name
        What it is called, by which the policy knows it.
    w
        Weights (K, N), float32.
    bias
        Of each column, float32 (N,).
    policy
        Formats, outlier channels of x and conversion, which must be as the design has it; the order is in place.
    """

    name: str
    w: np.ndarray
    bias: np.ndarray
    policy: PrecisionPolicy = field(default_factory=PrecisionPolicy)

    @property
    def channels(self) -> tuple[int, ...]:
        """Outlier channels of x, kept in MX9."""
        return self.policy.outliers.get(self.name, ())

    @cached_property
    def packed(self) -> MXTensor:
        """The weights in stored order: the rows of outliers stand in place and again at the end."""
        return self.policy.quantize_w(self.name, self.w)

    def convert(self, x: np.ndarray) -> MXTensor:
        """What the accelerator makes of its input (M, K) as it reads it."""
        return self.policy.quantize_a(self.name, x)

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
        The operands do not fit each other, the policy or a job.
    JobFault, DeviceError
        As `Accelerator.run`.
    """
    (m, k), n = x.shape, layer.w.shape[1]
    a, w, c = arena.store(x), arena.store_mx(layer.packed), arena.result(m, n)
    bias, mask = arena.store_words(layer.bias), arena.store_channels(layer.policy, layer.name, k)
    job = policy_job(layer.policy, layer.name, a, w, c, mask_address=mask, bias=Affine(address=bias), tag=tag)
    counters = accelerator.run(job, timeout)
    run = LinearRun(result=arena.load(c), counters=counters)
    for place in (a, w, c, bias, *([mask] if layer.channels else [])):
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
