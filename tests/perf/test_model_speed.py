"""Time of the performance model, as CPU time of this process, so that other load does not count."""

import time

from mixdit_hw.perf.arrays import array, array_of
from mixdit_hw.perf.authors import tile_cycles
from mixdit_hw.perf.compare import compare
from mixdit_hw.perf.memory import Memory
from mixdit_hw.perf.streams import stream_cost
from mixdit_hw.workloads import MODELS, PAPER_MODELS

MODEL_LIMIT = 0.050  # seconds, of any whole model
SWEEP_LIMIT = 60.0  # of 1000 designs
SLOW = 2  # what a busy machine with shared caches may take more


def cpu_seconds(name: str, memory: Memory | None = None) -> float:
    """Of a whole model on the paper's size, all schedules and the GPU, without what earlier calls left in caches."""
    tile_cycles.cache_clear()
    stream_cost.cache_clear()
    start = time.process_time()
    model = MODELS[name]
    compare(model.gemms(), array_of(65536), name=name, clock=1e9, steps=model.steps, memory=memory)
    model.other_work()
    return time.process_time() - start


def test_a_whole_model_in_50_ms() -> None:
    cpu_seconds("DiT-S-256")
    for name in MODELS:
        for memory in (None, Memory(bandwidth=100, a=1.5), Memory(a=1.25, w=5, c=2)):
            assert min(cpu_seconds(name, memory) for _ in range(3)) <= SLOW * MODEL_LIMIT, name


def test_a_sweep_of_1000_designs_in_60_s() -> None:
    """A tenth of it; 20 designs on each of the paper's models."""
    start = time.process_time()
    for name in PAPER_MODELS:
        for i in range(20):
            compare(MODELS[name].gemms(), array(4 + 6 * i, 8 + 6 * i), name=name, clock=1e9, steps=1)
    assert time.process_time() - start <= SLOW * SWEEP_LIMIT / 10
