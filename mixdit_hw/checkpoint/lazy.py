"""Tensors of a file that are read when they are needed, and the state dict of them."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError

PARTS = ("ema", "model", "state_dict")  # of a training's checkpoint, the one preferred first: moving averages
KINDS = {"F16": np.float16, "BF16": np.float32, "F32": np.float32}  # of tensors, and of the arrays that they become


def label(path: Path, part: str | None) -> str:
    """What messages call a file, or a part of it."""
    return str(path) if part is None else f"{path} ({part!r})"


def quote(name: object) -> str:
    """A name in quotes, on one line and not longer than a line."""
    text = repr(name)
    return text if len(text) <= 100 else f"{text[:97]}..."


class LazyTensor:
    """A tensor of a file, which `numpy.asarray` reads: each time anew, so that nothing is kept.

    It becomes float16 or float32; BF16 is widened exactly. Reading raises InputError where the file cannot be read or
    a value is not finite.

    Parameters
    ----------
    what
        What messages call it: the file and the name.
    kind
        As in the file: F16, BF16 or F32.
    shape
        Its axes, none of them empty.
    read
        Gives an array of that shape and of the type that the kind becomes.

    Raises
    ------
    InputError
        It is of another kind, or empty.
    """

    def __init__(self, what: str, kind: str, shape: tuple[int, ...], read: Callable[[], np.ndarray]) -> None:
        if kind not in KINDS:
            raise InputError(f"{what} must be F16, BF16 or F32, not {kind}")
        if 0 in shape:
            raise InputError(f"{what} must have no empty axis, not the shape {shape}")
        self.kind = kind
        self.shape = shape
        self.dtype = np.dtype(KINDS[kind])
        self._what = what
        self._read = read

    def __array__(self, dtype: Any = None, *, copy: bool | None = None) -> np.ndarray:
        """Read it."""
        if copy is False:
            raise ValueError("a tensor of a file must be copied to become an array")
        array = self._read()
        if not np.isfinite(array).all():
            raise InputError(f"{self._what} must be finite")
        return array if dtype is None else array.astype(dtype, copy=False)


class Checkpoint(Mapping[str, LazyTensor]):
    """State dict of a file: its tensors by name.

    Parameters
    ----------
    path
        The file.
    tensors
        By name.
    part
        Where in the file the state dict was found: ``ema``, ``model``, ``state_dict``, or None for all of it.
    metadata
        Text of the file by key; PyTorch's files have none.
    """

    def __init__(
        self, path: Path, tensors: Mapping[str, LazyTensor], *, part: str | None, metadata: Mapping[str, str]
    ) -> None:
        self.path = path
        self.part = part
        self.metadata = metadata
        self._tensors = tensors

    @property
    def label(self) -> str:
        """What messages call it: the file, and the part of it."""
        return label(self.path, self.part)

    def __getitem__(self, name: str) -> LazyTensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)
