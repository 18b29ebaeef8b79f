"""The emitted accelerator on random jobs: every byte of its memory afterwards, and its faults, against the model.

The rules of the buses are checked in every simulation. ``MIXDIT_SEED`` moves the seeds of the random jobs.
"""

import os
from dataclasses import replace
from itertools import cycle
from typing import Any

import numpy as np
import pytest

from mixdit_hw.footprint import regions_of
from mixdit_hw.job import DESCRIPTOR_BYTES, Fault, blocks_of, raw_fields
from mixdit_hw.params import Params
from mixdit_hw.presets import PRESETS
from mixdit_hw.sim.system import DECERR, SLVERR, BusStalls, System, simulate_jobs, simulate_program
from tests.support.host_programs import early_clears, full_queue, jobs_and_faults
from tests.support.jobs import BREAKS, Scene, illegal_descriptor, random_job, random_scene
from tests.support.simulation import BUILD_DIR, accelerator_of, need_engine

TINY = PRESETS["tiny"]
DESIGNS: dict[str, Params] = {
    "tiny": TINY,
    "chunks": TINY.replace(k_depth=4, axi_width=64, address_bits=64, outlier_depth=1, queue_depth=8),
    "wide": PRESETS["small"].replace(axi_width=512, a_slots=4, rounding="runtime", formats=("mx9", "mx6")),
    # Nothing of it is a power of two but what must be.
    "odd": Params(rows=3, columns=5, interleave=5, a_depth=32, c_depth=16, axi_width=256, address_bits=37, a_slots=3),
}
COMPILED = ("tiny", "chunks")  # under Verilator, which takes a minute for each; the others only in the nightly tests
FIRST_SEED = int(os.environ.get("MIXDIT_SEED", "0"))
CHANNELS = tuple(vars(BusStalls()))


def system_of(engine: str, params: Params, seed: int, **options: Any) -> System:
    """A design in a simulator, with stalls on all channels or on none, and some latency."""
    need_engine(engine)
    rng = np.random.default_rng([seed, 1])
    stalls = BusStalls()
    if rng.random() < 0.75:
        stalls = BusStalls(**{name: float(rng.choice([0.0, 0.2, 0.6])) for name in CHANNELS})
    known: dict[str, Any] = {"stalls": stalls, "latency": int(rng.choice([0, 10, 80]))} | options
    return System(
        engine=engine,
        params=params,
        design=accelerator_of(params),
        build_dir=BUILD_DIR,
        seed=seed + 1,
        limit=2_000_000,
        timeout=1800,
        **known,
    )


def check(engine: str, seed: int, scene: Scene) -> None:
    """Run a scene's jobs, which all are done, and leave the memory as the model does."""
    expected, faults = scene.expected()
    assert faults == [Fault.NONE] * len(scene.jobs)
    system = system_of(engine, scene.params, seed)
    run = simulate_jobs(system, scene.memory, scene.jobs, window=scene.window, queued=bool(seed % 2))
    assert run.faults == faults, f"seed {seed}"
    different = np.flatnonzero(np.frombuffer(scene.memory.data, np.uint8) != np.frombuffer(expected.data, np.uint8))
    assert not different.size, f"seed {seed}: byte {scene.memory.base + int(different[0]):#x} differs"


@pytest.mark.parametrize("name", COMPILED)
def test_random_jobs(name: str) -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + 4):
        check("verilator", seed, random_scene(np.random.default_rng(seed), DESIGNS[name], jobs=3))


@pytest.mark.parametrize("name", ["tiny", "odd"])
def test_random_jobs_with_unknown_bits(name: str) -> None:
    """Icarus knows bits that have no value; nothing of them reaches a bus."""
    scene = random_scene(np.random.default_rng(FIRST_SEED), DESIGNS[name], jobs=2, limits=(10, 20, 60))
    check("icarus", FIRST_SEED, scene)


def outlier_scene(seed: int, params: Params, limits: tuple[int, int, int], counts: tuple[int, ...]) -> Scene:
    """A job for each number of outliers, all with the largest K."""
    rng = np.random.default_rng([seed, 6])
    scene = random_scene(rng, params, jobs=0)
    for tag, count in enumerate(counts):
        scene.add(rng, random_job(rng, scene, limits, tag=tag, count=count))
    return scene


@pytest.mark.parametrize("k", [107, 112])
@pytest.mark.parametrize("name", COMPILED)
def test_many_outliers(name: str, k: int) -> None:
    """As many outliers as go in one pass, one more, far more, and nothing else; with and without a tail."""
    most = DESIGNS[name].most_outliers
    check("verilator", k, outlier_scene(k, DESIGNS[name], (20, 7, k), (most, most + 1, most + 17, k - 1, k)))


def test_many_outliers_with_unknown_bits() -> None:
    check("icarus", FIRST_SEED, outlier_scene(FIRST_SEED, DESIGNS["odd"], (17, 6, 90), (79, 80, 90)))


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_thousands_of_outliers() -> None:
    check("verilator", FIRST_SEED, outlier_scene(FIRST_SEED, DESIGNS["chunks"], (5, 3, 3001), (1500, 3001)))


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(FIRST_SEED + 100, FIRST_SEED + 113))
@pytest.mark.parametrize("name", DESIGNS)
def test_many_random_jobs(name: str, seed: int) -> None:
    check("verilator", seed, random_scene(np.random.default_rng(seed), DESIGNS[name], jobs=4))


Step = tuple[str, int, Any]


def tagged_scene(rng: np.random.Generator, params: Params, jobs: int, limits: tuple[int, int, int]) -> Scene:
    """Legal jobs with tags that are not 0, one of them with outliers."""
    scene = random_scene(rng, params, jobs=jobs, limits=limits)
    while not any(job.outliers for job in scene.descriptors):
        scene = random_scene(rng, params, jobs=jobs, limits=limits)
    for i, (address, job) in enumerate(zip(scene.jobs, scene.descriptors, strict=True)):
        scene.descriptors[i] = replace(job, tag=int(rng.integers(1, 1 << 32)))
        scene.memory.write_memory(address, scene.descriptors[i].pack())
    return scene


def add_short_chunks(rng: np.random.Generator, scene: Scene) -> int:
    """Address of one more job, with one outlier more than goes in one pass."""
    most = scene.params.most_outliers
    job = random_job(rng, scene, (9, 5, most + 17), tag=int(rng.integers(1, 1 << 32)), count=most + 1)
    scene.add(rng, job)
    return scene.jobs[-1]


def illegal_steps(rng: np.random.Generator, scene: Scene) -> list[Step]:
    """A job with each fault that a descriptor can have, as far as the scene's jobs can be changed so."""
    steps: list[Step] = []
    for fault in BREAKS:
        for i in rng.permutation(len(scene.jobs)):
            job = scene.descriptors[i]
            if fault is Fault.MASK and job.outliers:
                mask = scene.memory.read_memory(job.mask_address, 2 * blocks_of(job.k))
                job = replace(job, mask_address=scene.put(rng, mask, 2))
            if (descriptor := illegal_descriptor(rng, scene, job, fault)) is not None:
                address = scene.put(rng, descriptor, 64)
                steps.append(("illegal", address, [fault, raw_fields(descriptor)["tag"]]))
                break
    misplaced = scene.jobs[0] + int(rng.integers(1, 4))
    steps.append(("illegal", misplaced, [Fault.ALIGNMENT, 0]))
    steps.append(("illegal", (1 << scene.params.address_bits) - DESCRIPTOR_BYTES // 2, [Fault.WINDOW, 0]))
    return steps


def bus_steps(rng: np.random.Generator, scene: Scene) -> list[Step]:
    """Each job with an error in each region that it reads or writes."""
    steps: list[Step] = []
    lanes = scene.params.axi_width // 8
    answers = {kind: cycle((SLVERR, DECERR)) for kind in ("read", "write")}
    for address, job in zip(scene.jobs, scene.descriptors, strict=True):
        places = {"descriptor": address + int(rng.integers(DESCRIPTOR_BYTES))}
        for name, r in regions_of(raw_fields(job.pack())).items():
            places[name] = r.address + int(rng.integers(r.rows)) * r.stride + int(rng.integers(r.row_bytes))
        for name, place in places.items():
            kind = "write" if name == "c" else "read"
            details = [place // lanes * lanes, place, next(answers[kind]), name == "descriptor"]
            steps.append((kind, address, details))
    return steps


def run_steps(engine: str, seed: int, scene: Scene, steps: list[Step]) -> dict[str, int]:
    """Run steps; what was seen. The program checks all but the rules of the buses."""
    arguments = {"params": scene.params.to_dict(), "window": scene.window, "seed": seed, "steps": steps}
    return simulate_program(system_of(engine, scene.params, seed), scene.memory, jobs_and_faults, arguments).result


def check_faults(name: str, seed: int) -> None:
    """After each fault its code and tag are told, nothing outside of C was written, and the queue goes on."""
    rng = np.random.default_rng([seed, 2])
    scene = tagged_scene(rng, DESIGNS[name], 3, (20, 20, 100))
    plain = scene.jobs[int(np.argmin([job.outliers for job in scene.descriptors]))]
    short = add_short_chunks(rng, scene)
    steps = [*illegal_steps(rng, scene), *bus_steps(rng, scene)]
    for address in scene.jobs:
        steps += [("abort", address, None)] * 3 + [("reset", address, None)]
    steps = [steps[i] for i in rng.permutation(len(steps))]
    first: list[Step] = [("good", address, None) for address in (*scene.jobs, plain)]
    for behind in (short, plain):  # aborts of short chunks, with such a job and a plain one behind them
        steps += [("good", behind, None), ("abort", short, None), ("abort", short, None)]
    seen = run_steps("verilator", seed, scene, [*first, *steps])
    assert set(seen) >= {fault.name for fault in Fault} | {"reset", "behind"}, seen


@pytest.mark.parametrize("name", COMPILED)
def test_faults(name: str) -> None:
    check_faults(name, FIRST_SEED)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(FIRST_SEED + 1, FIRST_SEED + 6))
@pytest.mark.parametrize("name", DESIGNS)
def test_many_faults(name: str, seed: int) -> None:
    check_faults(name, seed)


def test_faults_with_unknown_bits() -> None:
    rng = np.random.default_rng([FIRST_SEED, 3])
    scene = tagged_scene(rng, TINY, 2, (9, 5, 40))
    steps: list[Step] = [("good", address, None) for address in scene.jobs]
    steps += [("abort", scene.jobs[0], None), ("reset", scene.jobs[1], None), *bus_steps(rng, scene)[::2]]
    assert run_steps("icarus", FIRST_SEED, scene, steps)["behind"] == len(steps) - 3


@pytest.mark.parametrize("name", COMPILED)
def test_full_queue(name: str) -> None:
    """Doorbells that find the queue full are told, and change nothing."""
    rng = np.random.default_rng([FIRST_SEED, 4])
    scene = tagged_scene(rng, DESIGNS[name], 1, (9, 9, 40))
    illegal = scene.put(rng, bytes(DESCRIPTOR_BYTES), 64)
    arguments = {"params": scene.params.to_dict(), "window": scene.window, "job": scene.jobs[0], "illegal": illegal}
    system = system_of("verilator", scene.params, FIRST_SEED)
    assert simulate_program(system, scene.memory, full_queue, arguments).result == scene.params.queue_depth


def test_fault_clear_at_the_same_time() -> None:
    rng = np.random.default_rng(5)
    scene = random_scene(rng, TINY, limits=(1, 1, 1))
    illegal = scene.put(rng, bytes(DESCRIPTOR_BYTES), 64)
    cycles = {"first": 10, "last": 50}
    arguments = {"params": TINY.to_dict(), "window": scene.window, "illegal": illegal} | cycles
    system = system_of("verilator", TINY, 1, stalls=BusStalls(), latency=0)
    cleared, waiting = simulate_program(system, scene.memory, early_clears, arguments).result
    assert min(cleared, waiting) > 5
