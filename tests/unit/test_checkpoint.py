"""mixdit_hw.checkpoint: files are read exactly, and bad ones give one line that names the fault."""

import json
import os
import re

import numpy as np
import pytest
from safetensors.numpy import save

from golden.diffusion import Schedule
from mixdit_hw.checkpoint import load_dit, read_checkpoint, reading
from mixdit_hw.errors import InputError
from tests.support.tiny_dit import CONFIG, tiny_state

METADATA = {"heads": "2", "schedule": "linear", "steps": "1000"}


@pytest.fixture
def write(tmp_path):
    """Write bytes, or tensors with metadata, and return the path."""

    def write(content, metadata=None):
        path = tmp_path / "file.safetensors"
        path.write_bytes(content if isinstance(content, bytes) else save(content, metadata=metadata))
        return path

    return write


def file_bytes(header, data=b""):
    """A file with that header, text or an object."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_all_float16_values_are_widened_exactly(write):
    words = np.arange(1 << 16, dtype=np.uint16)
    halves = words[words & 0x7C00 != 0x7C00].view(np.float16)
    tensors, metadata = read_checkpoint(write({"x": halves.reshape(2, -1)}))
    assert metadata == {}
    assert tensors["x"].dtype == np.float32
    assert tensors["x"].shape == (2, halves.size // 2)
    assert np.array_equal(tensors["x"].reshape(-1).astype(np.float16).view(np.uint16), halves.view(np.uint16))


def test_float32_and_metadata(write):
    x = np.random.default_rng(1).standard_normal((3, 4), np.float32)
    tensors, metadata = read_checkpoint(write({"x": x, "y": x[0]}, {"heads": "2"}))
    assert metadata == {"heads": "2"}
    assert set(tensors) == {"x", "y"}
    assert np.array_equal(tensors["x"], x)
    assert np.array_equal(tensors["y"], x[0])


def tensor(**changes):
    return {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "must be a safetensors file or a zip of PyTorch: "),
        (b"\x08\0\0", "must be a safetensors file or a zip of PyTorch: "),
        (file_bytes("not JSON"), "must be a safetensors file or a zip of PyTorch: "),
        (file_bytes("[]"), "must be a safetensors file or a zip of PyTorch: "),
        (file_bytes(tensor(), b"1234567"), "must be a safetensors file or a zip of PyTorch: "),
        (file_bytes(tensor(), b"123456789"), "must be a safetensors file or a zip of PyTorch: "),
        (file_bytes(tensor(shape=[3]), b"12345678"), "must be a safetensors file or a zip of PyTorch: "),
        (file_bytes(tensor(shape=[-2]), b"12345678"), "must be a safetensors file or a zip of PyTorch: "),
        (file_bytes(tensor(data_offsets=[8, 0]), b"12345678"), "must be a safetensors file or a zip of PyTorch: "),
        (file_bytes(tensor(dtype="F31"), b"12345678"), "must be a safetensors file or a zip of PyTorch: "),
        (file_bytes(tensor(shape=[1 << 40, 1 << 40]), b"12345678"), "must be a safetensors file or a zip of PyTorch: "),
        (
            (1 << 62).to_bytes(8, "little"),
            "must have a header of at most 1048576 bytes, not 4611686018427387904",
        ),
        (save({"x": np.zeros(2)}), ": 'x' must be F16, BF16 or F32, not F64"),
        (save({"x": np.zeros(2, np.int8)}), ": 'x' must be F16, BF16 or F32, not I8"),
        (
            save({"x": np.zeros((2, 0), np.float32)}),
            ": 'x' must have no empty axis, not the shape (2, 0)",
        ),
        (save({"x": np.array([1, np.inf], np.float16)}), ": 'x' must be finite"),
        (save({"a\nb": np.array([np.nan], np.float32)}), r": 'a\nb' must be finite"),
    ],
)
def test_bad_file(write, content, text):
    path = write(content)
    with pytest.raises(InputError, match=re.escape(text)) as info:
        read_checkpoint(path)
    assert str(info.value).startswith(str(path))
    assert "\n" not in str(info.value)


def test_missing_file(tmp_path):
    path = tmp_path / "none.safetensors"
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: cannot be read: No such file or directory$"):
        read_checkpoint(path)


def test_not_a_regular_file(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (tmp_path, fifo):
        with pytest.raises(InputError, match=f"^{re.escape(str(path))} must be a regular file$"):
            read_checkpoint(path)


def test_large_file(write, monkeypatch):
    monkeypatch.setattr(reading, "FILE_LIMIT", 100)
    path = write(bytes(101))
    with pytest.raises(InputError, match=r"must have at most 100 bytes, not 101$"):
        read_checkpoint(path)


def test_load_dit(write):
    model, schedule = load_dit(write(tiny_state(1), METADATA))
    assert model.config == CONFIG
    assert schedule == Schedule(name="linear", steps=1000)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"heads": None}, " must have 'heads' in its metadata"),
        ({"steps": None}, " must have 'steps' in its metadata"),
        ({"heads": "two"}, ": heads must be a whole number, not 'two'"),
        ({"heads": "3"}, ": hidden_size must be a multiple of 4 and of heads=3, not 8"),
        ({"steps": "1000000000"}, ": steps must be a whole number, not '1000000000'"),
        ({"schedule": "sigmoid"}, ": schedule must be one of cosine, linear, not 'sigmoid'"),
    ],
)
def test_bad_metadata(write, change, text):
    path = write(tiny_state(), {k: v for k, v in (METADATA | change).items() if v is not None})
    with pytest.raises(InputError, match=f"^{re.escape(str(path) + text)}$"):
        load_dit(path)


def test_not_a_dit(write):
    path = write({"x": np.zeros(1, np.float32)}, METADATA)
    text = f"{path}: state dict must hold 'x_embedder.proj.weight', which is missing"
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        load_dit(path)


def test_the_example_is_the_documented_model():
    model, schedule = load_dit()
    cfg = model.config
    assert schedule == Schedule(name="cosine", steps=1000)
    assert (cfg.input_size, cfg.patch_size, cfg.in_channels, cfg.classes) == (8, 1, 1, 10)
    assert (cfg.hidden_size, cfg.heads, cfg.head_size, cfg.depth, cfg.learn_sigma) == (144, 2, 72, 4, False)
