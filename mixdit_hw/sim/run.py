"""Runs one GEMM on the generated accelerator in a simulator."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from golden import MXTensor

from ..errors import CheckError
from ..params import Params
from .amaranth import run_amaranth
from .bench import COUNTERS
from .build import run_folder
from .images import make_plan, read_result, write_images
from .plan import NO_PACE, NO_STALLS, Pace, Playback, Stalls
from .tools import SIMULATORS
from .verilog import run_verilog

DEFAULT_TIMEOUT_S = 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Simulator:
    """A design in a simulator.

    Parameters
    ----------
    engine
        ``verilator``, ``icarus`` or ``amaranth``.
    params
        The design.
    design
        Its emitted Verilog; ``amaranth`` simulates the hardware description itself and takes none.
    build_dir
        Folder of compiled simulations and of the runs' temporary files.
    stalls
        Idle cycles on the streams, at random.
    pace
        Streams that are slow at a steady pace.
    timeout
        Seconds after which a run is stopped.
    """

    engine: str
    params: Params
    design: str | None
    build_dir: Path
    stalls: Stalls = NO_STALLS
    pace: Pace = NO_PACE
    timeout: float = DEFAULT_TIMEOUT_S

    def __post_init__(self) -> None:
        if self.engine not in SIMULATORS:
            raise ValueError(f"engine must be one of {', '.join(SIMULATORS)}, not {self.engine!r}")
        if (self.design is None) != (self.engine == "amaranth"):
            raise ValueError(f"design must be Verilog for verilator and icarus only, not for {self.engine}")

    def play(self, playback: Playback, folder: Path, progress: Callable[[int], None] | None = None) -> dict[str, float]:
        """Play the images in a folder and record ``c.bin`` there; ``progress`` is told the result beats so far."""
        if self.design is None:
            return run_amaranth(self.params, playback, folder, stalls=self.stalls, pace=self.pace, progress=progress)
        return run_verilog(
            self.engine,
            self.design,
            self.params,
            playback,
            folder,
            build_dir=self.build_dir,
            stalls=self.stalls,
            pace=self.pace,
            progress=progress,
            timeout=self.timeout,
        )

    def run_folder(self) -> AbstractContextManager[Path]:
        """A folder for one run, gone afterwards; OutputError where it cannot be made or filled."""
        return run_folder(self.build_dir)


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedGemm:
    """What came of a simulated GEMM.

    Parameters
    ----------
    result
        float32 (M, N), as the hardware gave it.
    cycles
        Clock cycles from the end of reset to the last result, that one included.
    seconds
        Time that the simulation of these cycles took.
    utilisation
        Digit passes that the outputs need, as a fraction of the passes of all engines in these cycles.
    counters
        The core's own: cycles from the first pass to the last result, and steps of T cycles in which a pass entered or
        waited (``passes``, ``wait_a``, ``wait_w``, ``wait_result``, ``wait_drain``).
    """

    result: np.ndarray
    cycles: int
    seconds: float
    utilisation: float
    counters: dict[str, int]


def simulate_gemm(
    a: MXTensor,
    w: MXTensor,
    simulator: Simulator,
    *,
    progress: Callable[[int, int], None] | None = None,
    **plan_options: int,
) -> SimulatedGemm:
    """Multiply A (M, K) and W (K, N) on the simulated design.

    Parameters
    ----------
    a, w
        Operands in blocks along K, in any mix of the design's formats.
    simulator
        Where to run.
    progress
        Told the result beats that came so far, and those to come in all.
    **plan_options
        See `Plan`.

    Raises
    ------
    ValueError
        The operands do not fit each other or the design.
    CheckError
        The hardware hangs or breaks the rules of its streams.
    ToolError
        The simulator is missing, fails or is killed.
    OutputError
        ``build_dir`` cannot be written.
    """
    params = simulator.params
    plan = make_plan(a, w, params, **plan_options)
    with simulator.run_folder() as folder:
        write_images(a, w, plan, folder)
        tell = None if progress is None else (lambda beats: progress(beats, plan.result_beats))
        outcome = simulator.play(plan, folder, tell)
        try:
            result = read_result(folder / "c.bin", plan)
        except ValueError as e:
            raise CheckError(f"the hardware's results are out of order: {e}") from None
    cycles = int(outcome["cycles"])
    passes = sum(fa.digits * fw.digits for fa, fw in zip(a.formats, w.formats, strict=True)) * plan.m * plan.n
    return SimulatedGemm(
        result=result,
        cycles=cycles,
        seconds=outcome["seconds"],
        utilisation=passes / (params.rows * params.columns * cycles),
        counters={name: int(outcome[f"core_{name}"]) for name in COUNTERS},
    )
