"""The hardware half of the demo: captured layers on the emitted Verilog, compared with the golden model."""

from collections.abc import Callable
from dataclasses import dataclass

from ..sim.compare import require_equal
from ..sim.run import Simulator, simulate_gemm
from .study import Layer, Precision


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
