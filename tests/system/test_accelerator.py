"""The emitted accelerator on random jobs: every byte of its memory afterwards, and its faults, against the model."""

import numpy as np
import pytest

from mixdit_hw.emit import UNITS, emit_verilog
from mixdit_hw.job import Fault
from mixdit_hw.params import Params
from mixdit_hw.presets import PRESETS
from mixdit_hw.sim.system import BusStalls, System, simulate_jobs
from tests.support.jobs import BREAKS, Scene, illegal_descriptor, random_scene
from tests.support.simulation import BUILD_DIR, need_engine

pytestmark = pytest.mark.skipif("accelerator" not in UNITS, reason="NOT RUN: there is no accelerator yet")

TINY = PRESETS["tiny"]
DESIGNS: dict[str, Params] = {
    "tiny": TINY,
    "chunks": TINY.replace(k_depth=4, axi_width=64, address_bits=64, outlier_depth=1, queue_depth=8),
    "wide": PRESETS["small"].replace(axi_width=512, a_slots=4, rounding="runtime", formats=("mx9", "mx6")),
}
SEEDS = range(4)


def check(name: str, engine: str, seed: int, scene: Scene, *, queued: bool) -> list[Fault]:
    """Run a scene; its faults, which like its memory are those of the model."""
    need_engine(engine)
    rng = np.random.default_rng(seed)
    system = System(
        engine=engine,
        params=scene.params,
        design=emit_verilog(scene.params, "accelerator"),
        build_dir=BUILD_DIR,
        stalls=BusStalls.all(float(rng.choice([0.0, 0.2, 0.6]))),
        latency=int(rng.choice([0, 10, 80])),
        seed=seed + 1,
        limit=2_000_000,
        timeout=1800,
    )
    expected, faults = scene.expected()
    run = simulate_jobs(system, scene.memory, scene.jobs, window=scene.window, queued=queued)
    assert run.faults == faults, f"{name}, seed {seed}"
    different = np.flatnonzero(np.frombuffer(scene.memory.data, np.uint8) != np.frombuffer(expected.data, np.uint8))
    assert not different.size, f"{name}, seed {seed}: byte {scene.memory.base + int(different[0]):#x} differs"
    return faults


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", DESIGNS)
def test_random_jobs(name: str, seed: int) -> None:
    scene = random_scene(np.random.default_rng(seed), DESIGNS[name], jobs=3)
    engine = "icarus" if seed == SEEDS[-1] else "verilator"
    assert check(name, engine, seed, scene, queued=bool(seed % 2)) == [Fault.NONE] * 3


@pytest.mark.parametrize("fault", list(BREAKS), ids=lambda fault: fault.name)
def test_illegal_jobs(fault: Fault) -> None:
    """The job before the illegal one is done, those behind it are not."""
    found = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        scene = random_scene(rng, TINY, jobs=3, limits=(9, 9, 40))
        descriptor = illegal_descriptor(rng, scene, scene.descriptors[1], fault)
        if descriptor is None:
            continue
        scene.memory.write_memory(scene.jobs[1], descriptor)
        assert check("tiny", "verilator", seed, scene, queued=bool(seed % 2)) == [Fault.NONE, fault]
        found += 1
        if found == 4:
            break
    assert found == 4
