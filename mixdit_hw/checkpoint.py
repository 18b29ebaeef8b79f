"""Checkpoints: safetensors files to float32 arrays, and the example DiT. Nothing in a file is ever executed.

The safetensors library checks the header against itself and against the file's size; this module bounds what it is
given and says in one line what is wrong.
"""

import os
import stat
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from golden.diffusion import Schedule
from golden.dit import DiT

from .errors import InputError

HEADER_LIMIT = 1 << 20  # bytes; the header of DiT-XL/2, with 400 tensors, has 40 KB
FILE_LIMIT = 8 << 30  # bytes; DiT-XL/2 in float32 has 2.7 GB
DTYPES = {"F16": np.float16, "F32": np.float32}

DIGITS = Path(__file__).resolve().parent.parent / "examples" / "digits.safetensors"


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read a safetensors file.

    Parameters
    ----------
    path
        A regular file with float16 or float32 tensors, all finite, none empty.

    Returns
    -------
    Tensors by name, as float32 (float16 is widened exactly), and the file's metadata, text by key.

    Raises
    ------
    InputError
        The file cannot be read or is none such; the text names the file, and the tensor at fault.
    """
    path = Path(path)
    tensors: dict[str, np.ndarray] = {}
    try:
        _check_size(path)
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 (the file is no mapping)
                part = file.get_slice(name)
                dtype, shape = part.get_dtype(), tuple(part.get_shape())
                if dtype not in DTYPES:
                    raise InputError(f"{path}: {name!r} must be F16 or F32, not {dtype}")
                if 0 in shape:
                    raise InputError(f"{path}: {name!r} must have no empty axis, not the shape {shape}")
                tensors[name] = file.get_tensor(name).astype(np.float32)
            metadata = dict(file.metadata() or {})
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except SafetensorError as error:
        raise InputError(f"{path} must be a safetensors file: {' '.join(str(error).split())}") from None
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise InputError(f"{path}: {name!r} must be finite")
    return tensors, metadata


def _check_size(path: Path) -> None:
    """Raise InputError unless the file and its header, whose length is its first 8 bytes, are of a sane size."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path} must be a regular file")
    if status.st_size > FILE_LIMIT:
        raise InputError(f"{path} must have at most {FILE_LIMIT} bytes, not {status.st_size}")
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > HEADER_LIMIT:
        raise InputError(f"{path} must have a header of at most {HEADER_LIMIT} bytes, not {header}")


def load_dit(path: str | os.PathLike[str] = DIGITS) -> tuple[DiT, Schedule]:
    """Load a DiT with its noise schedule, by default the example of handwritten digits.

    The metadata holds what shapes do not tell: ``heads``, ``schedule`` and ``steps``.

    Raises
    ------
    InputError
        The file cannot be read or is no checkpoint of a DiT; the text names the file and what is at fault.
    """
    tensors, metadata = read_checkpoint(path)
    for key in ("heads", "schedule", "steps"):
        if key not in metadata:
            raise InputError(f"{path} must have {key!r} in its metadata")
    try:
        heads, steps = (_number(key, metadata[key]) for key in ("heads", "steps"))
        return DiT(tensors, heads=heads), Schedule(name=metadata["schedule"], steps=steps)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: {error}") from None


def _number(key: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise ValueError(f"{key} must be a whole number, not {text!r}")
    return int(text)
