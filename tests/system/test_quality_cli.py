"""``mixdit quality`` from the command line: results, going on, and what is wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from golden.policy import EXEMPT, PrecisionPolicy
from mixdit_hw import cli
from mixdit_hw.quality import run as pieces
from mixdit_hw.quality import statistics

QUICK = ("--steps", "2", "--samples", "40", "--targets", "", "--fractions", "", "--only", "mx6")
TOO_FEW = "mixdit quality: mx4 could not be told from float32, so that there is no verdict\n"


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE", 40)
    monkeypatch.setattr(pieces, "LAYER_SEEDS", 2)
    monkeypatch.setattr(statistics, "SWAPS", 199)
    monkeypatch.setattr(statistics, "RESAMPLES", 50)


def run(capsys, *args: str) -> tuple[int, str, str]:
    """Status, stdout and stderr."""
    status = cli.run(["quality", *args])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.usefixtures("small_pieces")
def test_results(capsys, tmp_path):
    """Files and figures; a policy from a file joins, and formats that are only there when asked for."""
    policy = tmp_path / "mine.json"
    policy.write_text(PrecisionPolicy(outliers={"blocks.0.mlp.fc1": (1, 2)}).to_json())
    out = tmp_path / "out"
    args = (*QUICK[:-1], "mine,mxfp8-e5m2", "--policy", str(policy), "-o", str(out), "--workers", "1")
    status, text, err = run(capsys, *args)
    assert (status, err) in ((0, ""), (1, TOO_FEW))
    assert f"wrote       {out / 'report.html'}" in text
    result = json.loads((out / "quality.json").read_text())
    names = [c["name"] for c in result["candidates"]]
    assert names == ["float32", "mx4", "mxfp8-e5m2", "mine"]
    by_name = {c["name"]: c for c in result["candidates"]}
    assert by_name["mx4"]["sqnr"]["value"] < by_name["mine"]["sqnr"]["value"]
    written = PrecisionPolicy.from_json((out / "policies" / "mine.json").read_text())
    assert written.outliers == {"blocks.0.mlp.fc1": (1, 2)}
    assert by_name["mine"]["other_noise"]["value"] > by_name["mine"]["from_float32"]["value"]
    assert (out / "quality.md").read_text().startswith("| precision |")
    assert "<svg" in (out / "report.html").read_text()

    # Once more: nothing is sampled, and the figures are the same.
    before = (out / "quality.json").read_text()
    status_again, text, _ = run(capsys, *args)
    assert status_again == status
    assert "sampled     0 of " in text
    assert (out / "quality.json").read_text() == before


@pytest.mark.usefixtures("small_pieces")
def test_products_without_noise(capsys, tmp_path):
    """A policy that leaves a block in float32 has products without noise, which have no decibels."""
    policy = tmp_path / "part.json"
    policy.write_text(PrecisionPolicy(exempt=(*EXEMPT, "blocks.0.*")).to_json())
    out = tmp_path / "out"
    status, _, err = run(capsys, *QUICK[:-1], "part", "--policy", str(policy), "-o", str(out), "--workers", "1")
    assert (status, err) in ((0, ""), (1, TOO_FEW))
    (entry,) = (c for c in json.loads((out / "quality.json").read_text())["candidates"] if c["name"] == "part")
    assert entry["layers"]["blocks.0.mlp.fc1"] is None
    assert entry["layers"]["blocks.1.mlp.fc1"]["value"] > 20


@pytest.mark.usefixtures("small_pieces")
def test_other_checkpoint(capsys, tmp_path):
    """One that is not the digits': principal components, compared with float32 of other noise."""
    import numpy as np
    from safetensors.numpy import save_file

    from golden.dit import DiTConfig

    config = DiTConfig(input_size=4, patch_size=2, in_channels=3, hidden_size=32, depth=1, heads=2, classes=4)
    rng = np.random.default_rng(0)
    state = {n: 0.3 * rng.standard_normal(s).astype(np.float32) for n, s in config.state_shapes().items()}
    path = tmp_path / "tiny.safetensors"
    save_file(state, path, metadata={"heads": "2", "schedule": "linear", "steps": "1000"})
    out = tmp_path / "out"
    status, text, _ = run(capsys, *QUICK, "--checkpoint", str(path), "-o", str(out), "--workers", "1")
    assert status in (0, 1)
    result = json.loads((out / "quality.json").read_text())
    assert "principal components" in result["features"]
    assert result["reference"] == "float32 samples from other noise"
    assert all(c["accuracy"] is None for c in result["candidates"])
    assert result["sampling"]["clip"] is None
    assert "images that the classifier" in text


def test_goes_on_after_a_kill(tmp_path):
    """Killed without warning, the same command makes what is left, and no file is half there."""
    out = tmp_path / "out"
    args = ["--steps", "2", "--samples", "60", "--targets", "", "--fractions", "", "--only", "mx6", "-o", str(out)]
    command = [sys.executable, "-m", "mixdit_hw", "quality", *args, "--workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + 120
    while len(list(out.glob("samples/*-images-*.npz"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    kept = {p: p.read_bytes() for p in out.glob("samples/*.npz")}
    assert kept
    assert not (out / "quality.json").exists()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    made = int(done.stdout.split("sampled")[1].split()[0])
    assert made == 6 + 10 - len(kept)
    assert all(path.read_bytes() == data for path, data in kept.items())


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("--fractions", "5"), "Invalid value for '--fractions': must be percentages such as 1%,5%, not '5'"),
        (("--fractions", "500%"), "Invalid value for '--fractions': must be a number of channels or a percentage"),
        (("--targets", "x"), "Invalid value for '--targets'"),
        (("--targets", "101"), "Invalid value for '--targets': must be numbers of dB from 0 to 100, not '101'"),
        (("--samples", "5"), "Invalid value for '--samples'"),
        (
            ("--only", "mx7", "--fractions", "", "--targets", "", "--steps", "2"),
            "--only must name some of float32, mx9,",
        ),
        (("--checkpoint", "no.safetensors"), "no.safetensors: cannot be read"),
        (("--policy", "no.json", "--steps", "2"), "no.json: cannot be read"),
        (("--policy", "a,b.json", "--steps", "2"), "--policy must have a"),
        (("--guidance", "nan"), "--guidance must be a finite number, not nan"),
        (("--guided-channels", "2"), "--guided-channels must be at most the 1 of the model, not 2"),
    ],
    ids=str,
)
def test_wrong_usage(capsys, tmp_path, args, text):
    status, out, err = run(capsys, *args, "-o", str(tmp_path / "out"))
    assert (status, out) == (2, "")
    assert text in err
    assert len(err.strip().splitlines()) == 1


def test_policy_of_another_model(capsys, tmp_path):
    path = tmp_path / "p.json"
    path.write_text(PrecisionPolicy(outliers={"blocks.9.mlp.fc1": (1,)}).to_json())
    status, _, err = run(capsys, *QUICK, "--policy", str(path), "-o", str(tmp_path / "out"))
    assert status == 2
    assert "p.json: outliers must name layers of the model, not 'blocks.9.mlp.fc1'" in err


def test_output_that_cannot_be_written(capsys, tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    status, _, err = run(capsys, *QUICK, "-o", str(path))
    assert status == 3
    assert "file" in err
    assert Path(path).read_text() == ""
