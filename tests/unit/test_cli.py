"""Failures become one line and an exit status."""

import errno
import gc
import os
import subprocess
import sys
import warnings
from pathlib import Path

import click
import numpy as np
import pytest

from mixdit_hw import cli
from mixdit_hw.errors import CheckError, InputError, OutputError, ToolError


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (CheckError("they differ"), 1, "they differ"),
        (InputError("x.npy: wrong"), 2, "x.npy: wrong"),
        (ValueError("rows must be\n 1"), 2, "rows must be 1"),
        (click.UsageError("no such thing"), 2, "no such thing"),
        (ToolError("make not found"), 3, "make not found"),
        (OutputError("x: cannot be written"), 3, "x: cannot be written"),
        (OSError(errno.ENOSPC, "No space left on device", "x.npy"), 3, "x.npy: No space left on device"),
        (OSError(errno.EPIPE, "Broken pipe"), 3, "Broken pipe"),
        (MemoryError(), 3, "out of memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (KeyError("x"), 3, "internal error: KeyError: 'x' (MIXDIT_DEBUG=1 shows where)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_status_and_text(error: BaseException, status: int, text: str) -> None:
    assert cli.exit_status(error) == (status, text)


def test_every_command_is_found_and_helps(capsys: pytest.CaptureFixture[str]) -> None:
    names = cli.cli.list_commands(click.Context(cli.cli))
    assert {"generate", "gemm", "quantize"} <= set(names)
    for name in names:
        assert cli.run([name, "--help"]) == 0
        assert capsys.readouterr().out.startswith(f"Usage: mixdit {name} ")


def test_without_arguments_it_helps_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([]) == 2
    assert capsys.readouterr().err.startswith("Usage: mixdit ")


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["nosuch"], "mixdit nosuch: No such command 'nosuch'."),
        (["--nosuch"], "mixdit: No such option '--nosuch'."),
        (["generate", "--preset", "huge"], "mixdit generate: Invalid value for '--preset': 'huge' is not one of "),
        (
            ["generate", "--config", "a", "--preset", "tiny"],
            "mixdit generate: --preset and --config exclude each other",
        ),
        (["generate", "--set", "rows=0"], "mixdit generate: --set rows=0: rows must be 1 to 128, not 0"),
        (["generate", "-o", "/proc/x"], "mixdit generate: /proc/x: cannot be written: No such file or directory"),
    ],
    ids=lambda value: None if isinstance(value, str) else " ".join(value),
)
def test_wrong_usage_is_one_line(capsys: pytest.CaptureFixture[str], args: list[str], line: str) -> None:
    assert cli.run(args) == (3 if "-o" in args else 2)
    captured = capsys.readouterr()
    assert captured.err.startswith(line)
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_debug_shows_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cli.DEBUG, "1")
    with pytest.raises(click.UsageError):
        cli.run(["nosuch"])


def test_full_device_is_an_error_without_traceback() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "mixdit_hw", "--version"]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 3
    assert result.stderr == "mixdit: standard output: cannot be written: No space left on device\n"


def run_unread(*args: str, cwd: Path, stderr: bool = True) -> tuple[int, str]:
    """Status and stderr of a command line whose stdout nobody reads, nor its stderr if ``stderr`` is false."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-m", "mixdit_hw", *args]
        errors = subprocess.PIPE if stderr else writer
        result = subprocess.run(command, cwd=cwd, stdout=writer, stderr=errors, text=True, check=False, timeout=300)
    finally:
        os.close(writer)
    return result.returncode, result.stderr or ""


UNREAD = "standard output: cannot be written: Broken pipe\n"


def test_results_are_written_where_nobody_reads_stdout(tmp_path: Path) -> None:
    for name, shape in (("A.npy", (3, 20)), ("W.npy", (20, 2))):
        np.save(tmp_path / name, np.ones(shape, np.float32))
    gemm = ("gemm", "A.npy", "W.npy", "-o", "C.npy", "--engine", "golden")
    assert run_unread(*gemm, cwd=tmp_path) == (3, f"mixdit gemm: {UNREAD}")
    assert (np.load(tmp_path / "C.npy") == 20).all()
    quantize = ("quantize", "A.npy", "-o", "A.npz", "--format", "mx6")
    assert run_unread(*quantize, cwd=tmp_path) == (3, f"mixdit quantize: {UNREAD}")
    assert (tmp_path / "A.npz").is_file()
    generate = ("generate", "--unit", "engine", "-o", "rtl")
    assert run_unread(*generate, cwd=tmp_path) == (3, f"mixdit generate: {UNREAD}")
    assert (tmp_path / "rtl" / "mixdit_engine.v").is_file()


def test_help_that_nobody_reads(tmp_path: Path) -> None:
    assert run_unread("gemm", "--help", cwd=tmp_path) == (3, f"mixdit gemm: {UNREAD}")


def test_other_failures_go_before_that_of_stdout(tmp_path: Path) -> None:
    assert run_unread("nosuch", cwd=tmp_path) == (2, "mixdit nosuch: No such command 'nosuch'.\n")
    assert run_unread("nosuch", cwd=tmp_path, stderr=False) == (2, "")


def test_closed_stdout(tmp_path: Path) -> None:
    command = f"exec '{sys.executable}' -m mixdit_hw --version >&-"
    result = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 3
    assert result.stderr == "mixdit: standard output: cannot be written: Bad file descriptor\n"


def test_text_that_stdout_cannot_show(tmp_path: Path) -> None:
    np.save(tmp_path / "A.npy", np.ones((3, 20), np.float32))
    command = [sys.executable, "-m", "mixdit_hw", "quantize", "A.npy", "-o", "\u00e9.npz", "--format", "mx6"]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("\\xe9.npz: ")


def test_interrupted_elaboration_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Hardware that is dropped half-built says nothing of its own."""
    from mixdit_hw.emit import units

    def interrupted(unit: object, top: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(units, "build_design", interrupted)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert cli.run(["generate", "--preset", "tiny"]) == 130
        gc.collect()
    assert capfd.readouterr().err.strip() == "mixdit generate: interrupted"
