"""The GPU's baseline on the CPU, at tiny sizes: it computes the products of the workloads, and its file is read."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks.gpu_baseline import load_torch, main, make_step
from mixdit_hw import cli
from mixdit_hw.errors import ToolError
from mixdit_hw.mixes import MIXES
from mixdit_hw.perf.gpu import parse_measured
from mixdit_hw.workloads import MODELS, Model

TINY = {
    name: replace(MODELS[name], depth=2, hidden=64, heads=4, latent=8, text=min(3, MODELS[name].text), mix=MIXES["mx6"])
    for name in ("DiT-S-256", "PixArt-Sigma-1024", "SD3-512")
}
CPU = ("--device", "cpu", "--dtype", "float32", "--warmup", "0", "--repeats", "2")


@pytest.fixture
def torch() -> ModuleType:
    try:
        return load_torch()
    except ToolError as e:
        pytest.skip(f"NOT RUN: the GPU's baseline: {e}")


def products(torch: Any, model: Model) -> int:
    """Multiplications that PyTorch does in a step, counted as it dispatches them."""
    from torch.nn.attention import SDPBackend, sdpa_kernel  # pyright: ignore[reportMissingImports]
    from torch.utils.flop_counter import FlopCounterMode  # pyright: ignore[reportMissingImports]

    step = make_step(torch, model, device="cpu", dtype="float32")
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        result = step()
    assert result.shape == (2, model.tokens, model.hidden)
    assert torch.isfinite(result).all()
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("name", TINY)
def test_it_computes_the_products_of_the_workload(torch: Any, name: str) -> None:
    assert products(torch, TINY[name]) == sum(gemm.macs for gemm in TINY[name].gemms())


def test_the_file_is_what_perf_takes(torch: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gpu.json"
    arguments = [argument for name in TINY for argument in ("--model", name)]
    assert main([*CPU, *arguments, "-o", str(path)], TINY) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(TINY)
    measured = parse_measured(path.read_text())
    assert set(measured.seconds) == set(TINY)
    assert measured.software == f"PyTorch {torch.__version__}, float32"
    content = json.loads(path.read_text())
    for values in content["models"].values():
        assert values["least_s"] <= values["step_s"] <= values["most_s"]
    assert cli.run(["perf", "--model", "SD3-512", "--gpu", str(path)]) == 0
    assert f"times as fast as {measured.device}:" in capsys.readouterr().out


def test_device_that_is_not_there(torch: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--device", "cuda:99", "-o", str(tmp_path / "x")], TINY) == 3
    assert capsys.readouterr().err.startswith("gpu_baseline: device cuda:99 is not there: ")
    assert list(tmp_path.iterdir()) == []


def test_without_torch(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["-o", str(tmp_path / "x")]) == 3
    assert capsys.readouterr() == ("", "gpu_baseline: PyTorch is missing: pip install torch\n")
    assert list(tmp_path.iterdir()) == []


def test_unwritable(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-o", "."]) == 3
    assert capsys.readouterr() == ("", "gpu_baseline: .: cannot be written: not a regular file\n")


def test_wrong_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["-o", "x", "--repeats", "0"])
    assert capsys.readouterr().err.endswith("error: --repeats must be at least 1 and --warmup 0, not 0 and 3\n")
