"""Compiles a design and its bench once, and keeps the result under a digest of everything that went into it."""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ..errors import OutputError
from ..params import Params
from .bench import FEEDER, TOP, bench_verilog
from .process import run_tool
from .tools import IcarusTools, VerilatorTools, cocotb_library, digest, find_icarus, find_verilator

_NO_INLINE_FROM = 16  # instances in the whole design from which Verilator keeps a module apart
_TIMEOUT_S = 3600


def build(engine: str, design: str, params: Params, build_dir: Path) -> Path:
    """Return the executable for an emitted design, compiling it only where no earlier build has the same digest.

    Safe with several processes at once: one compiles, the others wait. A build is moved into place only when
    complete, so one that was killed leaves nothing that could be mistaken for a result.

    Parameters
    ----------
    engine
        ``verilator`` or ``icarus``.
    design
        Emitted Verilog whose top is ``mixdit_core``.
    params
        Parameters of that design.
    build_dir
        Folder of all builds; made if it does not exist.

    Raises
    ------
    ToolError
        A tool is missing, fails or is killed.
    OutputError
        The folder cannot be written.
    """
    bench = {"bench.v": bench_verilog(params), "feeder.v": FEEDER.read_text()}
    return build_bench(engine, design, bench, TOP, build_dir)


def build_bench(engine: str, design: str, bench: dict[str, str], top: str, build_dir: Path) -> Path:
    """Return the executable for a design in a bench; as `build`, which says all else.

    Parameters
    ----------
    design
        Emitted Verilog.
    bench
        Texts of the Verilog files around it, by their names.
    top
        The bench's top module.
    """
    tools = find_verilator() if engine == "verilator" else find_icarus()
    control = control_file(design)
    sources = {**bench, "design.v": design}
    key = f"{engine}-{digest(design, *bench.values(), control, tools.versions())}"
    target = build_dir / key
    program = target / ("simulation" if engine == "verilator" else "simulation.vvp")
    try:
        build_dir.mkdir(parents=True, exist_ok=True)
        if program.is_file():
            return program
        with _locked(build_dir / f"{key}.lock"):
            if program.is_file():
                return program
            work = build_dir / f"{key}.partial"
            for stale in (work, target):
                if stale.exists():
                    shutil.rmtree(stale)
            work.mkdir()
            for name, text in {**sources, "control.vlt": control}.items():
                (work / name).write_text(text)
            if isinstance(tools, VerilatorTools):
                _build_verilator(tools, work, work / program.name, top, list(sources))
            else:
                _build_icarus(tools, work, work / program.name, top, list(sources))
            os.replace(work, target)
    except OSError as e:
        raise OutputError(f"cannot write the simulation build in {str(build_dir)!r}: {e.strerror}") from None
    return program


def control_file(design: str) -> str:
    """Verilator's control file for a design: modules with many instances are compiled once, not once for each."""
    bodies = dict(re.findall(r"^module (\w+)(.*?)^endmodule", design, re.MULTILINE | re.DOTALL))
    used = {name: Counter(re.findall(r"^ *(\w+) \w+ \($", body, re.MULTILINE)) for name, body in bodies.items()}

    @cache
    def instances(module: str) -> int:
        return sum(counts[module] * instances(parent) for parent, counts in used.items() if counts[module]) or 1

    kept = [f'no_inline -module "{name}"' for name in bodies if instances(name) >= _NO_INLINE_FROM]
    return "\n".join(["`verilator_config", *kept]) + "\n"


def _build_verilator(tools: VerilatorTools, work: Path, program: Path, top: str, sources: list[str]) -> None:
    from cocotb_tools import config

    libraries, library = cocotb_library("verilator")
    verilate = [
        *(tools.verilator, "--cc", "--exe", "--vpi", "--no-timing", "-O3", "-Wno-fatal", "-Wno-lint", "-Wno-style"),
        *("--x-assign", "unique", "--x-initial", "unique", "--prefix", "Vtop", "--top-module", top, "-o", program.name),
        *("-LDFLAGS", f"-Wl,-rpath,{libraries} -L{libraries} -l{library.stem.removeprefix('lib')}"),
        str(Path(config.share_dir) / "lib" / "verilator" / "verilator.cpp"),
        *("control.vlt", *sources),
    ]
    runtime = work.parent / f"verilator-runtime-{digest(tools.versions())}"
    make = [tools.make, "-f", "Vtop.mk", "-j", str(min(4, os.cpu_count() or 1)), *tools.make_settings()]
    common = {"log": work / "build.log", "env": tools.environment(), "timeout": _TIMEOUT_S}
    # Verilator's makefile refuses folders with spaces.
    place = None if " " in str(work.resolve()) else work
    with tempfile.TemporaryDirectory(prefix="mixdit-", dir=place) as name:
        objects = Path(name).resolve()
        run_tool([*verilate, "-Mdir", str(objects)], what="verilator", cwd=work, **common)
        if runtime.is_dir():
            for path in runtime.iterdir():
                shutil.copyfile(path, objects / path.name)  # with a new date, so that make takes it
        run_tool(make, what="the C++ build of the simulation", cwd=objects, **common)
        shutil.copy(objects / program.name, program)
        _keep_runtime(objects, runtime)


def _keep_runtime(objects: Path, runtime: Path) -> None:
    """Keep Verilator's own objects, which take longer to compile than a small design and are the same for all."""
    with _locked(runtime.with_name(f"{runtime.name}.lock")):
        if runtime.is_dir():
            return
        work = runtime.with_name(f"{runtime.name}.partial")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        for path in objects.glob("verilated*.o"):
            shutil.copyfile(path, work / path.name)
        os.replace(work, runtime)


def _build_icarus(tools: IcarusTools, work: Path, program: Path, top: str, sources: list[str]) -> None:
    compile_ = [tools.iverilog, "-g2012", "-s", top, "-o", program.name, *sources]
    run_tool(compile_, log=work / "build.log", env=None, timeout=_TIMEOUT_S, what="iverilog", cwd=work)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; the system gives it back when the process ends, however it ends."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def run_folder(build_dir: Path) -> Iterator[Path]:
    """A folder for one run, gone afterwards; OutputError where it cannot be made or filled."""
    try:
        build_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="run-", dir=build_dir) as name:
            yield Path(name).resolve()
    except OSError as e:
        raise OutputError(f"cannot write in {str(build_dir)!r}: {e.strerror or e}") from None
