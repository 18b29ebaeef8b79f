"""How a tool's end is told."""

import os
import signal
import sys
import time
from pathlib import Path

from mixdit_hw.errors import ToolError
from mixdit_hw.sim.process import run_tool
from tests.support.errors import raises_exactly


def run(tmp_path: Path, program: str, timeout: float = 60) -> None:
    run_tool([sys.executable, "-c", program], log=tmp_path / "log", env=None, timeout=timeout, what="the tool")


def test_output_is_kept(tmp_path: Path) -> None:
    run(tmp_path, "import sys; print('one'); sys.stdout.flush(); print('two', file=sys.stderr)")
    assert (tmp_path / "log").read_text() == "one\ntwo\n"


def test_failure_tells_the_line_with_the_error(tmp_path: Path) -> None:
    with raises_exactly(ToolError, "the tool failed with status 4: x.v:3: error: no such thing"):
        run(tmp_path, "print('start'); print('x.v:3: error: no such thing'); print('done'); raise SystemExit(4)")


def test_silent_failure(tmp_path: Path) -> None:
    with raises_exactly(ToolError, "the tool failed with status 5: it said nothing"):
        run(tmp_path, "raise SystemExit(5)")


def test_killed_tool(tmp_path: Path) -> None:
    with raises_exactly(ToolError, "the tool was killed by SIGKILL"):
        run(tmp_path, f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})")


def test_missing_tool(tmp_path: Path) -> None:
    with raises_exactly(ToolError, "the tool cannot be started: No such file or directory: /no/such/tool"):
        run_tool(["/no/such/tool"], log=tmp_path / "log", env=None, timeout=1, what="the tool")


def test_time_limit_ends_the_tool_and_its_children(tmp_path: Path) -> None:
    program = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open('pids', 'w').write(f'{os.getpid()} {child.pid}')\n"
        "time.sleep(60)\n"
    )
    with raises_exactly(ToolError, "the tool took more than 3 s and was stopped"):
        run_tool(
            [sys.executable, "-c", program],
            log=tmp_path / "log",
            env=None,
            timeout=3,
            what="the tool",
            cwd=tmp_path,
        )
    deadline = time.monotonic() + 10
    for pid in (tmp_path / "pids").read_text().split():
        while _alive(int(pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _alive(int(pid))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_poll_is_called(tmp_path: Path) -> None:
    calls: list[int] = []
    run_tool(
        [sys.executable, "-c", "import time; time.sleep(1)"],
        log=tmp_path / "log",
        env=None,
        timeout=60,
        what="the tool",
        poll=lambda: calls.append(1),
    )
    assert len(calls) >= 2
