"""Slow streams: equal to the core at full pace and to a walk through all cycles, and how the rest is taken to go on."""

import numpy as np
import pytest

from mixdit_hw.params import Params
from mixdit_hw.perf import streams
from mixdit_hw.perf.arrays import array_of
from mixdit_hw.perf.core import CAUSES, CoreCost, core_cost
from mixdit_hw.perf.streams import StreamCost, stream_cost
from mixdit_hw.presets import PRESETS
from mixdit_hw.sim.plan import Pace
from tests.support.walk import walk

from .test_core import MIXES, SHAPES, least

Intervals = tuple[float, float, float]


def as_streams(params: Params, cost: CoreCost) -> StreamCost:
    t = params.interleave
    waits = {cause: t * getattr(cost, f"wait_{cause}") for cause in CAUSES}
    return StreamCost(cycles=cost.cycles, waits=waits, start=cost.cycles - t * cost.passes - sum(waits.values()))


def random_passes(rng: np.random.Generator, longest: int) -> tuple[int, ...]:
    """Runs of blocks of equal passes, or blocks in any order."""
    length = int(rng.integers(1, longest + 1))
    if rng.random() < 0.5:
        return tuple(int(p) for p in rng.choice([1, 2, 4], length))
    runs = rng.choice([1, 1, 2, 4], 1 + int(rng.integers(4)))
    return tuple(int(p) for p in runs for _ in range(1 + length // len(runs)))


def random_intervals(rng: np.random.Generator, params: Params, passes: tuple[int, ...]) -> Intervals:
    """Some streams slow, most of them near the pace at which they take as long as the array."""
    cycles = sum(passes) * params.interleave
    balanced = np.array([sum(passes) / len(passes), cycles / len(passes), cycles / params.tile_beats])
    factors = rng.choice([0.8, 0.95, 1, 1.02, 1.1, 1.4, 2.5], 3) * (rng.random(3) < 0.6)
    a, w, c = (float(x) for x in np.maximum(1, np.round(256 * balanced * factors) / 256))
    return a, w, c


@pytest.mark.parametrize("shape", SHAPES, ids=lambda p: f"{p.rows}x{p.columns}")
def test_equals_the_core_at_full_pace(shape: Params) -> None:
    for mix in MIXES:
        for params in (shape.replace(**least(shape)), shape.replace(a_depth=256, w_depth=64, c_depth=256)):
            core = core_cost(params, m=1, n=1, passes=mix, instances=50)
            assert stream_cost(params, mix, 50) == as_streams(params, core), (params, mix)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [*SHAPES, PRESETS["edge"]], ids=lambda p: f"{p.rows}x{p.columns}")
def test_equals_a_walk_through_all_cycles(shape: Params, seed: int) -> None:
    rng = np.random.default_rng([seed, shape.rows, shape.columns])
    depths = {name: depth * int(rng.choice([1, 2, 4])) for name, depth in least(shape).items()}
    for _ in range(4):
        params, passes = shape.replace(**depths), random_passes(rng, 30)
        a, w, c = random_intervals(rng, params, passes)
        tiles = int(rng.integers(1, 20))
        found = walk(params, passes, tiles, Pace(a=a, w=w, c=c))
        print(f"seed {seed}, {params}, {passes}, {tiles} tiles: a={a}, w={w}, c={c}: {found}")
        assert stream_cost(params, passes, tiles, a=a, w=w, c=c) == as_streams(params, found)


@pytest.mark.parametrize("seed", range(30))
def test_the_rest_goes_on_as_before(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many long tiles within 1 % of what they are when all are walked through; the parts add up."""
    rng = np.random.default_rng(seed)
    designs = [PRESETS["edge"], PRESETS["small"], array_of(65536), Params(a_depth=1024, w_depth=256, c_depth=4096)]
    params, passes = designs[seed % len(designs)], random_passes(rng, int(rng.choice([8, 400])))
    a, w, c = random_intervals(rng, params, passes)
    tiles = max(20, 50_000 // len(passes))
    cost = stream_cost(params, passes, tiles, a=a, w=w, c=c)
    assert cost.cycles == tiles * params.interleave * sum(passes) + sum(cost.waits.values()) + cost.start
    monkeypatch.setattr(streams, "WALKED", 1 << 60)
    whole = stream_cost.__wrapped__(params, passes, tiles, a=a, w=w, c=c)
    print(f"seed {seed}, {params}, {passes}, {tiles} tiles: a={a}, w={w}, c={c}: {cost}, {whole}")
    assert cost.cycles == pytest.approx(whole.cycles, rel=0.01)
