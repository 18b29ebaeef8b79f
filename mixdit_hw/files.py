"""Reads array and text files without trusting them, and writes files whole or not at all."""

import contextlib
import os
import stat
import tempfile
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np

from .errors import InputError, OutputError

_HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the same for all files, so that equal contents give equal bytes


@contextlib.contextmanager
def open_input(path: Path) -> Iterator[IO[bytes]]:
    """A regular file to read.

    Raises
    ------
    InputError
        It cannot be opened or read, or is something else, such as a pipe that may never end.
    """
    try:
        # A pipe that nobody writes to would keep a plain open waiting.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InputError(f"{path}: cannot be read: not a regular file")
            yield file
    except OSError as e:
        raise InputError(f"{path}: cannot be read: {e.strerror or e}") from None


def read_text(path: Path, most: int) -> str:
    """Read a text file in UTF-8 of at most so many bytes.

    Raises
    ------
    InputError
        It cannot be read, is longer, or is no UTF-8.
    """
    with open_input(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise InputError(f"{path}: must have at most {most} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as e:
        raise InputError(f"{path}: must be UTF-8, which byte {e.start} is not") from None


def read_npy(path: Path, dtype: str = "float32", ndim: int | None = None) -> np.ndarray:
    """Read a ``.npy`` file of one number type.

    The header is checked against the file's size before anything is allocated, and nothing in the file is executed.

    Parameters
    ----------
    path
        File to read.
    dtype
        Type that the elements must have, in any byte order; the result has the native one.
    ndim
        Number of axes that the array must have; None for any but 0.

    Raises
    ------
    InputError
        The file cannot be read, is no complete ``.npy`` file, or holds an array of another kind or without elements.
    """
    with open_input(path) as file:
        return _read_array(file, os.fstat(file.fileno()).st_size, str(path), dtype, ndim)


def read_npz(path: Path, dtypes: dict[str, str]) -> dict[str, np.ndarray]:
    """Read the arrays of an ``.npz`` file, which must have exactly the given names and types.

    Arrays may have any shape, that of a scalar too; ``str`` stands for text of any length.

    Raises
    ------
    InputError
        As `read_npy`, or the names differ.
    """
    try:
        with open_input(path) as source, zipfile.ZipFile(source) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if sorted(members) != sorted(dtypes):
                raise InputError(f"{path}: must hold {', '.join(sorted(dtypes))}, not {', '.join(sorted(members))}")
            arrays = {}
            for name, dtype in dtypes.items():
                with archive.open(members[name]) as file:
                    arrays[name] = _read_array(file, members[name].file_size, f"{path}: {name}", dtype, -1)
            return arrays
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, KeyError) as e:
        raise InputError(f"{path}: not a readable .npz file: {_one_line(e)}") from None


def check_output(path: Path) -> None:
    """Raise OutputError where a file cannot be written; called before work whose result it shall hold."""
    if path.exists() and not path.is_file():
        raise OutputError(f"{path}: cannot be written: not a regular file")
    try:
        handle, name = tempfile.mkstemp(prefix=".", suffix=".partial", dir=_resolve(path).parent)
        os.close(handle)
        os.unlink(name)
    except OSError as e:
        raise OutputError(f"{path}: cannot be written: {e.strerror or e}") from None


def check_outputs(folder: Path, names: Iterable[str]) -> None:
    """Make a folder where there is none, and raise OutputError where one of these files in it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputError(f"{folder}: cannot be written: {e.strerror or e}") from None
    for name in names:
        check_output(folder / name)


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which takes the place of ``path`` when the block ends without an exception.

    Raises
    ------
    OutputError
        It cannot be written; ``path`` is then as it was.
    """
    temporary = None
    try:
        target = _resolve(path)
        with tempfile.NamedTemporaryFile(prefix=".", suffix=".partial", dir=target.parent, delete=False) as file:
            temporary = file.name
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, target)
        temporary = None
    except OSError as e:
        raise OutputError(f"{path}: cannot be written: {e.strerror or e}") from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def write_npy(path: Path, array: np.ndarray) -> None:
    """Write a ``.npy`` file, whole or not at all; OutputError where it cannot be written."""
    with atomic_write(path) as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an ``.npz`` file, whole or not at all, with the same bytes for the same arrays."""
    with atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", _ZIP_DATE)
            with archive.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all; OutputError where it cannot be written."""
    with atomic_write(path) as file:
        file.write(text.encode())


def _resolve(path: Path) -> Path:
    """The file that a path leads to: of a link, that is replaced and not the link. OSError for links in a circle."""
    with contextlib.suppress(FileNotFoundError):
        path.stat()
    return path.resolve()


def _read_array(file: IO[bytes], size: int, what: str, dtype: str, ndim: int | None) -> np.ndarray:
    """Read one array of a file of so many bytes; ``ndim`` -1 allows scalars too."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's, on files written by Python 2
            version = np.lib.format.read_magic(file)
            if version not in _HEADER_READERS:
                raise ValueError(f"version {version[0]}.{version[1]} of the format is not supported")
            shape, fortran_order, found = _HEADER_READERS[version](file)
    except OSError:
        raise
    except Exception as e:  # of any kind: the header goes through Python's tokenizer and parser
        raise InputError(f"{what}: not a readable .npy file: {_one_line(e)}") from None
    wanted = found.kind == "U" if dtype == "str" else found.newbyteorder("=") == np.dtype(dtype)
    if not wanted:
        raise InputError(f"{what}: dtype must be {dtype}, not {found}")
    if any(type(n) is not int or n < 0 for n in shape):  # True is an int, too
        raise InputError(f"{what}: shape must be of numbers from 0, not {shape}")
    if ndim != -1 and (len(shape) != ndim if ndim is not None else not shape):
        raise InputError(f"{what}: must have {ndim or 'at least 1'} axes, not shape {shape}")
    if 0 in shape:
        raise InputError(f"{what}: must not be empty, but has shape {shape}")
    count = 1
    for n in shape:
        count *= n
    expected = file.tell() + count * found.itemsize
    if size != expected:
        raise InputError(f"{what}: must have {expected} bytes for shape {shape}, not {size}")
    data = file.read(count * found.itemsize)
    if len(data) != count * found.itemsize:
        raise InputError(f"{what}: ended early")
    array = np.frombuffer(data, found).reshape(shape, order="F" if fortran_order else "C")
    return np.ascontiguousarray(array.astype(found.newbyteorder("="), copy=False)).reshape(shape)


def _one_line(e: BaseException) -> str:
    return (" ".join(str(e).split()) or type(e).__name__)[:200]
