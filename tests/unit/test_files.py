"""Files that cannot be trusted, and files that are written whole or not at all."""

import contextlib
import io
import os
import pickle
import stat
import struct
from pathlib import Path

import numpy as np
import pytest

from mixdit_hw.errors import InputError, OutputError
from mixdit_hw.files import (
    atomic_write,
    check_output,
    check_outputs,
    read_npy,
    read_npz,
    read_text,
    write_npy,
    write_npz,
    write_text,
)
from tests.support.errors import raises_exactly


def save(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4"])
def test_reads_either_order_of_bytes_and_axes(tmp_path: Path, order: str, dtype: str) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.save(tmp_path / "x.npy", np.asarray(x, dtype, order="F" if order == "F" else "C"))
    found = read_npy(tmp_path / "x.npy", ndim=2)
    assert found.dtype == np.float32
    assert found.dtype.isnative
    assert found.flags.c_contiguous
    assert (found == x).all()


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.zeros((2, 3)), "dtype must be float32, not float64"),
        (np.zeros((2, 3), np.float16), "dtype must be float32, not float16"),
        (np.zeros((2, 3), np.int32), "dtype must be float32, not int32"),
        (np.zeros((2, 3), np.complex64), "dtype must be float32, not complex64"),
        (np.zeros((2, 3), [("a", "<f4")]), "dtype must be float32, not [('a', '<f4')]"),
        (np.zeros(3, np.float32), "must have 2 axes, not shape (3,)"),
        (np.zeros((1, 2, 3), np.float32), "must have 2 axes, not shape (1, 2, 3)"),
        (np.zeros((), np.float32), "must have 2 axes, not shape ()"),
        (np.zeros((0, 3), np.float32), "must not be empty, but has shape (0, 3)"),
        (np.zeros((3, 0), np.float32), "must not be empty, but has shape (3, 0)"),
    ],
)
def test_wrong_arrays(tmp_path: Path, array: np.ndarray, text: str) -> None:
    path = save(tmp_path / "x.npy", array)
    with raises_exactly(InputError, f"{path}: {text}"):
        read_npy(path, ndim=2)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with raises_exactly(InputError, f"{tmp_path / 'no.npy'}: cannot be read: No such file or directory"):
        read_npy(tmp_path / "no.npy")
    with raises_exactly(InputError, f"{tmp_path}: cannot be read: Is a directory"):
        read_npy(tmp_path)


@pytest.mark.parametrize("read", [read_npy, lambda path: read_npz(path, {"data": "uint8"})], ids=["npy", "npz"])
def test_pipe_is_no_input(tmp_path: Path, read) -> None:
    """It is refused at once, and not waited for."""
    os.mkfifo(tmp_path / "pipe")
    with raises_exactly(InputError, f"{tmp_path / 'pipe'}: cannot be read: not a regular file"):
        read(tmp_path / "pipe")


class Bomb:
    """Unpickling it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_pickles_are_not_executed(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    np.save(tmp_path / "object.npy", np.array([Bomb(mark)]), allow_pickle=True)
    with raises_exactly(InputError, f"{tmp_path / 'object.npy'}: dtype must be float32, not object"):
        read_npy(tmp_path / "object.npy")
    (tmp_path / "bare.npy").write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(InputError, match=r"bare\.npy: not a readable \.npy file: "):
        read_npy(tmp_path / "bare.npy")
    assert not mark.exists()


def header(text: str, data: bytes = b"") -> bytes:
    body = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(body)) + body + data


SHAPE = "{'descr': '<f4', 'fortran_order': False, 'shape': "
PAIR = header(SHAPE + "(2,)}")
HUGE = header(SHAPE + "(4611686018427387904, 4)}")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "not a readable .npy file: "),
        (b"not numpy at all", "not a readable .npy file: "),
        (b"\x93NUMPY\x03\x00" + bytes(10), "not a readable .npy file: version 3.0 of the format is not supported"),
        (header("{"), "not a readable .npy file: "),
        (header("__import__('os').mkdir('x')"), "not a readable .npy file: "),
        (header("{'descr': '|O', 'fortran_order': False, 'shape': (2,)}"), "dtype must be float32, not object"),
        (header(SHAPE + "(-1,)}"), "shape must be of numbers from 0, not (-1,)"),
        (header(SHAPE + "(True, True)}", bytes(4)), "shape must be of numbers from 0, not (True, True)"),
        (PAIR + bytes(7), f"must have {len(PAIR) + 8} bytes for shape (2,), not {len(PAIR) + 7}"),
        (PAIR + bytes(9), f"must have {len(PAIR) + 8} bytes for shape (2,), not {len(PAIR) + 9}"),
        (HUGE, f"must have {(1 << 66) + len(HUGE)} bytes for shape (4611686018427387904, 4), not {len(HUGE)}"),
    ],
    ids=["empty", "text", "version", "brace", "code", "object", "negative", "truth", "short", "long", "huge"],
)
def test_corrupt_files(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    with pytest.raises(InputError) as e:
        read_npy(path)
    assert str(e.value).startswith(f"{path}: {text}")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_bytes_give_an_array_or_a_clear_error(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    buffer = io.BytesIO()
    np.save(buffer, np.ones((3, 5), np.float32))
    path = tmp_path / "x.npy"
    for _ in range(300):
        data = bytearray(buffer.getvalue())
        for place in rng.integers(0, 80, int(rng.integers(1, 4))):
            data[place] = int(rng.integers(256))
        path.write_bytes(data[: int(rng.integers(0, len(data) + 1))] if rng.random() < 0.3 else data)
        try:
            outcome = str(read_npy(path).dtype)
        except InputError as e:
            outcome = str(e)
        assert outcome == "float32" or outcome.startswith(f"{path}: ")
        assert "\n" not in outcome


def test_npz_goes_there_and_back(tmp_path: Path) -> None:
    arrays = {"data": np.arange(5, dtype=np.uint8), "axis": np.array(1, np.int64), "format": np.array("mx9")}
    write_npz(tmp_path / "x.npz", arrays)
    found = read_npz(tmp_path / "x.npz", {"data": "uint8", "axis": "int64", "format": "str"})
    assert all((found[name] == array).all() and found[name].shape == array.shape for name, array in arrays.items())
    with np.load(tmp_path / "x.npz") as plain:
        assert sorted(plain.files) == sorted(arrays)
    write_npz(tmp_path / "y.npz", arrays)
    assert (tmp_path / "x.npz").read_bytes() == (tmp_path / "y.npz").read_bytes()


def test_wrong_npz(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    write_npz(path, {"data": np.zeros(2, np.uint8)})
    with raises_exactly(InputError, f"{path}: must hold other, not data"):
        read_npz(path, {"other": "uint8"})
    with raises_exactly(InputError, f"{path}: data: dtype must be int64, not uint8"):
        read_npz(path, {"data": "int64"})
    path.write_bytes(path.read_bytes()[:40])
    with raises_exactly(InputError, f"{path}: not a readable .npz file: File is not a zip file"):
        read_npz(path, {"data": "uint8"})


def test_text(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes("µ\r\n".encode())
    assert read_text(path, 4) == "µ\r\n"
    with raises_exactly(InputError, f"{path}: must have at most 3 bytes"):
        read_text(path, 3)
    path.write_bytes(b"a\xff")
    with raises_exactly(InputError, f"{path}: must be UTF-8, which byte 1 is not"):
        read_text(path, 2)
    with raises_exactly(InputError, f"{tmp_path / 'y'}: cannot be read: No such file or directory"):
        read_text(tmp_path / "y", 2)


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    write_text(path, "old")
    with contextlib.suppress(KeyError), atomic_write(path) as file:
        file.write(b"half")
        raise KeyError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.txt"]


def test_written_file_has_usual_rights(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_npy(tmp_path / "x.npy", np.zeros(2, np.float32))
    rights = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "x.npy")]
    assert rights[0] == rights[1]


def test_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_text(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "text"


def test_outputs_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, reason in [
        (tmp_path / "no" / "x.npy", "No such file or directory"),
        (tmp_path / "file" / "x.npy", "Not a directory"),
    ]:
        for write in (check_output, lambda p: write_npy(p, np.zeros(1, np.float32))):
            with raises_exactly(OutputError, f"{path}: cannot be written: {reason}"):
                write(path)
    with raises_exactly(OutputError, f"{tmp_path}: cannot be written: not a regular file"):
        check_output(tmp_path)
    check_output(tmp_path / "good.npy")
    assert os.listdir(tmp_path) == ["file"]


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "x.npy").symlink_to(tmp_path / "y.npy")
    (tmp_path / "y.npy").symlink_to(tmp_path / "x.npy")
    for path in (tmp_path / "x.npy", tmp_path / "x.npy" / "z.npy"):
        for write in (check_output, lambda p: write_npy(p, np.zeros(1, np.float32))):
            with raises_exactly(OutputError, f"{path}: cannot be written: Too many levels of symbolic links"):
                write(path)
        with raises_exactly(InputError, f"{path}: cannot be read: Too many levels of symbolic links"):
            read_npy(path)
    assert (tmp_path / "x.npy").is_symlink()


def test_outputs_of_a_folder(tmp_path: Path) -> None:
    check_outputs(tmp_path / "new" / "folder", ["a", "b"])
    assert os.listdir(tmp_path / "new" / "folder") == []
    (tmp_path / "b").mkdir()
    with raises_exactly(OutputError, f"{tmp_path / 'b'}: cannot be written: not a regular file"):
        check_outputs(tmp_path, ["a", "b"])
    (tmp_path / "file").touch()
    with raises_exactly(OutputError, f"{tmp_path / 'file'}: cannot be written: File exists"):
        check_outputs(tmp_path / "file", ["a"])
