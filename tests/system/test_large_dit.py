"""Random checkpoints of published geometry, and the memory that a streamed model takes."""

# PyTorch is no dependency of the project.
# pyright: reportMissingImports=false

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from examples.random_dit import write_header
from golden.dit import DiTConfig
from mixdit_hw.checkpoint import LazyTensor, load_dit, open_checkpoint, read_checkpoint
from mixdit_hw.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
MEASURED = Path("/proc/self/status")
BLOCK = 18 * 1152**2 * 4  # bytes of the weights of a block of DiT-XL in float32

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="NOT RUN: checkpoints of PyTorch, which is missing"
)


def run(script: str, *arguments: object) -> str:
    """Run a script from the project's root; the standard output."""
    command = [sys.executable, "-m", script, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write(path: Path, *arguments: object) -> Path:
    """A random checkpoint for images of 64 pixels; the script must say that it wrote it."""
    text = run("examples.random_dit", "--pixels", 64, "-o", path, *arguments)
    assert re.fullmatch(rf"wrote {re.escape(str(path))}: \d+ million values, \d+ MB\n", text)
    return path


def step(path: Path, *arguments: object) -> int:
    """Run one step; the most memory that it took, in bytes."""
    text = run("benchmarks.large_dit", path, *arguments)
    found = re.search(r"^memory +(\d+) MB at most$", text, re.M)
    assert found is not None, text
    return int(found[1]) * 10**6


@pytest.mark.skipif(not MEASURED.exists(), reason=f"NOT RUN: memory of a process: {MEASURED} is missing")
def test_memory_does_not_grow_with_depth(tmp_path: Path) -> None:
    """Of a model of XL's width under MX6, whose four further blocks would have 382 MB in float32 alone."""
    shallow, deep = (step(write(tmp_path / f"{depth}", "--depth", depth)) for depth in (2, 6))
    assert abs(deep - shallow) < BLOCK // 4
    assert deep < 4 * BLOCK
    assert step(tmp_path / "2", "--resident", "--format", "float32") > shallow + BLOCK


def test_random_checkpoint(tmp_path: Path) -> None:
    """Read as a published one; the same seed gives the same values, of all types and whatever the depth."""
    options = ("--model", "DiT-S/4", "--depth")
    words, _ = read_checkpoint(write(tmp_path / "f32", *options, 2, "--dtype", "F32"))
    model, _ = load_dit(tmp_path / "f32")
    assert model.config == DiTConfig(input_size=8, patch_size=4, hidden_size=384, depth=2, heads=6)
    for kind, bits in (("F16", 11), ("BF16", 8)):
        checkpoint = open_checkpoint(write(tmp_path / kind, *options, 1, "--dtype", kind))
        assert {tensor.kind for tensor in checkpoint.values()} == {kind}
        for name, tensor in checkpoint.items():
            expected = words[name]
            error = np.abs(np.asarray(tensor, np.float32) - expected)
            assert (error <= np.maximum(np.abs(expected) * 2.0**-bits, 2.0**-25)).all()
    other, _ = read_checkpoint(write(tmp_path / "other", *options, 1, "--seed", 1))
    assert not np.array_equal(other["pos_embed"], words["pos_embed"])
    assert "blocks of width 384, 6 heads, 4 tokens an image" in run("benchmarks.large_dit", tmp_path / "f32")


@needs_torch
@pytest.mark.parametrize("kind", ["F16", "BF16", "F32"])
def test_random_checkpoint_of_pytorch(tmp_path: Path, kind: str) -> None:
    import torch

    options = ("--model", "DiT-S/8", "--depth", 1, "--dtype", kind)
    path = write(tmp_path / "x.pt", *options)
    assert isinstance(torch.load(path)["pos_embed"], torch.Tensor)
    found, _ = read_checkpoint(path)
    expected, _ = read_checkpoint(write(tmp_path / "x.safetensors", *options))
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("script", "arguments", "text"),
    [
        ("examples.random_dit", ("-o", "{0}/x", "--pixels", "100"), "--pixels must be a multiple of 8, not 100"),
        ("examples.random_dit", ("-o", "{0}/x", "--model", "DiT-H/2"), "model must be DiT-S, DiT-B, DiT-L or DiT-XL"),
        ("examples.random_dit", ("-o", "{0}/no/x"), "no/x: cannot be written: No such file or directory"),
        ("benchmarks.large_dit", ("{0}/none",), "none: cannot be read: No such file or directory"),
    ],
)
def test_bad_arguments(tmp_path: Path, script: str, arguments: tuple[str, ...], text: str) -> None:
    command = [sys.executable, "-m", script, *(argument.format(tmp_path) for argument in arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert text in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_only_the_header_of_a_huge_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of XL's size, all of whose data are a hole, and whose last layer has another shape."""
    monkeypatch.setattr(LazyTensor, "__array__", lambda *_, **__: pytest.fail("data were read"))
    path = tmp_path / "huge"
    with path.open("wb") as file:
        _, end = write_header(file, DiTConfig().state_shapes() | {"final_layer.linear.bias": (33,)}, "F32")
        file.truncate(end)
    assert end > 2.7e9
    with pytest.raises(InputError, match=r"final_layer\.linear\.bias must be of shape \(32,\), not \(33,\)$"):
        load_dit(path)
