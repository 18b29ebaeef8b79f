"""mixdit_hw.checkpoint on files that PyTorch saved; the golden DiT against PyTorch on the published geometry."""

# PyTorch is no dependency of the project.
# pyright: reportMissingImports=false

import argparse
import importlib.util
import io
import os
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from golden.diffusion import Schedule
from golden.dit import DiT
from mixdit_hw.checkpoint import load_dit, open_checkpoint, read_checkpoint, torch_file
from mixdit_hw.errors import InputError
from tests.support.official_dit import OFFICIAL, official_state
from tests.support.tiny_dit import CONFIG, tiny_inputs, tiny_state

torch: Any = None
if importlib.util.find_spec("torch") is not None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch

pytestmark = pytest.mark.skipif(torch is None, reason="NOT RUN: checkpoints of PyTorch, which is missing")


@pytest.fixture
def write(tmp_path):
    """Save an object as PyTorch does, or write bytes, and return the path."""

    def write(content, name="file.pt"):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path)
        return path

    return write


def tensors(state):
    """The same state dict of PyTorch."""
    return {name: torch.from_numpy(array) for name, array in state.items()}


def test_all_types_are_read_exactly(write):
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    state = {
        "word": x,
        "half": x.half(),
        "brain": x.bfloat16(),
        "turned": x.T,
        "part": x[1:, 2],
        "parameter": torch.nn.Parameter(x),
        "one": torch.tensor(2.5),
    }
    checkpoint = open_checkpoint(write(state))
    assert [t.kind for t in checkpoint.values()] == ["F32", "F16", "BF16", "F32", "F32", "F32", "F32"]
    assert np.asarray(checkpoint["half"]).dtype == np.float16
    found, metadata = read_checkpoint(checkpoint.path)
    assert metadata == {}
    assert list(found) == list(state)
    for name, array in found.items():
        assert array.dtype == np.float32
        assert array.shape == tuple(state[name].shape)
        assert np.array_equal(array, state[name].detach().float().numpy())


def test_an_array_of_a_tensor_is_new_and_writeable(write):
    for dtype in (torch.float32, torch.bfloat16):
        tensor = open_checkpoint(write({"x": torch.ones(3, dtype=dtype)}))["x"]
        for make in (np.asarray, np.array, lambda x: np.array(x, np.float32)):
            make(tensor)[:] = 2
        assert np.asarray(tensor).tolist() == [1, 1, 1]


def test_content_tells_the_kind(write):
    """Whatever the name ends in."""
    path = write({"x": torch.ones(2)}, "x.safetensors")
    assert list(open_checkpoint(path)) == ["x"]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({"x": 1}, None),
        ({"model": {"x": 0}, "ema": {"x": 1}, "state_dict": {"x": 0}}, "ema"),
        ({"state_dict": {"x": 0}, "model": {"x": 1}}, "model"),
        ({"state_dict": {"x": 1}, "ema": None, "epoch": 7}, "state_dict"),
    ],
)
def test_part(write, content, part):
    """Where ``content`` has a 1 for x, the state dict is."""

    def build(value):
        if isinstance(value, dict):
            return {k: torch.tensor([v]).float() if k == "x" else build(v) for k, v in value.items()}
        return value

    checkpoint = open_checkpoint(write(build(content)))
    assert checkpoint.part == part
    assert {name: np.asarray(t).tolist() for name, t in checkpoint.items()} == {"x": [1.0]}


def test_checkpoint_of_a_training(write):
    """As the published training script saves it: model, average, optimizer's state and options."""
    model = torch.nn.Linear(2, 3)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    average = {name: torch.full_like(t, 0.5) for name, t in model.state_dict().items()}
    options = argparse.Namespace(model="DiT-XL/2", lr=1e-4)
    path = write({"model": model.state_dict(), "ema": average, "opt": optimizer.state_dict(), "args": options})
    assert {name: np.asarray(t).flat[0] for name, t in open_checkpoint(path).items()} == {"weight": 0.5, "bias": 0.5}


def test_load_dit(write):
    """Streamed or not, the same results as from arrays."""
    state = tiny_state(3)
    path = write({"ema": tensors(state)})
    inputs = tiny_inputs(2, 3)
    expected = DiT(state, heads=2)(*inputs)
    for streaming in (False, True):
        model, schedule = load_dit(path, heads=2, streaming=streaming)
        assert (model.config, schedule) == (CONFIG, Schedule(name="linear", steps=1000))
        assert np.array_equal(model(*inputs), expected)


def reference(state, x, t, y, *, heads, patch):
    """A DiT in the words of PyTorch: convolution, fused attention, layer norm; the output (B, 8, S, S)."""
    F = torch.nn.functional

    def linear(name, x):
        return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def modulation(name, parts):
        return linear(f"{name}.adaLN_modulation.1", F.silu(c))[:, None].chunk(parts, 2)

    def norm(x):
        return F.layer_norm(x, x.shape[-1:], eps=1e-6)

    frequency = 10000 ** -(torch.arange(128) / 128)
    angle = t[:, None] * frequency
    wave = torch.cat([angle.cos(), angle.sin()], 1).to(x.dtype)
    c = linear("t_embedder.mlp.2", F.silu(linear("t_embedder.mlp.0", wave)))
    c = c + state["y_embedder.embedding_table.weight"][y]
    tokens = F.conv2d(x, state["x_embedder.proj.weight"], state["x_embedder.proj.bias"], stride=patch)
    grid = tokens.shape[-1]
    tokens = tokens.flatten(2).transpose(1, 2) + state["pos_embed"]
    for n in range(sum(name.endswith("attn.qkv.bias") for name in state)):
        b = f"blocks.{n}"
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation(b, 6)
        qkv = linear(f"{b}.attn.qkv", norm(tokens) * (1 + scale1) + shift1)
        q, k, v = qkv.unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        tokens = tokens + gate1 * linear(f"{b}.attn.proj", mixed)
        hidden = linear(f"{b}.mlp.fc1", norm(tokens) * (1 + scale2) + shift2)
        tokens = tokens + gate2 * linear(f"{b}.mlp.fc2", F.gelu(hidden, approximate="tanh"))
    shift, scale = modulation("final_layer", 2)
    out = linear("final_layer.linear", norm(tokens) * (1 + scale) + shift)
    out = out.unflatten(2, (patch, patch, 8)).unflatten(1, (grid, grid))
    return torch.einsum("bhwpqc->bchpwq", out).flatten(4, 5).flatten(2, 3)


@pytest.mark.parametrize("name", ["DiT-XL/8", "DiT-S/2"])
def test_agrees_with_pytorch(write, name):
    """Another implementation sums in another order: tolerance, not equality; outputs are about 1 in size."""
    state = tensors(official_state(name, 5))
    model, _ = load_dit(write(state))
    g = np.random.default_rng(5)
    x = g.standard_normal((2, 4, 32, 32), np.float32)
    t, y = np.array([999, 20]), np.array([3, 1000])
    wide = {name: tensor.double() for name, tensor in state.items()}
    inputs = torch.from_numpy(x).double(), torch.from_numpy(t), torch.from_numpy(y)
    expected = reference(wide, *inputs, heads=OFFICIAL[name].heads, patch=OFFICIAL[name].patch).numpy()
    assert 0.2 < np.sqrt(np.mean(expected**2)) < 2
    np.testing.assert_allclose(model(x, t, y), expected, rtol=0, atol=1e-4)


class Evil:
    """Unpickled by rule, it makes a directory."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("place", ["whole", "entry", "part", "option", "bare"])
def test_nothing_is_executed(write, tmp_path, place):
    made = tmp_path / "made"
    evil = Evil(made)
    ones = {"x": torch.ones(2)}
    content = {
        "whole": evil,
        "entry": ones | {"y": evil},
        "part": {"ema": evil, "model": ones},
        "option": {"ema": ones, "args": argparse.Namespace(x=evil)},
        "bare": pickle.dumps(evil),
    }[place]
    path = write(content)
    text = "must be a state dict saved by PyTorch: it asks for posix.mkdir, which is not allowed"
    if place == "bare":
        text = "must be a safetensors file or a zip of PyTorch, not a bare pickle"
    with pytest.raises(InputError, match=f"^{re.escape(f'{path} {text}')}$"):
        open_checkpoint(path)
    assert not made.exists()
    pickle.loads(pickle.dumps(evil))  # noqa: S301 (the test's own: it would have been made)
    assert made.exists()


def nested(depth):
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: [torch.ones(2)], " must be a state dict, not list"),
        (lambda: torch.ones(2), " must be a state dict, not Tensor"),
        (lambda: {"x": torch.ones(2), "epoch": 7}, ": 'epoch' must be a tensor, not int"),
        (lambda: {"x": torch.ones(2), 7: torch.ones(2)}, ": 7 must be the name of a tensor"),
        (lambda: {"ema": {"ema": {"x": torch.ones(2)}}}, " ('ema'): 'ema' must be a tensor, not dict"),
        (lambda: {"checkpoint": {"x": torch.ones(2)}}, ": 'checkpoint' must be a tensor, not dict"),
        (lambda: {"x": nested(100)}, ": 'x' must be a tensor, not list"),
        (lambda: {"x": torch.ones(2).double()}, ": 'x' must be F16, BF16 or F32, not float64"),
        (lambda: {"x": torch.ones(2, dtype=torch.int8)}, ": 'x' must be F16, BF16 or F32, not int8"),
        (lambda: {"x": torch.ones(2, dtype=torch.complex64)}, ": 'x' must be F16, BF16 or F32, not complex64"),
        (lambda: {"x": torch.ones(0, 2)}, ": 'x' must have no empty axis, not the shape (0, 2)"),
        (lambda: {"x": torch.ones(2).to_sparse()}, ": 'x' must be a dense tensor with its data"),
        (lambda: {"x": torch.ones(2, device="meta")}, ": 'x' must be a dense tensor with its data"),
        (lambda: {"model": {"y" * 200: 1}}, f" ('model'): '{'y' * 96}... must be a tensor, not int"),
    ],
)
def test_bad_content(write, build, text):
    path = write(build())
    with pytest.raises(InputError, match=f"^{re.escape(str(path) + text)}$"):
        open_checkpoint(path)


def test_tensor_of_more_bytes_than_the_file(write):
    """Strides of 0 make a tensor of any size of one number."""
    path = write({"x": torch.ones(1).expand(1 << 40)})
    size = path.stat().st_size
    text = f"{path}: 'x' must fit into the file of {size} bytes, not have the shape (1099511627776,)"
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        open_checkpoint(path)


def test_nan(write):
    path = write({"ema": {"x": torch.tensor([1, torch.nan])}})
    with pytest.raises(InputError, match=f"^{re.escape(str(path))} \\('ema'\\): 'x' must be finite$"):
        read_checkpoint(path)


def test_names_and_shapes_are_checked_before_any_data(write, monkeypatch):
    monkeypatch.setattr(torch_file, "_read", lambda *_: pytest.fail("data were read"))
    state = tensors(tiny_state(1))
    del state["pos_embed"]
    path = write({"ema": state})
    text = f"{path} ('ema'): state dict must hold 'pos_embed', which is missing"
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        load_dit(path, heads=2)


def rewritten(path: Path, change) -> bytes:
    """The archive with its pickle changed by a function, all else as it was."""
    file = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(file, "w") as new:
        for member in old.infolist():
            data = old.read(member)
            new.writestr(member.filename, change(data) if member.filename.endswith("/data.pkl") else data)
    return file.getvalue()


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: data[:-20],
        lambda data: data.replace(b"FloatStorage", b"FloatStorbge"),
        lambda data: data.replace(b"K\x03K\x05\x86", b"K\x7fK\x7f\x86"),  # shape: more than the storage has
        # And so that the storage claims to have them: 2^31 - 1 instead of 15.
        lambda data: data.replace(b"K\x03K\x05\x86", b"K\x7fK\x7f\x86").replace(b"K\x0ft", b"J\xff\xff\xff\x7ft"),
        lambda data: b"\x80\x02" + b"(" * 100000 + b".",
    ],
)
def test_bad_pickle(write, change):
    path = write({"x": torch.ones(3, 5)})
    data, same = rewritten(path, change), rewritten(path, lambda data: data)
    assert data != same
    path.write_bytes(same)
    assert list(open_checkpoint(path)) == ["x"]
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"^{re.escape(str(path))} must be a state dict saved by PyTorch: ") as info:
        open_checkpoint(path)
    assert "\n" not in str(info.value)
    assert "weights_only" not in str(info.value)


def test_damaged_files(write):
    """Cut anywhere or with bytes changed, a file is read or refused in one line: nothing else is raised."""
    path = write({"ema": tensors(tiny_state(2))})
    good = path.read_bytes()
    g = np.random.default_rng(9)
    damaged = [good[:end] for end in g.integers(0, len(good), 60)]
    for _ in range(300):
        data = bytearray(good)
        for at in g.integers(0, len(good), g.integers(1, 20)):
            data[at] = g.integers(0, 256)
        damaged.append(bytes(data))
    start = good.index(b"data.pkl")  # and in the pickle, where there is more to hurt
    for _ in range(300):
        data = bytearray(good)
        for at in g.integers(start, start + 6000, g.integers(1, 4)):
            data[at] = g.integers(0, 256)
        damaged.append(bytes(data))
    texts = []
    for data in damaged:
        path.write_bytes(data)
        try:
            load_dit(path, heads=2)
        except InputError as error:
            texts.append(str(error))
    assert len(texts) > 200
    assert all(text.startswith(str(path)) and "\n" not in text for text in texts)
    assert len({re.sub(r"\d+|'.*?'", "", text) for text in texts}) > 8  # of many kinds


def test_old_version(write, monkeypatch):
    path = write({"x": torch.ones(2)})
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    text = f"{path} needs PyTorch 2.6 or later to be read safely, not 2.5.1+cpu"
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        open_checkpoint(path)
