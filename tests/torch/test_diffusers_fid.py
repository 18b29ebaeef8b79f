"""`examples/dit_fid.py` on small random models, and the document's example."""

import json
import sys
from pathlib import Path
from typing import Any

import diffusers  # pyright: ignore[reportMissingImports]
import numpy as np
import pytest
import torch
from PIL import Image

from examples.dit_fid import main
from golden.policy import PrecisionPolicy
from tests.support.diffusers_dit import diffusers_dit
from tests.support.snippets import run_snippet

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers")  # of its DPM-Solver++, with NumPy 2

ROOT = Path(__file__).parents[2]
FEW = ("--steps", "3", "--calibration", "2", "--batch", "3", "--device", "cpu")


def images(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))}


def test_random_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder for each policy; the wider the format, the nearer to float; what is there stays."""
    command = ["--random", "-n", "4", "-o", str(tmp_path), *FEW]
    assert main(command) == 0
    names = ["float", "mx9", "mixed", "mx6"]
    assert capsys.readouterr().out.splitlines() == [f"{name}: 4 images in {tmp_path / name}" for name in names]
    found = {name: images(tmp_path / name) for name in names}
    for pictures in found.values():
        assert list(pictures) == [f"{i:06}.png" for i in range(4)]
        assert {picture.shape for picture in pictures.values()} == {(16, 16, 3)}
    stacks = {name: np.stack(list(pictures.values())).astype(float) for name, pictures in found.items()}
    errors = {name: np.square(stack - stacks["float"]).mean() for name, stack in stacks.items()}
    assert errors["float"] == 0 < errors["mx9"] < min(errors["mixed"], errors["mx6"])

    policy = PrecisionPolicy.from_json((tmp_path / "mixed" / "policy.json").read_text())
    assert len(policy.outliers["blocks.1.mlp.fc2"]) == 9
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    gone = tmp_path / "mixed" / "000003.png"
    gone.unlink()
    assert main(command) == 0
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert {path for path in before if before[path] != after[path]} == {gone}
    np.testing.assert_array_equal(images(tmp_path / "mixed")["000003.png"], found["mixed"]["000003.png"])

    capsys.readouterr()
    assert main([*command, "--guidance", "2"]) == 2
    text = f"dit_fid: {tmp_path / 'settings.json'} must be of the same options; use another folder\n"
    assert capsys.readouterr().err == text


def test_folder_of_diffusers(tmp_path: Path) -> None:
    """With an autoencoder of latents, a policy's file and DPM-Solver++."""
    torch.manual_seed(1)
    diffusers_dit(1).save_pretrained(tmp_path / "model")
    diffusers.AutoencoderKL(latent_channels=2, block_out_channels=(32,)).save_pretrained(tmp_path / "vae")
    policy = PrecisionPolicy(heads={"blocks.1.attn": (0,)})
    (tmp_path / "mine.json").write_text(policy.to_json())
    command = ["--diffusers", str(tmp_path / "model"), "--vae", str(tmp_path / "vae"), "-n", "2", "--scheduler", "dpm"]
    command += ["--policy", "float", "--policy", str(tmp_path / "mine.json"), "-o", str(tmp_path / "out"), *FEW]
    assert main(command) == 0
    assert {name: picture.shape for name, picture in images(tmp_path / "out" / "mine").items()} == {
        "000000.png": (8, 8, 3),
        "000001.png": (8, 8, 3),
    }
    assert (tmp_path / "out" / "mine" / "policy.json").read_text() == policy.to_json()


OFFICIAL = """
from golden.dit import DiTConfig
from tests.support.torch_dit import DiT

def tiny(input_size, num_classes):
    model = DiT(DiTConfig(
        input_size=input_size, in_channels=4, hidden_size=32, depth=1, heads=2, classes=num_classes
    ))
    model.in_channels = 4
    return model

DiT_models = {"tiny": tiny}
"""


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_official(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is made by the repository's own file, and its weights read."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "models", raising=False)
    (tmp_path / "models.py").write_text(OFFICIAL)
    names: dict[str, Any] = {}
    exec(OFFICIAL, names)
    torch.manual_seed(2)
    state = names["tiny"](8, 3).state_dict()
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pt":
        torch.save({"ema": state}, path)
    else:
        from safetensors.torch import save_file

        save_file(state, path)
    command = ["--official", str(tmp_path), "--checkpoint", str(path), "--model", "tiny", "--input-size", "8"]
    command += ["--classes", "3", "-n", "1", "--policy", "mixed", "--guided-channels", "3", "-o", str(tmp_path / "out")]
    assert main([*command, *FEW]) == 0
    assert [picture.shape for picture in images(tmp_path / "out" / "mixed").values()] == [(8, 8, 3)]
    monkeypatch.delitem(sys.modules, "models")


def test_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, text in (
        (["--random", "--policy", "mx5"], "--policy must be float, mx9, mx6, mx4, mixed or a .json file, not mx5"),
        (
            ["--random", "--policy", "mixed", "--policy", "x/mixed.json"],
            "--policy must name policies of distinct folders",
        ),
        (["--official", "x"], "--official must have a --checkpoint"),
        (["--random", "--steps", "0"], "--images, --steps, --batch and --calibration must be at least 1"),
    ):
        with pytest.raises(SystemExit, match=r"^2$"):
            main([*arguments, "-o", str(tmp_path)])
        assert capsys.readouterr().err.endswith(f"error: {text}\n")
    assert list(tmp_path.iterdir()) == []
    path = tmp_path / "mine.json"
    command = ["--random", "-n", "1", "--policy", str(path), "-o", str(tmp_path / "out"), *FEW]
    assert main(command) == 2
    assert capsys.readouterr().err == f"dit_fid: {path}: cannot be read: No such file or directory\n"
    path.write_text(PrecisionPolicy().to_json())
    assert main(command) == 0
    path.write_text(PrecisionPolicy(weight_format="mx9").to_json())
    command[2] = "2"
    assert main(command) == 2
    kept = tmp_path / "out" / "mine" / "policy.json"
    assert capsys.readouterr().err == f"dit_fid: {kept} must be the policy of {path}; use another folder\n"
    assert json.loads(kept.read_text())["weight_format"] == "mx6"


def test_snippet_of_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    model, ran = diffusers_dit(1), []

    def run() -> None:
        x = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(1))
        ran.append(model(x, timestep=torch.tensor([3]), class_labels=torch.tensor([1])).sample)

    names = run_snippet(ROOT / "docs" / "pytorch.md", model=model, run=run)
    assert len(names["policy"].outliers["blocks.0.mlp.fc2"]) == 8
    assert "products as they were" in capsys.readouterr().out
    assert not torch.equal(ran[0], ran[1])
    run()
    torch.testing.assert_close(ran[2], ran[0])
