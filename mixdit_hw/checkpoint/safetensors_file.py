"""Safetensors files. The library checks the header; the tensors are read here, one by one and BF16 too.

What the library does not do for NumPy is BF16, and its mapping of the file would keep all pages that were read.
"""

import os
from functools import partial
from math import prod
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from ..errors import InputError
from ..files import open_input
from .lazy import PARTS, Checkpoint, LazyTensor, label, quote

HEADER_LIMIT = 1 << 20  # bytes; the header of DiT-XL/2, with 400 tensors, has 40 KB
WORDS = {"F16": np.dtype("<f2"), "BF16": np.dtype("<u2"), "F32": np.dtype("<f4")}


def open_safetensors(path: Path) -> Checkpoint:
    """Read the header of a safetensors file.

    The state dict is all of it, or where names begin with ``ema.``, ``model.`` or ``state_dict.``, these tensors.

    Raises
    ------
    InputError
        The file cannot be read or is none such; the text names the file, and the tensor at fault.
    """
    with open_input(path) as file:
        stamp = _stamp(file.fileno())
        header = int.from_bytes(file.read(8), "little")
    if header > HEADER_LIMIT:
        wanted = f"a safetensors file, whose header has at most {HEADER_LIMIT} bytes, or a zip of PyTorch"
        raise InputError(f"{path} must be {wanted}")
    try:
        with safe_open(path, framework="numpy") as file:
            slices = [(name, file.get_slice(name)) for name in file.offset_keys()]
            entries = [(name, part.get_dtype(), tuple(part.get_shape())) for name, part in slices]
            metadata = dict(file.metadata() or {})
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except SafetensorError as error:
        text = " ".join(str(error).split())[:200]
        raise InputError(f"{path} must be a safetensors file or a zip of PyTorch: {text}") from None

    names = [name for name, _, _ in entries]
    part = next((part for part in PARTS if any(name.startswith(f"{part}.") for name in names)), None)
    prefix = "" if part is None else f"{part}."
    tensors: dict[str, LazyTensor] = {}
    offset = 8 + header
    for name, kind, shape in entries:  # in the order of their data, between which the library allows no gap
        if name.startswith(prefix):
            what = f"{label(path, part)}: {quote(name.removeprefix(prefix))}"
            read = partial(_read, path, stamp, offset, kind, shape)
            tensors[name.removeprefix(prefix)] = LazyTensor(what, kind, shape, read)
        offset += prod(shape) * _bits(kind) // 8
    return Checkpoint(path, tensors, part=part, metadata=metadata)


def _bits(kind: str) -> int:
    """Of a value of a kind such as F16, F8_E4M3, I64 or BOOL."""
    return 8 if kind == "BOOL" else int(kind.split("_")[0].lstrip("BCFIU"))


def _stamp(descriptor: int) -> tuple[int, ...]:
    """What changes where a file is written to or another is put into its place."""
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _read(path: Path, stamp: tuple[int, ...], offset: int, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """The tensor whose data begin there, in a file that must be the one whose header was read."""
    with open_input(path) as file:
        file.seek(offset)
        words = np.fromfile(file, WORDS[kind], prod(shape))
        if _stamp(file.fileno()) != stamp or words.size != prod(shape):
            raise InputError(f"{path}: was changed while it was in use")
    words = words.reshape(shape)
    if kind == "BF16":
        return (words.astype(np.uint32) << 16).view(np.float32)
    return words.astype(words.dtype.newbyteorder("="), copy=False)
