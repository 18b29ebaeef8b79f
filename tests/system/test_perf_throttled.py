"""The performance model with slow streams against the emitted Verilog whose streams are as slow: within 1 %.

Compared are `memory_cost(...).cycles` and the core's own counter ``cycles``; both are from the decision for the first
digit pass to the last result beat, both included. Nothing is added or taken away. Products that the model walks through
to the end must be equal, with all their waits, as must be the walk that the unit tests take for the hardware.
"""

from dataclasses import replace

import numpy as np
import pytest

from mixdit_hw.mixes import Segment
from mixdit_hw.params import Params
from mixdit_hw.perf.core import CAUSES
from mixdit_hw.perf.memory import Memory, MemoryCost, memory_cost
from mixdit_hw.perf.streams import LEAST_TILES, WALKED
from mixdit_hw.sim.plan import CYCLE, Pace
from mixdit_hw.sim.run import simulate_gemm
from mixdit_hw.workloads import Gemm
from tests.support.mx_data import random_tensor
from tests.support.simulation import simulator_of
from tests.support.walk import walk

from .test_gemm_random import ODD, SHAPES, SMALL, TINY
from .test_perf_exact import MORE

# A small edge: a loop of 8, two rows a beat.
EDGE_LIKE = Params(
    rows=4, columns=2, drain=2, loop_latency=8, interleave=8, formats=("mx9", "mx4"), a_depth=32, w_depth=4, c_depth=32
)
DESIGNS = {"tiny": TINY, "small": SMALL, "odd": ODD, "edge-like": EDGE_LIKE}
PRODUCTS = ("linear", "head", "mixed", "long")
THROTTLED = ("a", "w", "c", "awc")


def random_segments(rng: np.random.Generator, params: Params, product: str) -> list[Segment]:
    """Blocks of a linear layer with the widest format last, of a head, or in any order."""
    wide, narrow = params.formats[0], params.formats[-1]
    few = int(rng.integers(2, 6))
    if product == "head":
        runs = [(str(rng.choice(params.formats)), str(rng.choice(params.formats)), few)]
    elif product == "mixed":
        names = rng.choice(params.formats, (int(rng.integers(8, 24)), 2))
        runs = [(str(fa), str(fw), 1) for fa, fw in names]
    else:
        runs = [(narrow, narrow, int(rng.integers(24, 48))), (wide, wide, few)]
    return [Segment(a=fa, w=fw, k=16 * blocks) for fa, fw, blocks in runs]


def check(params: Params, product: str, throttled: str, seed: int) -> MemoryCost:
    """A product at intervals of 0.8 to 2.5 times those at which a stream takes as long as the array does."""
    place = PRODUCTS.index(product), THROTTLED.index(throttled), params.rows, params.columns, params.interleave
    rng = np.random.default_rng([seed, *place])
    segments = random_segments(rng, params, product)
    blocks = sum(s.blocks for s in segments)
    array = params.interleave * sum(s.passes * s.blocks for s in segments)  # cycles of a tile
    tiles = -(-3 * WALKED // (2 * blocks)) if product == "long" else max(12, -(-3000 // array))
    n_tiles = min(8, tiles)
    m, n = -(-tiles // n_tiles) * params.tile_rows, n_tiles * params.columns
    k = sum(s.k for s in segments)
    gemm = Gemm(name=product, layer=product, m=m, n=n, k=k, segments=tuple(segments))
    tiles = m * n // (params.tile_rows * params.columns)

    beats = {"a": blocks * params.interleave, "w": blocks, "c": params.tile_beats}
    intervals = {
        stream: max(CYCLE, round(CYCLE * rng.uniform(0.8, 2.5) * array / beats[stream])) / CYCLE for stream in throttled
    }
    a = random_tensor(rng, m, [s.a for s in segments for _ in range(s.blocks)], low=100, high=150)
    w = random_tensor(rng, n, [s.w for s in segments for _ in range(s.blocks)], axis=0, low=100, high=150)
    run = simulate_gemm(a, w, simulator_of("verilator", params, pace=Pace(**intervals)))
    cost = memory_cost(params, gemm, replace(Memory(), **intervals))
    error = cost.cycles / run.counters["cycles"] - 1
    print(f"seed {seed}, {params}, {product} of {tiles} tiles, passes {gemm.passes}, cycles per beat {intervals}:")
    print(f"{error:+.3%}, {run.counters}, {cost}")

    assert cost.cycles == pytest.approx(run.counters["cycles"], rel=0.01)
    if tiles * blocks <= WALKED or tiles <= LEAST_TILES:
        waits = {cause: params.interleave * run.counters[f"wait_{cause}"] for cause in CAUSES}
        assert (cost.cycles, cost.waits) == (run.counters["cycles"], waits)
        found = walk(params, gemm.passes, tiles, Pace(**intervals))
        assert {name: getattr(found, name) for name in run.counters} == run.counters
    return cost


@pytest.mark.parametrize("throttled", THROTTLED)
@pytest.mark.parametrize("name", DESIGNS)
def test_slow_streams(name: str, throttled: str) -> None:
    """Each product with each throttle, and with each design."""
    product = PRODUCTS[(list(DESIGNS).index(name) + THROTTLED.index(throttled)) % len(PRODUCTS)]
    check(DESIGNS[name], product, throttled, 0)


@pytest.mark.nightly
@pytest.mark.parametrize("throttled", THROTTLED)
@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("name", [*DESIGNS, *SHAPES, *MORE])
def test_many_slow_streams(name: str, product: str, throttled: str) -> None:
    """Shallow memories and presets' own among them, edge being one."""
    check((DESIGNS | SHAPES | MORE)[name], product, throttled, 1)
