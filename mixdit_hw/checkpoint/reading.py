"""Opens checkpoints of either kind, which their content tells and not their name."""

import os
import stat
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import open_input
from .lazy import Checkpoint
from .safetensors_file import open_safetensors
from .torch_file import open_torch

FILE_LIMIT = 16 << 30  # bytes; DiT-XL/2 in float32 has 2.7 GB, with moving averages and the optimizer's state 10.8 GB
ZIP = b"PK\x03\x04"
PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


def open_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Open a checkpoint: names, shapes and types are read and checked, data are not.

    Parameters
    ----------
    path
        A regular file, safetensors or saved by PyTorch, with float16, bfloat16 or float32 tensors, none empty.

    Returns
    -------
    Its state dict, whose tensors are read when they are converted to arrays. The file must stay as it is meanwhile.

    Raises
    ------
    InputError
        The file cannot be read or is none such; the text names the file, and the tensor at fault.
    """
    path = Path(path)
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path} must be a regular file")
    if status.st_size > FILE_LIMIT:
        raise InputError(f"{path} must have at most {FILE_LIMIT} bytes, not {status.st_size}")
    with open_input(path) as file:
        start = file.read(len(ZIP))
    if start == ZIP:
        return open_torch(path)
    if start.startswith(PICKLES):
        raise InputError(f"{path} must be a safetensors file or a zip of PyTorch, not a bare pickle")
    return open_safetensors(path)


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read all tensors of a checkpoint.

    Returns
    -------
    Tensors by name, as float32 (float16 and bfloat16 are widened exactly), and the file's metadata, text by key.

    Raises
    ------
    InputError
        As `open_checkpoint` does, or a tensor is not finite.
    """
    checkpoint = open_checkpoint(path)
    tensors = {name: np.array(tensor, np.float32) for name, tensor in checkpoint.items()}
    return tensors, dict(checkpoint.metadata)
