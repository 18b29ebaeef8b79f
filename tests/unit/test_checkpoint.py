"""mixdit_hw.checkpoint: files are read exactly, and bad ones give one line that names the fault."""

import io
import json
import os
import pickle
import re
import sys
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save

from golden.diffusion import Schedule
from golden.dit import DiT
from mixdit_hw.checkpoint import LazyTensor, load_dit, open_checkpoint, read_checkpoint, reading, torch_file
from mixdit_hw.errors import InputError
from tests.support.official_dit import OFFICIAL, official_state
from tests.support.tiny_dit import CONFIG, tiny_inputs, tiny_state

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


def test_all_bfloat16_values_are_widened_exactly(write):
    words = np.arange(1 << 16, dtype=np.uint16)
    words = words[words & 0x7F80 != 0x7F80]
    header = {"x": {"dtype": "BF16", "shape": [2, words.size // 2], "data_offsets": [0, words.nbytes]}}
    path = write(file_bytes(header, words.astype("<u2").tobytes()))
    assert open_checkpoint(path)["x"].kind == "BF16"
    tensors, _ = read_checkpoint(path)
    assert tensors["x"].dtype == np.float32
    assert tensors["x"].shape == (2, words.size // 2)
    assert np.array_equal(tensors["x"].reshape(-1).view(np.uint32), words.astype(np.uint32) << 16)


def test_tensors_are_found_between_others(write):
    """Of every size of value, in an order that is not that of the names; tensors of another part may be of any type."""
    g = np.random.default_rng(2)
    halves, words = g.standard_normal(5).astype(np.float16), g.standard_normal((3, 2), np.float32)
    state = {"ema.c": words, "ema.a": halves, "ema.b": words[:, 1].copy()}
    others = {"model.a": words, "step": np.array(7), "flag": np.array([True]), "b": np.zeros(5, np.int8)}
    checkpoint = open_checkpoint(write(others | state, {"key": "text"}))
    assert checkpoint.part == "ema"
    assert checkpoint.metadata == {"key": "text"}
    assert sorted(checkpoint) == ["a", "b", "c"]
    for name, tensor in checkpoint.items():
        expected = state[f"ema.{name}"]
        assert (tensor.shape, tensor.dtype) == (expected.shape, expected.dtype)
        assert np.array_equal(np.asarray(tensor), expected)


def test_part_by_prefix(write):
    x = np.zeros(1, np.float32)
    for part in ("model", "state_dict"):
        checkpoint = open_checkpoint(write({f"{part}.x": x, "y": x}))
        assert checkpoint.part == part
        assert list(checkpoint) == ["x"]
    checkpoint = open_checkpoint(write({"x": x, "y": x}))
    assert checkpoint.part is None
    assert len(checkpoint) == 2


def test_an_array_of_a_tensor_is_new_and_writeable(write):
    tensor = open_checkpoint(write({"x": np.ones(3, np.float32)}))["x"]
    for make in (np.asarray, np.array, lambda x: np.array(x, np.float32), lambda x: np.asarray(x, np.float64)):
        make(tensor)[:] = 2
    assert np.asarray(tensor).tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match=r"^a tensor of a file must be copied to become an array$"):
        np.array(tensor, copy=False)


def test_file_that_changes(write):
    state = {"x": np.zeros(3, np.float32)}
    path = write(state)
    checkpoint = open_checkpoint(path)
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: was changed while it was in use$"):
        np.asarray(checkpoint["x"])
    path.unlink()
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: cannot be read: No such file or directory$"):
        np.asarray(checkpoint["x"])


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
            "must be a safetensors file, whose header has at most 1048576 bytes, or a zip of PyTorch",
        ),
        (save({"x": np.zeros(2)}), ": 'x' must be F16, BF16 or F32, not F64"),
        (save({"x": np.zeros(2, np.int8)}), ": 'x' must be F16, BF16 or F32, not I8"),
        (
            save({"x": np.zeros((2, 0), np.float32)}),
            ": 'x' must have no empty axis, not the shape (2, 0)",
        ),
        (save({"x": np.array([1, np.inf], np.float16)}), ": 'x' must be finite"),
        (file_bytes(tensor(dtype="BF16", shape=[4]), b"\xc0\x7f" + bytes(6)), ": 'x' must be finite"),
        (save({"ema.x": np.array([np.nan], np.float16)}), " ('ema'): 'x' must be finite"),
        (save({"model.x": np.zeros(2, np.int8)}), " ('model'): 'x' must be F16, BF16 or F32, not I8"),
        (pickle.dumps({"x": 1}), " must be a safetensors file or a zip of PyTorch, not a bare pickle"),
        (b"PK\x03\x04", " must be a whole zip of PyTorch: File is not a zip file"),
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


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_checkpoint(write, name):
    """No metadata, and the names and shapes of the published files; streamed or not, the same results."""
    state, config = official_state(name, 1), OFFICIAL[name].config
    path = write(state, {"format": "pt"})
    model, schedule = load_dit(path)
    assert model.config == config
    assert schedule == Schedule(name="linear", steps=1000)
    streamed, _ = load_dit(path, streaming=True)
    g = np.random.default_rng(1)
    x = g.standard_normal((1, config.in_channels, config.input_size, config.input_size), np.float32)
    inputs = x, np.array([7]), np.array([1000])
    y = model(*inputs)
    assert np.isfinite(y).all()
    assert np.array_equal(y, DiT(state, heads=config.heads)(*inputs))
    assert np.array_equal(y, streamed(*inputs))


def test_what_shapes_do_not_tell_can_be_said(write):
    path = write(tiny_state(1))
    text = f"{path}: heads must be given where the width is none of 384, 768, 1024, 1152, but 8"
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        load_dit(path)
    model, schedule = load_dit(path, heads=4)
    assert (model.config.heads, schedule) == (4, Schedule())
    model, schedule = load_dit(open_checkpoint(path), heads=2, schedule="cosine", steps=500)
    assert (model.config, schedule) == (CONFIG, Schedule(name="cosine", steps=500))
    model, schedule = load_dit(write(tiny_state(1), METADATA), heads=1, steps=50)
    assert (model.config.heads, schedule) == (1, Schedule(steps=50))
    with pytest.raises(InputError, match=r": hidden_size must be a multiple of 4 and of heads=3, not 8$"):
        load_dit(path, heads=3)


def test_streaming_reads_a_layer_when_it_is_used(write, monkeypatch):
    path = write(tiny_state(4), METADATA)
    read = []
    original = LazyTensor.__array__

    def note(self, *args, **options):
        read.append(self.shape)
        return original(self, *args, **options)

    monkeypatch.setattr(LazyTensor, "__array__", note)
    model, _ = load_dit(path, streaming=True)
    assert read == [(1, 4, 8), (4, 8)]  # position and label embedding
    inputs = tiny_inputs(2, 4)
    y = model(*inputs)
    assert len(read) == len(CONFIG.state_shapes())
    model(*inputs)
    assert len(read) == 2 * len(CONFIG.state_shapes()) - 2
    assert np.array_equal(y, load_dit(path)[0](*inputs))
    assert model.weight("blocks.0.mlp.fc1").flags.writeable


def test_streaming_meets_a_nan_in_use(write):
    state = tiny_state(4)
    state["blocks.1.mlp.fc1.bias"][3] = np.nan
    path = write(state, METADATA)
    text = f"^{re.escape(str(path))}: 'blocks.1.mlp.fc1.bias' must be finite$"
    with pytest.raises(InputError, match=text):
        load_dit(path)
    model, _ = load_dit(path, streaming=True)
    with pytest.raises(InputError, match=text):
        model(*tiny_inputs(1, 4))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"pos_embed": None}, ": state dict must hold 'pos_embed', which is missing"),
        ({"blocks.1.attn.proj.bias": None}, ": state dict must hold 'blocks.1.attn.proj.bias', which is missing"),
        ({"blocks.1.mlp.fc2.bias": (9,)}, ": blocks.1.mlp.fc2.bias must be of shape (8,), not (9,)"),
        ({"blocks.1.mlp.fc2": (8,)}, ": state dict must not hold 'blocks.1.mlp.fc2', which is no tensor of this DiT"),
    ],
)
def test_names_and_shapes_are_checked_before_any_data(write, monkeypatch, change, text):
    monkeypatch.setattr(LazyTensor, "__array__", lambda *_, **__: pytest.fail("data were read"))
    state = tiny_state(1)
    for name, shape in change.items():
        state.pop(name, None)
        if shape is not None:
            state[name] = np.zeros(shape, np.float32)
    path = write(state, METADATA)
    for streaming in (False, True):
        with pytest.raises(InputError, match=f"^{re.escape(str(path) + text)}$"):
            load_dit(path, streaming=streaming)


def archive(**changes):
    """A zip such as PyTorch writes, with a pickle that is none."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", changes.get("pack", zipfile.ZIP_STORED)) as z:
        for name, data in ({"x/data.pkl": b"", "x/data/0": bytes(99)} | changes.get("members", {})).items():
            z.writestr(name, data)
    data = file.getvalue()
    return data[:-1] if changes.get("cut") else data


def claimed(size):
    """An archive whose directory says that of its last member."""
    data = archive()
    entry = data.rindex(b"PK\x01\x02")
    return data[: entry + 20] + 2 * size.to_bytes(4, "little") + data[entry + 28 :]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (archive(cut=True), " must be a whole zip of PyTorch: File is not a zip file"),
        (archive(members={"y/data.pkl": b""}), " must be a zip of PyTorch, with one data.pkl and no name twice"),
        (archive(pack=zipfile.ZIP_DEFLATED), ": 'x/data.pkl' must be stored as it is, not compressed or encrypted"),
        (claimed(0xFFFFFFF0), ": 'x/data/0' must fit into the file of 309 bytes, not have 4294967280"),
        (claimed(300), ": 'x/data/0' must fit into the file of 309 bytes, not have 300"),
        (
            archive(members={"x/data.pkl": bytes(1001)}),
            ": 'x/data.pkl' must have at most 1000 bytes, not 1001",
        ),
    ],
)
def test_bad_archive(write, monkeypatch, content, text):
    """None of them is given to PyTorch, which need not be there."""
    monkeypatch.setattr(torch_file, "PICKLE_LIMIT", 1000)
    monkeypatch.setitem(sys.modules, "torch", None)
    path = write(content)
    with pytest.raises(InputError, match=f"^{re.escape(str(path) + text)}$"):
        open_checkpoint(path)


def test_file_of_pytorch_without_it(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    path = write(archive())
    text = "is a file of PyTorch, which is not installed: install PyTorch (pip install torch), or convert the file to"
    with pytest.raises(InputError, match=f"^{re.escape(f'{path} {text} safetensors')}$"):
        load_dit(path)


def test_damaged_files(write):
    """Cut anywhere or with bytes changed, a file is read or refused in one line: nothing else is raised."""
    good = save(tiny_state(2), METADATA)
    header = int.from_bytes(good[:8], "little")
    g = np.random.default_rng(9)
    damaged = [good[:end] for end in g.integers(0, len(good), 60)]
    for end in (8, 8 + header, len(good)):
        for _ in range(200):
            data = bytearray(good)
            for at in g.integers(0, end, g.integers(1, 4)):
                data[at] = g.integers(0, 256)
            damaged.append(bytes(data))
    texts, path = [], write(good)
    for data in damaged:
        path.write_bytes(data)
        try:
            load_dit(path)
        except InputError as error:
            texts.append(str(error))
    assert len(texts) > 400
    assert all(text.startswith(str(path)) and "\n" not in text for text in texts)
