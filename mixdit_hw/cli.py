"""The command ``mixdit``: finds its commands and turns failures into one line and an exit status.

Every command is a file in ``commands/`` of its name, with a click command named ``command``. It says what went wrong by
an exception; `exit_status` decides what the user sees.
"""

import contextlib
import importlib
import os
import pkgutil
import shlex
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from types import FrameType

import click

from . import commands
from .errors import MixditError
from .stdio import StandardStream

DEBUG = "MIXDIT_DEBUG"  # environment variable: any value but an empty one shows tracebacks


class Commands(click.Group):
    """The commands found in `mixdit_hw.commands`, each imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands."""
        return sorted(m.name for m in pkgutil.iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name not in self.list_commands(ctx):
            return None
        return importlib.import_module(f"{commands.__name__}.{cmd_name}").command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="mixdit-hw", prog_name="mixdit")
def cli() -> None:
    """Generate, simulate and measure matrix engines for Microscaling (MX) formats."""


def exit_status(e: BaseException) -> tuple[int, str]:
    """Exit status and one-line text of a failure.

    1 for a failed check, 2 for wrong usage or a bad input file, 3 for a missing, failed or killed tool, an output that
    cannot be written, or an error of this program; 130 when interrupted.
    """
    match e:
        case click.ClickException():
            status, text = (2 if isinstance(e, click.UsageError) else e.exit_code), e.format_message()
        case MixditError():
            status, text = e.exit_status, str(e)
        case ValueError():
            status, text = 2, str(e)
        case KeyboardInterrupt() | click.Abort():
            status, text = 130, "interrupted"
        case MemoryError():
            status, text = 3, "out of memory"
        case OSError():
            status, text = 3, f"{e.filename}: {e.strerror}" if e.filename else e.strerror or str(e)
        case _:
            status, text = 3, f"internal error: {type(e).__name__}: {e} ({DEBUG}=1 shows where)"
    return status, " ".join(text.split())


def run(args: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status; failures go to stderr as one line.

    A standard output that cannot be written ends no work; it is a failure when all else is done. Commands find the
    command line as their context's ``obj``.
    """
    args = list(sys.argv[1:] if args is None else args)
    output = StandardStream(sys.stdout)
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(StandardStream(sys.stderr)):
        status = _run(args, output)
    _discard_output()
    return status


def _run(args: list[str], output: StandardStream) -> int:
    try:
        with _terminate_as_interrupt():
            status = cli.main(args, prog_name="mixdit", standalone_mode=False, obj=shlex.join(["mixdit", *args]))
        output.check("standard output")
        return status if isinstance(status, int) else 0
    except click.exceptions.NoArgsIsHelpError as e:
        click.echo(e.format_message(), err=True)
        return 2
    except BaseException as e:
        if os.environ.get(DEBUG):
            raise
        # Hardware that was being elaborated is dropped unused, which Amaranth would report piece by piece.
        warnings.filterwarnings("ignore", message=".* created but never used")
        status, text = exit_status(e)
        command = next((f"mixdit {a}" for a in args[:1] if not a.startswith("-")), "mixdit")
        click.echo(f"{command}: {text}", err=True)
        return status


def main() -> None:
    """Entry point of ``mixdit``."""
    # The golden model's products are many and small: with more threads BLAS mostly waits for them. NumPy, which nothing
    # has imported yet, reads this once.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(run())


@contextlib.contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """Let SIGTERM unwind like an interrupt, so that tools are stopped and temporary files removed."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _discard_output() -> None:
    """Where stdout or stderr cannot be written, keep the interpreter from trying again as it ends."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
