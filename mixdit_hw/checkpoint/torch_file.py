"""Files that PyTorch saved: zip archives of a pickle and the tensors' data, read by PyTorch's restricted unpickler.

What is read here executes nothing: the unpickler knows how to build tensors, containers and numbers, and refuses all
else. Sizes are checked before it is called. The data are mapped into memory, where the system drops them again.
"""

# PyTorch is no dependency of the project.
# pyright: reportMissingImports=false

import argparse
import contextlib
import re
import struct
import warnings
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import open_input
from .lazy import PARTS, Checkpoint, LazyTensor, label, quote

PICKLE_LIMIT = 16 << 20  # bytes; DiT-XL/2 has 40 KB, with its optimizer some 200 KB
OLDEST = (2, 6)  # version of PyTorch from which the restricted unpickler is known to keep its word
KINDS = {"float16": "F16", "bfloat16": "BF16", "float32": "F32"}


def open_torch(path: Path) -> Checkpoint:
    """Read the pickle of a file of PyTorch.

    The state dict is all of it, or what it holds under ``ema``, ``model`` or ``state_dict``, the first that is there.

    Raises
    ------
    InputError
        PyTorch is missing, or the file cannot be read or is no state dict; the text names the file, and the tensor at
        fault.
    """
    size = _check_archive(path)
    torch = _import_torch(path)
    state = _load(torch, path)
    if not isinstance(state, dict):
        raise InputError(f"{path} must be a state dict, not {type(state).__name__}")
    part = next((part for part in PARTS if isinstance(state.get(part), dict)), None)
    tensors = _index(torch, state if part is None else state[part], label(path, part), size)
    return Checkpoint(path, tensors, part=part, metadata={})


def _import_torch(path: Path) -> Any:
    try:
        import torch
    except (ImportError, OSError):  # OSError: a library of it is missing
        advice = "install PyTorch (pip install torch), or convert the file to safetensors"
        raise InputError(f"{path} is a file of PyTorch, which is not installed: {advice}") from None
    numbers = re.match(r"(\d+)\.(\d+)", torch.__version__)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise InputError(f"{path} needs PyTorch {wanted} or later to be read safely, not {torch.__version__}")
    return torch


def _load(torch: Any, path: Path) -> Any:
    """What the file holds, its tensors mapped into memory."""
    with contextlib.ExitStack() as stack:
        # PyTorch takes a path of this ending for another kind of file, and maps only what it has a path of.
        mapped = path.suffix != ".safetensors"
        source = path if mapped else stack.enter_context(open_input(path))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        # The options of a training are such a namespace, which does nothing but hold values.
        stack.enter_context(torch.serialization.safe_globals([argparse.Namespace]))
        try:
            return torch.load(source, map_location="cpu", weights_only=True, mmap=mapped)
        except Exception as error:  # of any kind
            raise InputError(f"{path} must be a state dict saved by PyTorch: {_reason(error)}") from None


def _check_archive(path: Path) -> int:
    """The file's size; InputError unless it is an archive whose sizes are true and sane."""
    try:
        with open_input(path) as source, zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            size = source.seek(0, 2)
    except InputError:
        raise
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, struct.error) as error:
        raise InputError(f"{path} must be a whole zip of PyTorch: {_reason(error)}") from None
    names = [member.filename for member in members]
    pickles = [member for member in members if member.filename.endswith("/data.pkl")]
    if len(pickles) != 1 or len(set(names)) < len(names):
        raise InputError(f"{path} must be a zip of PyTorch, with one data.pkl and no name twice")
    for member in members:
        what = f"{path}: {quote(member.filename)}"
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise InputError(f"{what} must be stored as it is, not compressed or encrypted")
        if not member.file_size == member.compress_size <= size - member.header_offset:
            raise InputError(f"{what} must fit into the file of {size} bytes, not have {member.file_size}")
    if pickles[0].file_size > PICKLE_LIMIT:
        what = f"{path}: {quote(pickles[0].filename)}"
        raise InputError(f"{what} must have at most {PICKLE_LIMIT} bytes, not {pickles[0].file_size}")
    return size


def _index(torch: Any, state: dict[Any, Any], file: str, size: int) -> dict[str, LazyTensor]:
    """The tensors of a state dict; no more bytes of them than the file has, as there may be with strides of 0."""
    tensors: dict[str, LazyTensor] = {}
    total = 0
    for name, tensor in state.items():
        what = f"{file}: {quote(name)}"
        if not isinstance(name, str):
            raise InputError(f"{what} must be the name of a tensor")
        if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
            raise InputError(f"{what} must be a tensor, not {type(tensor).__name__}")
        if tensor.is_nested or tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise InputError(f"{what} must be a dense tensor with its data")
        dtype = str(tensor.dtype).removeprefix("torch.")
        shape = tuple(tensor.shape)
        tensors[name] = LazyTensor(what, KINDS.get(dtype, dtype), shape, partial(_read, torch, tensor.detach()))
        total += tensor.numel() * tensor.element_size()
        if total > size:
            raise InputError(f"{what} must fit into the file of {size} bytes, not have the shape {shape}")
    return tensors


def _read(torch: Any, tensor: Any) -> np.ndarray:
    return tensor.float().numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy().copy()


def _reason(error: BaseException) -> str:
    """The fault in few words, without advice to trust the file."""
    text = " ".join(str(error).split())
    found = re.search(r"GLOBAL ([\w.]+)", text)
    if found is not None:
        return f"it asks for {found[1]}, which is not allowed"
    return text[:200] or type(error).__name__
