"""Runs a tool to its end and says in one line how it failed."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import ToolError

_POLL_S = 0.2
_TAIL_CHARACTERS = 300


def run_tool(
    command: Sequence[str],
    *,
    log: Path,
    env: dict[str, str] | None,
    timeout: float,
    what: str,
    cwd: Path | None = None,
    poll: Callable[[], None] | None = None,
) -> None:
    """Run a command, without a shell, in a process group of its own, which ends with this call.

    Parameters
    ----------
    command
        Program and arguments.
    log
        File that its output is appended to.
    env
        Environment, or None for that of this process.
    timeout
        Seconds after which it is killed.
    what
        Its name in errors.
    cwd
        Folder to run in.
    poll
        Called several times a second while it runs.

    Raises
    ------
    ToolError
        It cannot be started, fails, is killed, or takes too long.
    """
    deadline = time.monotonic() + timeout
    with open(log, "ab") as output:
        start = output.tell()
        try:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as e:
            raise ToolError(f"{what} cannot be started: {e.strerror}: {command[0]}") from None
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_S)
                    break
                if poll is not None:
                    poll()
                if time.monotonic() > deadline:
                    raise ToolError(f"{what} took more than {timeout:.0f} s and was stopped")
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        raise ToolError(f"{what} was killed by {name}")
    if process.returncode > 0:
        raise ToolError(f"{what} failed with status {process.returncode}: {_last_words(log, start)}")


def _last_words(log: Path, start: int) -> str:
    """The line of the log that most likely says what went wrong: the first with an error, or else the last."""
    text = log.read_bytes()[start:].decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "it said nothing"
    errors = [line for line in lines if "error" in line.lower() or "***" in line]
    return (errors or lines[-1:])[0][:_TAIL_CHARACTERS]
