"""Loads a DiT with its noise schedule from a checkpoint."""

import os
from pathlib import Path

from golden.diffusion import Schedule
from golden.dit import DiT

from ..errors import InputError
from .lazy import Checkpoint
from .reading import open_checkpoint

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits.safetensors"

_KEYS = ("heads", "schedule", "steps")


def load_dit(
    source: str | os.PathLike[str] | Checkpoint = DIGITS,
    *,
    heads: int | None = None,
    schedule: str | None = None,
    steps: int | None = None,
    streaming: bool = False,
) -> tuple[DiT, Schedule]:
    """Load a DiT with its noise schedule, by default the example of handwritten digits.

    Parameters
    ----------
    source
        The file, or what `open_checkpoint` made of it.
    heads, schedule, steps
        What shapes do not tell: attention heads, and name and length of the schedule. None is what the file's metadata
        say; where they have none of the three, as in published checkpoints, it is what the published models have: the
        heads of the size of this width, and 1000 steps of the linear schedule.
    streaming
        Whether weights are read from the file each time that they are used, instead of all of them now: for models that
        are large for the memory. The file must then stay as it is, and values that are not finite are met in use.

    Raises
    ------
    InputError
        The file cannot be read or is no checkpoint of a DiT; the text names the file and what is at fault. Names and
        shapes are checked before any data are read.
    """
    checkpoint = source if isinstance(source, Checkpoint) else open_checkpoint(source)
    metadata = checkpoint.metadata
    given = dict(zip(_KEYS, (heads, schedule, steps), strict=True))
    if any(key in metadata for key in _KEYS):
        for key in _KEYS:
            if given[key] is None and key not in metadata:
                raise InputError(f"{checkpoint.label} must have {key!r} in its metadata")
    try:
        heads = _number("heads", metadata["heads"]) if heads is None and "heads" in metadata else heads
        steps = _number("steps", metadata.get("steps", "1000")) if steps is None else steps
        name = metadata.get("schedule", "linear") if schedule is None else schedule
        return DiT(checkpoint, heads=heads, streaming=streaming), Schedule(name=name, steps=steps)
    except InputError:
        raise  # names the file already
    except (TypeError, ValueError) as error:
        raise InputError(f"{checkpoint.label}: {error}") from None


def _number(key: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise ValueError(f"{key} must be a whole number, not {text!r}")
    return int(text)
