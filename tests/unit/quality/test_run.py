"""Pieces of samples: what is kept, what is made again, and what a killed process leaves."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from golden.dit import matmul
from golden.policy import MXGemm, PrecisionPolicy
from mixdit_hw.checkpoint import DIGITS
from mixdit_hw.errors import InputError, ToolError
from mixdit_hw.quality import run
from mixdit_hw.quality.candidates import Candidate, fixed_candidates, product_of, uniform

SAMPLING = run.Sampling(checkpoint=DIGITS, samples=4, steps=2)
CANDIDATES = [c for c in fixed_candidates() if c.name in ("float32", "mx4")]


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "PIECE", 3)
    monkeypatch.setattr(run, "LAYER_SEEDS", 2)


@pytest.mark.usefixtures("small_pieces")
def test_pieces(tmp_path):
    store = run.Store(tmp_path, SAMPLING)
    tasks = list(store.tasks(CANDIDATES, reference=True))
    assert len(tasks) == 2 * 2 + 2 + 2  # images, those of other noise, layers of mx4
    seen = []
    assert run.run_tasks(tasks, DIGITS, workers=1, advance=lambda done, total: seen.append((done, total))) == 8
    assert seen == [(n, 8) for n in range(9)]
    images = {c.name: store.images(c) for c in CANDIDATES}
    assert images["float32"].shape == (4, 1, 8, 8)
    assert not np.array_equal(images["float32"], images["mx4"])
    assert not np.array_equal(store.images(CANDIDATES[0], reference=True), images["float32"])
    layers = store.layers(CANDIDATES[1])
    assert all(len(values) == 2 and min(values) > 5 and max(values) < 40 for values in layers.values())
    assert set(layers) >= {"blocks.0.attn.qkv", "blocks.3.attn.av.1", "blocks.2.mlp.fc2"}
    assert not any(name.startswith(("x_embedder", "final_layer")) for name in layers)

    # All is there; what is taken away is made again, to the same bits; more samples take the old ones.
    assert run.run_tasks(tasks, DIGITS, workers=1) == 0
    before = tasks[0].path.read_bytes()
    tasks[0].path.unlink()
    assert run.run_tasks(tasks, DIGITS, workers=1) == 1
    assert tasks[0].path.read_bytes() == before
    more = run.Store(tmp_path, replace(SAMPLING, samples=7))
    assert sum(not t.path.exists() for t in more.tasks(CANDIDATES, reference=False)) == 2


@pytest.mark.usefixtures("small_pieces")
def test_processes_make_the_same(tmp_path):
    for folder, workers in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        tasks = list(run.Store(tmp_path / folder, SAMPLING).tasks(CANDIDATES, reference=False))
        run.run_tasks(tasks, DIGITS, workers=workers)
    names = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert names == sorted(p.name for p in (tmp_path / "two").iterdir())
    assert all((tmp_path / "one" / n).read_bytes() == (tmp_path / "two" / n).read_bytes() for n in names)


def test_names_hold_what_images_depend_on(tmp_path):
    def name(sampling: run.Sampling, candidate: Candidate) -> Path:
        return next(iter(run.Store(tmp_path, sampling).tasks([candidate], reference=False))).path

    mx4 = CANDIDATES[1]
    others = [
        name(replace(SAMPLING, **change), mx4)
        for change in (
            {"steps": 3},
            {"guidance": 1.0},
            {"eta": 1.0},
            {"seed": 5},
            {"clip": None},
            {"guided_channels": 1},
        )
    ]
    others.append(name(SAMPLING, replace(mx4, policy=uniform("mx6"))))
    others.append(name(SAMPLING, replace(mx4, policy=replace(uniform("mx4"), outliers={"blocks.0.mlp.fc1": (1,)}))))
    assert len({name(SAMPLING, mx4), *others}) == 9
    assert name(SAMPLING, replace(mx4, about="other words")) == name(SAMPLING, mx4)
    assert name(replace(SAMPLING, samples=5), mx4) == name(SAMPLING, mx4)


def test_products_of_specs():
    policy = PrecisionPolicy(outliers={"blocks.0.mlp.fc1": (3, 7)}, heads={"blocks.1.attn": (0,)})
    gemm = product_of(Candidate(name="p", about="", policy=policy).spec())
    assert isinstance(gemm, MXGemm)
    assert gemm.policy == policy
    assert product_of(CANDIDATES[0].spec()) is matmul


@pytest.mark.usefixtures("small_pieces")
def test_damaged_piece_is_made_again(tmp_path):
    store = run.Store(tmp_path, SAMPLING)
    tasks = list(store.tasks(CANDIDATES, reference=False))
    run.run_tasks(tasks, DIGITS, workers=1)
    before = tasks[0].path.read_bytes()
    tasks[0].path.write_bytes(before[:-40])
    np.savez(tasks[-1].path, names=np.array([1.0]))
    assert run.run_tasks(tasks, DIGITS, workers=1) == 2
    assert tasks[0].path.read_bytes() == before


def test_checkpoint_that_a_process_cannot_read(tmp_path):
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"no checkpoint")
    tasks = list(run.Store(tmp_path, SAMPLING).tasks(CANDIDATES, reference=False))
    with pytest.raises(InputError, match=r"c\.safetensors"):
        run.run_tasks(tasks, path, workers=2)


@pytest.mark.usefixtures("small_pieces")
def test_damaged_piece(tmp_path):
    store = run.Store(tmp_path, SAMPLING)
    task = next(iter(store.tasks(CANDIDATES, reference=False)))
    task.path.write_bytes(b"PK\x03\x04 no more")
    with pytest.raises(InputError, match="not a readable"):
        store.images(CANDIDATES[0])


def _die(task: run.Task) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_killed_process(tmp_path, monkeypatch):
    tasks = list(run.Store(tmp_path, SAMPLING).tasks(CANDIDATES, reference=False))
    monkeypatch.setattr(run, "_do_here", _die)
    with pytest.raises(ToolError, match="was killed; the same command goes on where it was"):
        run.run_tasks(tasks, DIGITS, workers=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("small_pieces")
def test_processes_end_with_a_killed_parent(tmp_path):
    program = "\n".join(
        (
            "import sys",
            "from pathlib import Path",
            "from tests.unit.quality.test_run import endless",
            "endless(Path(sys.argv[1]))",
        )
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=Path(__file__).parents[3])
    deadline = time.monotonic() + 120
    while not (children := list(tmp_path.glob("worker-*"))) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert children
    parent.kill()
    parent.wait()
    left = [int(child.name.removeprefix("worker-")) for child in children]
    while any(Path(f"/proc/{pid}").exists() for pid in left) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in left)


def endless(folder: Path) -> None:
    """Start processes that never end, and say in a file's name who they are; run in a process of its own."""
    run._do_here = _never
    run.run_tasks([run.Task(path=folder / "t", kind="images", spec="", seed=0, count=1, options={})], DIGITS, workers=2)


def _never(task: run.Task) -> None:
    (task.path.parent / f"worker-{os.getpid()}").touch()
    time.sleep(600)


def test_labels():
    assert run.piece_labels(4, 3, 2) == [2, 0, 1, 2]
    assert run.sampled_labels(60, 10).tolist() == [i % 10 for i in range(50)] + list(range(10))


def test_layer_noise():
    noise = run.LayerNoise(lambda name, a, w: a @ w + np.float32(1))
    a, w = np.full((2, 3), 2.0, np.float32), np.ones((3, 4), np.float32)
    assert noise("blocks.0.mlp.fc1", a, w)[0, 0] == 7
    noise("blocks.0.mlp.fc1", a, w)
    noise("final_layer.linear", a, w)
    assert {name: sums.tolist() for name, sums in noise.sums.items()} == {"blocks.0.mlp.fc1": [2 * 8 * 36.0, 16.0]}
