"""Runs stream images through the emitted Verilog, under cocotb with Verilator or Icarus."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import ToolError
from ..params import Params
from .bench import TOP, result_words
from .build import build
from .outcome import check_outcome, patience
from .plan import Pace, Playback, Stalls
from .process import run_tool
from .tools import cocotb_environment, cocotb_library, find_icarus

_MODULE = "mixdit_hw.sim.cocotb_gemm"


def run_verilog(
    engine: str,
    design: str,
    params: Params,
    playback: Playback,
    folder: Path,
    *,
    build_dir: Path,
    stalls: Stalls,
    pace: Pace,
    progress: Callable[[int], None] | None,
    timeout: float,
) -> dict[str, float]:
    """Play the images in a folder and record ``c.bin`` there; the returned counters are those of `cocotb_gemm`.

    Raises
    ------
    ToolError
        The simulator is missing, fails, is killed or takes longer than ``timeout`` seconds.
    CheckError
        The design hangs, breaks the rules of a stream, or its beats do not add up.
    """
    program = build(engine, design, params, build_dir)
    plusargs = [f"+results={playback.result_beats}", f"+patience={patience(params)}"]
    for number, (name, stream) in enumerate(playback.streams.items()):
        plusargs += [
            f"+{name}_section={stream.section}",
            f"+{name}_sections={stream.sections}",
            f"+{name}_repeat={stream.repeat}",
            f"+{name}_idle={stalls.threshold(name)}",
            f"+{name}_seed={stalls.stream_seed(number)}",
            f"+{name}_interval={pace.interval(name)}",
        ]
    plusargs += [
        f"+c_idle={stalls.threshold('c')}",
        f"+c_seed={stalls.stream_seed(len(playback.streams))}",
        f"+c_interval={pace.interval('c')}",
    ]
    command, env = simulation_command(engine, program, _MODULE, TOP, stalls.seed, plusargs)
    results = folder / "c.bin"
    beat = 4 * result_words(params)

    def poll() -> None:
        if progress is not None and results.exists():
            progress(results.stat().st_size // beat)

    run_tool(
        command,
        log=folder / "run.log",
        env=env,
        timeout=timeout,
        what=f"the {engine} simulation",
        cwd=folder,
        poll=poll,
    )
    outcome = read_outcome(engine, folder)
    check_outcome(outcome, playback)
    return outcome


def simulation_command(
    engine: str, program: Path, module: str, top: str, seed: int, plusargs: Sequence[str] = ()
) -> tuple[list[str], dict[str, str]]:
    """Command and environment that run the cocotb tests of a module on a built simulation.

    The seed is that of the values that registers have before reset, where the simulator makes them up.
    """
    env = cocotb_environment(module, top)
    if engine == "verilator":
        env["COCOTB_TRUST_INERTIAL_WRITES"] = "1"  # cocotb need not put off its writes to the next time step
        return [str(program.resolve()), "+verilator+rand+reset+2", f"+verilator+seed+{seed}", *plusargs], env
    vvp = [find_icarus().vvp, "-n", "-m", str(cocotb_library(engine)[1])]
    return [*vvp, str(program.resolve()), *plusargs, "-none"], env


def read_outcome(engine: str, folder: Path) -> dict[str, Any]:
    """What a simulation wrote in ``outcome.json``; ToolError where it did not."""
    try:
        return json.loads((folder / "outcome.json").read_text())
    except FileNotFoundError:
        raise ToolError(f"the {engine} simulation ended without a result: {_last_line(folder / 'run.log')}") from None


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"
