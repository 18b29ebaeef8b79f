"""Runs jobs on the emitted accelerator, with its memory and its host, in a simulator."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from golden import MXTensor

from ..errors import CheckError, JobFault, ToolError
from ..host import ALIGNMENT, Accelerator, Arena, Transport, gemm_job
from ..job import DESCRIPTOR_BYTES, Fault
from ..params import Params
from .build import build_bench, run_folder
from .memory import Memory
from .process import run_tool
from .system_bench import FLAGS, OPEN, RULES, TOP, system_verilog
from .verilog import read_outcome, simulation_command

CYCLES_PER_SECOND = 1_000_000  # of the host's time in simulations
ENGINES = ("verilator", "icarus")
SLVERR, DECERR = 2, 3
DEFAULT_TIMEOUT_S = 24 * 3600.0
_MODULE = "mixdit_hw.sim.cocotb_system"
_SETTLE = 64  # cycles that are watched after the program's end


@dataclass(frozen=True, kw_only=True)
class BusStalls:
    """Probability that a channel pauses, 0 to 0.99: the memory's five, and the five of the registers."""

    ar: float = 0.0
    r: float = 0.0
    aw: float = 0.0
    w: float = 0.0
    b: float = 0.0
    lite_ar: float = 0.0
    lite_r: float = 0.0
    lite_aw: float = 0.0
    lite_w: float = 0.0
    lite_b: float = 0.0

    def __post_init__(self) -> None:
        for name, chance in asdict(self).items():
            if not 0 <= chance <= 0.99:
                raise ValueError(f"{name} must be 0 to 0.99, not {chance!r}")

    @classmethod
    def all(cls, chance: float) -> "BusStalls":
        """The same on all channels."""
        return cls(**dict.fromkeys(asdict(cls()), chance))


@dataclass(frozen=True, kw_only=True)
class System:
    """An accelerator in a simulator, with memory and host.

    Parameters
    ----------
    engine
        ``verilator`` or ``icarus``.
    params
        The design.
    design
        Its emitted Verilog, with the top ``mixdit_accelerator``.
    build_dir
        Folder of compiled simulations and of the runs' temporary files.
    stalls
        Pauses of the buses' channels, at random.
    seed
        Of the pauses, and of what registers hold before reset; 1 to 2^24.
    latency
        Cycles, at least, from a read's address to its first beat.
    read_errors, write_errors
        Addresses whose reads or writes fail: (first, last, `SLVERR` or `DECERR`). Where there is no memory it is
        always DECERR.
    limit
        Cycles after which the accelerator hangs.
    timeout
        Seconds after which a run is stopped.
    """

    engine: str
    params: Params
    design: str
    build_dir: Path
    stalls: BusStalls = field(default_factory=BusStalls)
    seed: int = 1
    latency: int = 0
    read_errors: tuple[tuple[int, int, int], ...] = ()
    write_errors: tuple[tuple[int, int, int], ...] = ()
    limit: int = 10_000_000
    timeout: float = DEFAULT_TIMEOUT_S

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {self.engine!r}")
        if not 1 <= self.seed <= 1 << 24:
            raise ValueError(f"seed must be 1 to {1 << 24}, not {self.seed!r}")


@dataclass(frozen=True, kw_only=True)
class SystemRun:
    """How a simulation ended.

    Parameters
    ----------
    result
        What the program returned.
    cycles
        Clock cycles from the end of reset on.
    seconds
        Time that they took.
    """

    result: Any
    cycles: int
    seconds: float


class TimedTransport(Transport, Protocol):
    """A transport that knows the time."""

    def clock(self) -> float:
        """Seconds: of the accelerator's own time, where it is simulated."""
        ...


class HostTransport(TimedTransport, Protocol):
    """What a program gets: a transport that knows the simulated time, and has the simulation's switches.

    A program that returns must leave the accelerator at rest.
    """

    def wait_cycles(self, count: int) -> None:
        """Let clock cycles pass."""
        ...

    def set_errors(self, reads: list[list[int]], writes: list[list[int]]) -> None:
        """From now on these addresses fail, and no others, as `System` says it."""
        ...

    def beats(self) -> tuple[int, int]:
        """Beats that the memory has sent and taken so far."""
        ...

    def reset(self) -> None:
        """Reset the accelerator, and what is connected to its buses with it; memory stays."""
        ...


def compile_system(system: System) -> Path:
    """The simulation's executable, made only where `build_dir` has none; ToolError or OutputError where it cannot be.

    The other functions here do it themselves.
    """
    bench = {"bench.v": system_verilog(system.params), "rules.v": RULES.read_text()}
    return build_bench(system.engine, system.design, bench, TOP, system.build_dir)


def simulate_program(
    system: System,
    memory: Memory,
    program: str | Callable[[Any, Any], Any],
    arguments: Any = None,
    *,
    poll: Callable[[], None] | None = None,
) -> SystemRun:
    """Run a function as the accelerator's host, and bring the memory up to date.

    Parameters
    ----------
    system
        Where.
    memory
        What the accelerator sees. It is changed in place, also where the program fails.
    program
        A function of a module, or ``module:function``: it is called inside of the simulator with a `HostTransport`
        and the arguments, may block, and returns what JSON can hold.
    arguments
        What JSON can hold.
    poll
        Called several times a second.

    Raises
    ------
    JobFault
        The program ended with it.
    CheckError
        The program ended with another error of this package, the accelerator hangs, or it breaks the rules of a bus.
    ToolError
        The simulator or the program failed.
    OutputError
        ``build_dir`` cannot be written.
    """
    name = program if isinstance(program, str) else f"{program.__module__}:{program.__qualname__}"
    executable = compile_system(system)
    plan = {
        "base": memory.base,
        "program": name,
        "arguments": arguments,
        "stalls": asdict(system.stalls),
        "seed": system.seed,
        "latency": system.latency,
        "read_errors": system.read_errors,
        "write_errors": system.write_errors,
        "limit": system.limit,
        "settle": _SETTLE,
    }
    command, env = simulation_command(system.engine, executable, _MODULE, TOP, system.seed)
    with run_folder(system.build_dir) as folder:
        (folder / "plan.json").write_text(json.dumps(plan))
        (folder / "memory.bin").write_bytes(memory.data)
        run_tool(
            command,
            log=folder / "run.log",
            env=env,
            timeout=system.timeout,
            what=f"the {system.engine} simulation",
            cwd=folder,
            poll=poll,
        )
        outcome = read_outcome(system.engine, folder)
        memory.data[:] = (folder / "result.bin").read_bytes()
    if broken := [(FLAGS | OPEN)[name] for name in outcome["flags"]] + outcome["problems"]:
        raise CheckError("the accelerator broke the rules of its buses: " + "; ".join(broken))
    if "failed" in outcome:
        raise ToolError(f"the program failed: {outcome['failed']}")
    if "fault" in outcome:
        raise JobFault(*outcome["fault"])
    if "error" in outcome:
        raise CheckError(outcome["error"])
    return SystemRun(result=outcome["result"], cycles=outcome["cycles"], seconds=outcome["seconds"])


@dataclass(frozen=True, kw_only=True)
class JobsRun:
    """What came of jobs.

    Parameters
    ----------
    faults
        Of each job up to the first that stopped.
    counters
        Of each job that was done, by the names of `mixdit_hw.host.COUNTERS`; of the last alone where they were queued.
    cycles, seconds
        As `SystemRun`.
    """

    faults: list[Fault]
    counters: list[dict[str, int]]
    cycles: int
    seconds: float


def simulate_jobs(
    system: System,
    memory: Memory,
    jobs: Sequence[int],
    *,
    window: tuple[int, int] | None = None,
    queued: bool = False,
    poll: Callable[[], None] | None = None,
) -> JobsRun:
    """Run jobs whose descriptors are in memory, and bring the memory up to date.

    Parameters
    ----------
    jobs
        Addresses of descriptors, in order.
    window
        First and last address that jobs may touch; as after reset by default.
    queued
        Keep the queue full, instead of one job after the other.

    Raises
    ------
    CheckError, ToolError, OutputError
        As `simulate_program`; a job's fault is no error here.
    """
    arguments = {"jobs": list(jobs), "window": window, "queued": queued}
    run = simulate_program(system, memory, run_jobs, arguments, poll=poll)
    faults = [Fault(code) for code in run.result["faults"]]
    return JobsRun(faults=faults, counters=run.result["counters"], cycles=run.cycles, seconds=run.seconds)


def run_jobs(transport: HostTransport, arguments: dict[str, Any]) -> dict[str, Any]:
    """The program of `simulate_jobs`, inside of the simulator."""
    accelerator = Accelerator(transport, 0, clock=transport.clock)  # descriptors are there already
    if arguments["window"] is not None:
        accelerator.set_window(*arguments["window"])
    forever = float("inf")  # the simulation's own limit counts
    counters: list[dict[str, int]] = []
    done = 0
    try:
        for address in arguments["jobs"]:
            accelerator.submit_at(address, forever)
            if not arguments["queued"]:
                accelerator.wait(forever)
                counters.append(accelerator.counters())
                done += 1
        if arguments["queued"]:
            accelerator.wait(forever)
            counters.append(accelerator.counters())
            done = len(arguments["jobs"])
    except JobFault as e:
        if arguments["queued"]:
            done = accelerator.done
        return {"faults": [0] * done + [e.code], "counters": counters}
    return {"faults": [0] * done, "counters": counters}


def simulate_product(
    system: System,
    x: np.ndarray,
    w: MXTensor,
    *,
    a_format: str,
    channels: Sequence[int] | np.ndarray = (),
    rounding: int = 0,
    poll: Callable[[], None] | None = None,
) -> tuple[np.ndarray, JobsRun]:
    """Multiply A and W as one job: A is converted by the accelerator, W was converted before.

    Parameters
    ----------
    x
        A, float32 (M, K).
    w
        W, with the rows of outliers repeated, as `golden.repeat_outliers` makes it.
    a_format
        Of A's channels.
    channels
        Outliers, which are kept in MX9.
    rounding
        Code, where the design chooses at run time.

    Returns
    -------
    tuple
        C, float32 (M, N), and how the job went.

    Raises
    ------
    ValueError
        The operands do not fit each other or a job.
    JobFault
        The accelerator does not take the job.
    CheckError, ToolError, OutputError
        As `simulate_program`.
    """
    (m, k), n = x.shape, w.shape[1]
    sizes = (x.nbytes, w.pack().nbytes, 4 * m * n, k, DESCRIPTOR_BYTES)
    memory = Memory(bytes(sum(sizes) + len(sizes) * ALIGNMENT))
    arena = Arena(memory, memory.base, len(memory))
    a, stored_w, c = arena.store(x), arena.store_mx(w), arena.result(m, n)
    mask = arena.store_mask(channels, k) if len(channels) else 0
    job = gemm_job(
        a, stored_w, c, a_format=a_format, outliers=len(channels), mask_address=mask, rounding=rounding, tag=1
    )
    run = simulate_jobs(system, memory, [arena.store_bytes(job.pack())], poll=poll)
    if run.faults[-1] is not Fault.NONE:
        raise JobFault(run.faults[-1].name, run.faults[-1], job.tag)
    return arena.load(c), run
