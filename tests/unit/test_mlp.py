"""Linear layers and an MLP as jobs, on the model of the accelerator, which needs no simulator."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import golden
from golden.capture import Capture, Peaks
from golden.diffusion import sample
from golden.dit import gelu
from golden.policy import MXGemm, PrecisionPolicy, calibrate
from mixdit_hw.checkpoint import load_dit
from mixdit_hw.errors import CheckError, JobFault
from mixdit_hw.host import Accelerator, Arena
from mixdit_hw.mlp import Linear, expected_mlp, memory_bytes, run_linear, run_mlp
from mixdit_hw.params import Params
from mixdit_hw.presets import PRESETS
from mixdit_hw.report import hardware
from mixdit_hw.report.hardware import PARTS, split_cycles
from mixdit_hw.report.study import exact_mlp, make_mlp
from mixdit_hw.sim.memory import Memory
from mixdit_hw.sim.mlp import SimulatedMLP, mlp_program, pass_cycles, plain
from mixdit_hw.sim.model_transport import ModelTransport
from mixdit_hw.sim.system import System
from tests.support.errors import raises_exactly
from tests.support.matrices import random_matrix
from tests.support.mx_data import assert_same_bits

TINY = PRESETS["tiny"]
FC1, FC2 = "blocks.1.mlp.fc1", "blocks.1.mlp.fc2"


class Clocked(ModelTransport):
    """A model that has a clock, as programs of the simulator need."""

    def clock(self) -> float:
        """It stands still."""
        return 0.0


def device(size: int, params: Params = TINY) -> tuple[Accelerator, Arena]:
    """A driver of the model, and memory of exactly that size."""
    transport = ModelTransport(params, Memory(bytes(size)))
    arena = Arena(transport, 0, size)
    return Accelerator(transport, arena), arena


def random_layers(seed: int, rounding: str = "nearest-even") -> tuple[Linear, Linear]:
    rng = np.random.default_rng(seed)
    sizes = {"fc1": (20, 37), "fc2": (37, 5)}
    arrays = {
        name: (random_matrix(rng, (k, n), "gaussian"), random_matrix(rng, (1, n), "gaussian")[0])
        for name, (k, n) in sizes.items()
    }
    policy = PrecisionPolicy(
        outliers={
            name: tuple(rng.choice(k, int(rng.integers(0, 9)), replace=False).tolist())
            for name, (k, _) in sizes.items()
        },
        inlier_format=("mx6", "mx4")[seed // 2 % 2],
        outlier_weight_format=("mx6", "mx9")[seed % 2],
        rounding=rounding,
    )
    fc1, fc2 = (Linear(name=name, w=w, bias=bias, policy=policy) for name, (w, bias) in arrays.items())
    return fc1, fc2


def with_policy(layer: Linear, **changes: Any) -> Linear:
    return replace(layer, policy=replace(layer.policy, **changes))


@pytest.mark.parametrize("seed", range(6))
def test_every_bit_is_goldens(seed: int) -> None:
    fc1, fc2 = random_layers(seed)
    x = random_matrix(np.random.default_rng(seed + 99), (7, 20), "gaussian")
    accelerator, arena = device(memory_bytes(fc1, fc2, 7))
    for run, expected in zip(run_mlp(accelerator, arena, fc1, fc2, x), expected_mlp(fc1, fc2, x), strict=True):
        assert_same_bits(run.result, expected)
    free = arena.allocate(memory_bytes(fc1, fc2, 7) - (1 << 14))  # all but the descriptors was given back
    arena.free(free)


@pytest.mark.parametrize("rounding", ["truncate", "half-away"])
def test_rounding_of_a_job(rounding: str) -> None:
    fc1, _ = random_layers(1, rounding)
    x = np.random.default_rng(5).integers(-40, 40, (3, 20)).astype(np.float32)  # MX6 has many of them in the middle
    accelerator, arena = device(1 << 17, TINY.replace(rounding="runtime"))
    assert_same_bits(run_linear(accelerator, arena, fc1, x).result, fc1.expected(x))
    assert not np.array_equal(fc1.expected(x), with_policy(fc1, rounding="nearest-even").expected(x))


def test_outliers_without_mx9_are_a_fault() -> None:
    fc1, _ = random_layers(0)
    fc1 = with_policy(fc1, outliers={"fc1": tuple(range(20))})
    accelerator, arena = device(1 << 17, TINY.replace(formats=("mx6",)))
    with raises_exactly(JobFault, "job 7 stopped with fault 3, FORMAT"):
        run_linear(accelerator, arena, fc1, np.ones((2, 20), np.float32), tag=7)


def test_trained_mlp_is_that_of_the_dit() -> None:
    """The jobs' results are, bit for bit, what the DiT computes with the same policy, which adds biases by NumPy."""
    model, schedule = load_dit()
    peaks = Peaks()
    sample(model, schedule, [3], steps=2, seed=1, gemm=peaks)
    policy = calibrate(peaks, "5%")
    last = model.config.depth - 1
    fc1, fc2 = make_mlp(model, f"blocks.{last}", policy, TINY)
    hook = Capture([fc1.name, fc2.name], MXGemm(policy))
    sample(model, schedule, [3, 8], steps=2, gemm=hook)
    x, hidden = hook.operands[fc1.name][0], hook.operands[fc2.name][0]

    rows = slice(0, 24)
    accelerator, arena = device(memory_bytes(fc1, fc2, 24))
    first, second = run_mlp(accelerator, arena, fc1, fc2, x[rows])
    assert_same_bits(gelu(first.result), hidden[rows])
    mx = MXGemm(policy)
    assert_same_bits(second.result, mx(fc2.name, hidden[rows], fc2.w) + model.bias(fc2.name))
    exact = exact_mlp(fc1, fc2, x[rows])
    assert [golden.sqnr_db(e, run.result) > 20 for e, run in zip(exact, (first, second), strict=True)] == [True, True]
    assert (len(fc1.channels), len(fc2.channels)) == (7, 28)


def test_the_program_in_the_simulator() -> None:
    """Its arguments go through JSON; while it waits, it notes cycles."""
    fc1, fc2 = random_layers(3)
    x = random_matrix(np.random.default_rng(5), (4, 20), "gaussian")
    size = memory_bytes(fc1, fc2, 4)
    arguments = {"layers": [plain(fc1), plain(fc2)], "x": x.tolist(), "size": size, "clock": None}
    jobs = mlp_program(Clocked(TINY, Memory(bytes(size))), arguments)
    for job, expected in zip(jobs, expected_mlp(fc1, fc2, x), strict=True):
        assert job["words"] == expected.view(np.uint32).tolist()


def test_cycles_of_passes() -> None:
    rng = np.random.default_rng(0)
    policy = PrecisionPolicy(outliers={"fc": (1,)})
    layer = Linear(name="fc", w=random_matrix(rng, (20, 5), "wide"), bias=np.zeros(5, np.float32), policy=policy)
    # 2 x 3 tiles of 8 x 2; 2 blocks of one pass, and one of two; 4 cycles a pass
    assert pass_cycles(layer, 9, TINY) == 2 * 3 * (2 + 2) * 4


def test_parts_of_a_jobs_cycles() -> None:
    names = ("passes", "wait_a", "wait_w", "wait_result", "wait_drain")
    counters = {name: i + 1 for i, name in enumerate(names)} | {"cycles": 100, "job_cycles": 150}
    parts = split_cycles(counters, TINY)
    assert list(parts) == list(PARTS)
    assert parts == {
        "passes": 4,
        "wait_a": 8,
        "wait_w": 12,
        "wait_result": 16,
        "wait_drain": 20,
        "no_tile": 40,
        "ends": 50,
    }


def test_a_wrong_element_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    fc1, fc2 = random_layers(2)
    x = random_matrix(np.random.default_rng(5), (4, 20), "gaussian")
    accelerator, arena = device(1 << 18)
    first, second = run_mlp(accelerator, arena, fc1, fc2, x)
    counters = first.counters | {"job_cycles": 100, "cycles": 90, "passes": 20}

    def simulated(*_: object, **__: object) -> SimulatedMLP:
        runs = [replace(run, counters=counters) for run in (first, second)]
        return SimulatedMLP(fc1=runs[0], fc2=runs[1], cycles=300, seconds=1.0)

    monkeypatch.setattr(hardware, "simulate_mlp", simulated)
    system = System(engine="verilator", params=TINY, design="", build_dir=Path())
    run = hardware.run_mlp(fc1, fc2, x, system)
    assert [(job.layer, job.equal, job.elements, job.busy) for job in run.jobs] == [
        ("fc1", 148, 148, 0.8),
        ("fc2", 20, 20, 0.8),
    ]
    second = replace(second, result=second.result.copy())
    second.result[2, 3] = 1.5
    with pytest.raises(CheckError, match=r"^fc2 as a job: C\[2, 3\] is 3fc00000 \(1.5\) in hardware and .* 1 elements"):
        hardware.run_mlp(fc1, fc2, x, system)
