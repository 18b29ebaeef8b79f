"""The hardware half of the demo: captured layers on the emitted Verilog, compared with the golden model."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from golden import sqnr_db

from ..errors import CheckError
from ..mlp import Linear, LinearRun, expected_mlp
from ..params import Params
from ..sim.compare import compare, require_equal
from ..sim.mlp import simulate_mlp
from ..sim.run import Simulator, simulate_gemm
from ..sim.system import System
from .study import Layer, Precision, exact_mlp

# What becomes of a job's cycles, each named as the report has it.
PARTS = {
    "passes": "engines busy",
    "wait_a": "wait for A",
    "wait_w": "wait for W",
    "wait_result": "wait for room for results",
    "wait_drain": "wait for the results before",
    "no_tile": "no tile at hand",
    "ends": "start and end",
}


@dataclass(frozen=True, kw_only=True)
class LayerRun:
    """A layer in one precision on the hardware, every element equal to golden's.

    Parameters
    ----------
    layer, precision
        What was multiplied.
    m, k, n
        Its shape.
    sqnr
        Of the result against float32 operands, dB.
    elements, equal
        Outputs, and how many of them equal golden's bit for bit.
    cycles
        From the end of reset to the last result.
    seconds
        That the simulation took.
    utilisation
        See `SimulatedGemm`.
    """

    layer: str
    precision: str
    m: int
    k: int
    n: int
    sqnr: float
    elements: int
    equal: int
    cycles: int
    seconds: float
    utilisation: float


def run_layer(
    layer: Layer,
    name: str,
    precision: Precision,
    simulator: Simulator,
    progress: Callable[[int, int], None] | None = None,
) -> LayerRun:
    """Multiply a layer on the hardware; CheckError unless all elements are equal, see `require_equal`."""
    run = simulate_gemm(precision.a, precision.w, simulator, progress=progress)
    what = f"{layer.name} in {name}"
    equal = require_equal(precision.a, precision.w, run.result, precision.result, simulator, what=what)
    m, k, n = layer.shape
    return LayerRun(
        layer=layer.name,
        precision=name,
        m=m,
        k=k,
        n=n,
        sqnr=precision.sqnr,
        elements=run.result.size,
        equal=equal,
        cycles=run.cycles,
        seconds=run.seconds,
        utilisation=run.utilisation,
    )


@dataclass(frozen=True, kw_only=True)
class JobRun:
    """A layer as a job of the accelerator, every element equal to golden's.

    Parameters
    ----------
    layer
        What was computed.
    m, k, n
        Its shape.
    outliers
        Channels in MX9.
    sqnr
        Of the result against that of float32 operands, dB; behind an earlier job, with that one's error.
    elements, equal
        As in `LayerRun`.
    cycles
        From the start of the descriptor's fetch to the job's end.
    parts
        Of these cycles, by the names of `PARTS`.
    read_beats, write_beats, read_bytes, write_bytes
        On the memory bus; every beat counts as full.
    read_wait, write_wait
        Cycles in which reads were under way and no beat came, and the same of writes.
    """

    layer: str
    m: int
    k: int
    n: int
    outliers: int
    sqnr: float
    elements: int
    equal: int
    cycles: int
    parts: dict[str, int]
    read_beats: int
    write_beats: int
    read_bytes: int
    write_bytes: int
    read_wait: int
    write_wait: int

    @property
    def busy(self) -> float:
        """Share of the cycles in which digit passes entered the array."""
        return self.parts["passes"] / self.cycles


@dataclass(frozen=True, kw_only=True)
class MLPRun:
    """An MLP as two jobs.

    Parameters
    ----------
    jobs
        The two.
    cycles, seconds
        Of the simulation, the host's accesses included.
    """

    jobs: list[JobRun]
    cycles: int
    seconds: float


def run_mlp(
    fc1: Linear, fc2: Linear, x: np.ndarray, system: System, progress: Callable[[int, int], None] | None = None
) -> MLPRun:
    """Run fc2(GELU(fc1(x))) on the accelerator; CheckError with the first element that is not golden's."""
    run = simulate_mlp(system, fc1, fc2, x, progress=progress)
    jobs = [
        _check_job(layer, job, expected, exact, system.params)
        for layer, job, expected, exact in zip(
            (fc1, fc2), (run.fc1, run.fc2), expected_mlp(fc1, fc2, x), exact_mlp(fc1, fc2, x), strict=True
        )
    ]
    return MLPRun(jobs=jobs, cycles=run.cycles, seconds=run.seconds)


def _check_job(layer: Linear, run: LinearRun, expected: np.ndarray, exact: np.ndarray, params: Params) -> JobRun:
    difference = compare(run.result, expected)
    if difference is not None:
        raise CheckError(f"{layer.name} as a job: {difference}")
    counters, beat = run.counters, params.axi_width // 8
    (m, n), k = expected.shape, len(layer.w)
    return JobRun(
        layer=layer.name,
        m=m,
        k=k,
        n=n,
        outliers=len(layer.channels),
        sqnr=sqnr_db(exact, run.result),
        elements=expected.size,
        equal=int(np.count_nonzero(run.result.view(np.uint32) == expected.view(np.uint32))),
        cycles=counters["job_cycles"],
        parts=split_cycles(counters, params),
        read_beats=counters["read_beats"],
        write_beats=counters["write_beats"],
        read_bytes=beat * counters["read_beats"],
        write_bytes=beat * counters["write_beats"],
        read_wait=counters["read_wait"],
        write_wait=counters["write_wait"],
    )


def split_cycles(counters: dict[str, int], params: Params) -> dict[str, int]:
    """What became of a job's cycles, by the names of `PARTS`."""
    steps = ("passes", "wait_a", "wait_w", "wait_result", "wait_drain")
    parts = {name: params.interleave * counters[name] for name in steps}
    parts["no_tile"] = counters["cycles"] - sum(parts.values())
    return parts | {"ends": counters["job_cycles"] - counters["cycles"]}
