"""Runs an MLP on a simulated accelerator, as its host would."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from golden.policy import PrecisionPolicy

from ..host import Accelerator, Arena
from ..mlp import Linear, LinearRun, memory_bytes, run_mlp
from ..params import Params
from .memory import Memory
from .plan import Plan
from .system import CYCLES_PER_SECOND, System, TimedTransport, simulate_program

_LOOK_CYCLES = 2000  # between two looks at the progress


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedMLP:
    """What came of an MLP in simulation.

    Parameters
    ----------
    fc1, fc2
        Their jobs.
    cycles, seconds
        As `SystemRun`.
    """

    fc1: LinearRun
    fc2: LinearRun
    cycles: int
    seconds: float


def simulate_mlp(
    system: System, fc1: Linear, fc2: Linear, x: np.ndarray, *, progress: Callable[[int, int], None] | None = None
) -> SimulatedMLP:
    """Run fc2(GELU(fc1(x))) as two jobs of a simulated accelerator.

    Parameters
    ----------
    system
        Where.
    fc1, fc2, x
        As for `run_mlp`.
    progress
        Told the cycles so far, and about how many there will be.

    Raises
    ------
    JobFault, CheckError, ToolError, OutputError
        As `simulate_program`.
    """
    layers = [plain(layer) for layer in (fc1, fc2)]
    memory = Memory(bytes(memory_bytes(fc1, fc2, len(x))))
    total = sum(pass_cycles(layer, len(x), system.params) for layer in (fc1, fc2))
    with tempfile.TemporaryDirectory(prefix="mixdit-") as folder:
        clock = Path(folder) / "cycles"
        arguments = {"layers": layers, "x": x.tolist(), "size": len(memory), "clock": str(clock) if progress else None}

        def look() -> None:
            if progress is not None and clock.exists():
                text = clock.read_text()
                progress(min(int(text or 0), total), total)

        run = simulate_program(system, memory, mlp_program, arguments, poll=look)
    jobs = [
        LinearRun(
            result=np.array(job["words"], np.uint32).view(np.float32),
            counters=job["counters"],
        )
        for job in run.result
    ]
    return SimulatedMLP(fc1=jobs[0], fc2=jobs[1], cycles=run.cycles, seconds=run.seconds)


def mlp_program(transport: TimedTransport, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """The program of `simulate_mlp`, inside of the simulator."""
    watched = transport if arguments["clock"] is None else _Watched(transport, Path(arguments["clock"]))
    arena = Arena(watched, 0, arguments["size"])
    accelerator = Accelerator(watched, arena, clock=transport.clock)
    fc1, fc2 = (
        Linear(
            name=layer["name"],
            **{name: np.array(layer[name], np.float32) for name in ("w", "bias")},
            policy=PrecisionPolicy.from_dict(layer["policy"]),
        )
        for layer in arguments["layers"]
    )
    x = np.array(arguments["x"], np.float32)
    jobs = run_mlp(accelerator, arena, fc1, fc2, x, timeout=float("inf"))  # the simulation's own limit counts
    return [{"words": job.result.view(np.uint32).tolist(), "counters": job.counters} for job in jobs]


def pass_cycles(layer: Linear, rows: int, params: Params) -> int:
    """Cycles that the array takes for the digit passes of a layer's job, with the padding of its tiles."""
    x, w = layer.convert(np.zeros((1, len(layer.w)), np.float32)), layer.packed
    passes = sum(fx.digits * fw.digits for fx, fw in zip(x.formats, w.formats, strict=True))
    plan = Plan(params=params, m=rows, n=w.shape[1], blocks=len(w.formats))
    return plan.m_tiles * plan.n_tiles * passes * params.interleave


def plain(layer: Linear) -> dict[str, Any]:
    """A layer as JSON can hold it: float32 numbers come back as they were."""
    arrays = {name: getattr(layer, name).tolist() for name in ("w", "bias")}
    return {"name": layer.name, **arrays, "policy": layer.policy.to_dict()}


class _Watched:
    """A transport that notes the cycles so far in a file while it waits."""

    def __init__(self, transport: TimedTransport, clock: Path) -> None:
        self._transport = transport
        self._clock = clock
        self.read32, self.write32 = transport.read32, transport.write32
        self.read_memory, self.write_memory = transport.read_memory, transport.write_memory

    def wait_interrupt(self, timeout: float) -> bool:
        """Wait in short turns."""
        end = self._transport.clock() + timeout
        while (left := end - self._transport.clock()) > 0:
            if self._transport.wait_interrupt(min(left, _LOOK_CYCLES / CYCLES_PER_SECOND)):
                return True
            self._clock.write_text(str(round(self._transport.clock() * CYCLES_PER_SECOND)))
        return False
