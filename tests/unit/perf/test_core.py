"""The core's cost: closed forms, waits by cause, and a walk through all cycles; the RTL is in tests/system."""

import time
from itertools import product
from typing import Any

import numpy as np
import pytest

from mixdit_hw.dot.timing import timing_of
from mixdit_hw.latency import core_latency
from mixdit_hw.params import Params
from mixdit_hw.perf.core import CoreCost, core_cost, full_rate_c_depth
from mixdit_hw.presets import PRESETS
from mixdit_hw.top import Core
from tests.support.errors import raises_exactly
from tests.support.walk import walk

SHAPES = [
    Params(rows=rows, columns=columns, share_rows=share, share_columns=share, drain=drain, interleave=t)
    for rows, columns, share, drain, t in (
        (8, 1, 1, 1, 4), (8, 8, 4, 1, 4), (6, 6, 2, 3, 5), (7, 5, 1, 7, 4), (5, 7, 1, 1, 5), (1, 8, 1, 1, 4),
        (16, 16, 2, 2, 4), (12, 40, 1, 4, 4), (1, 1, 1, 1, 6), (4, 4, 2, 4, 4),
    )
]  # fmt: skip
MIXES = [(1,), (2,), (1, 1), (4, 1), (1,) * 5, (1, 2, 4, 1, 1), (1,) * 24, (1, 1, 1, 1, 1, 1, 1, 4, 4, 4), (2, 1) * 9]


def least(params: Params) -> dict[str, int]:
    """The shallowest memories."""
    deep = {"a_depth": 4 * params.interleave, "w_depth": 4, "c_depth": max(4, params.tile_beats)}
    return {name: 1 << (depth - 1).bit_length() for name, depth in deep.items()}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda p: f"{p.rows}x{p.columns}")
def test_equals_a_walk_through_all_cycles(shape: Params) -> None:
    """Every mix of depths, from the least ones on, and tiles enough that memories fill and states repeat."""
    rng = np.random.default_rng(shape.rows * 100 + shape.columns)
    depths = least(shape)
    for a, w, c in product((1, 2), (1, 4), (1, 2, 4)):
        params = shape.replace(
            a_depth=depths["a_depth"] * a, w_depth=depths["w_depth"] * w, c_depth=depths["c_depth"] * c
        )
        for mix in (MIXES[int(rng.integers(len(MIXES)))] for _ in range(3)):
            tiles = int(rng.integers(1, 16))
            cost = core_cost(params, m=1, n=1, passes=mix, instances=tiles)
            assert cost == walk(params, mix, tiles), (params, mix, tiles)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda p: f"{p.rows}x{p.columns}")
def test_repeating_tiles_are_multiplied(shape: Params) -> None:
    """Many tiles in one go cost as much as what the state's repetition says: one more tile adds what a period adds."""
    params = shape.replace(**least(shape))
    for mix in MIXES:
        costs = [core_cost(params, m=1, n=1, passes=mix, instances=i).cycles for i in range(1, 400)]
        far = [core_cost(params, m=1, n=1, passes=mix, instances=100_000 + i).cycles for i in range(120)]
        gains, far_gains = np.diff(costs[200:]), np.diff(far)
        assert sorted(set(gains.tolist())) == sorted(set(far_gains.tolist()))


def test_core_latency() -> None:
    """The hardware and the model have one latency."""
    for params in (*PRESETS.values(), *SHAPES):
        assert Core(params).latency == core_latency(params, timing_of(params.loop_latency).latency)


@pytest.mark.parametrize("preset", PRESETS)
def test_full_rate(preset: str) -> None:
    """A tile takes the digit passes of all its K blocks, however little of it is used, and nothing else counts."""
    params = PRESETS[preset]
    passes = (1,) * 72 + (2,)
    m, n = 8 * params.tile_rows, 72 * params.columns
    cost = core_cost(params, m=m, n=n, passes=passes)
    total = 8 * 72 * 74
    cycles = (total - 1) * params.interleave + Core(params).latency + params.tile_beats
    assert cost == CoreCost(cycles=cycles, passes=total)
    assert core_cost(params, m=m - 1, n=n - params.columns + 1, passes=passes) == cost
    assert core_cost(params, m=m, n=n // 2, passes=passes, instances=2) == cost


def test_full_rate_depths_are_the_least() -> None:
    """With them A and W never wait; with half of them, where there is such a memory, something does."""
    for rows, columns, t in product((1, 3, 8, 15, 32, 64), (1, 5, 16, 33, 128), (4, 5, 8)):
        params = Params(
            rows=rows, columns=columns, share_rows=1, share_columns=1, interleave=t, c_depth=16384, a_depth=4096
        )
        a, w = params.full_rate_a_depth, params.full_rate_w_depth
        passes = (1,) * 600
        cost = core_cost(params.replace(a_depth=a, w_depth=w), m=1, n=1, passes=passes)
        assert (cost.wait_a, cost.wait_w) == (0, 0)
        if a > 4 * t and a // 2 >= 4 * t:
            assert core_cost(params.replace(a_depth=a // 2, w_depth=w), m=1, n=1, passes=passes).wait_a > 0
        if w > 4:
            assert core_cost(params.replace(a_depth=a, w_depth=w // 2), m=1, n=1, passes=passes).wait_w > 0


def test_full_rate_c_depth_is_the_least() -> None:
    """With it tiles of so many passes never wait for space, with half of it they do."""
    for rows, columns, drain, t in product((1, 4, 12, 64, 128), (1, 64), (1, 4), (4, 8)):
        if rows % drain == 0:
            params = Params(
                rows=rows, columns=columns, drain=drain, interleave=t, a_depth=1024, w_depth=64, c_depth=4096
            )
            for steps in (rows // drain, rows // drain + 7):
                depth = full_rate_c_depth(params, steps)
                passes = (1,) * steps
                assert core_cost(params.replace(c_depth=depth), m=1, n=1, passes=passes, instances=99).wait_result == 0
                if depth // 2 >= max(4, params.tile_beats):
                    half = params.replace(c_depth=depth // 2)
                    assert core_cost(half, m=1, n=1, passes=passes, instances=99).wait_result > 0
    with raises_exactly(ValueError, "steps must be at least rows/drain=16, not 15"):
        full_rate_c_depth(Params(rows=16), 15)


def test_short_tiles_wait_for_the_result_chains() -> None:
    params = Params(rows=16, columns=16, drain=2, a_depth=64, c_depth=256)
    cost = core_cost(params, m=256, n=256, passes=(1,) * 5)
    assert cost.passes == 4 * 16 * 5
    assert (cost.wait_a, cost.wait_w, cost.wait_result, cost.wait_drain) == (0, 0, 0, 63 * 3)


def test_short_tiles_wait_for_the_reader() -> None:
    """With more chains than a beat has rows, tiles end as often as the chains allow until the lanes are full."""
    params = Params(rows=16, columns=16, share_rows=4, drain=1, a_depth=64, c_depth=256)
    assert (params.chain_rows, params.rows // params.drain) == (4, 16)
    few, many = (core_cost(params, m=64, n=16, passes=(1,) * 5, instances=i) for i in (3, 1003))
    assert few.wait_result == 0
    assert many.cycles - few.cycles == 1000 * params.tile_beats


def test_start_and_drain_are_paid_once() -> None:
    """A second instance adds its steps only."""
    params = PRESETS["edge"]
    one, two = (core_cost(params, m=256, n=72, passes=(1,) * 16, instances=i) for i in (1, 2))
    assert two.cycles - one.cycles == params.interleave * one.passes


def test_time() -> None:
    """Long products on a design that waits for everything, as CPU time."""
    params = Params(rows=128, columns=128, share_rows=1, share_columns=1, a_depth=16, w_depth=4, c_depth=512)
    start = time.process_time()
    cost = core_cost(params, m=65536, n=65536, passes=(1,) * 72 + (2,) * 3 + (4,))
    assert cost.wait_a > 0
    assert time.process_time() - start < 0.1


@pytest.mark.parametrize("name", ["m", "n", "instances", "passes"])
def test_errors(name: str) -> None:
    arguments: Any = {"m": 1, "n": 1, "instances": 1, "passes": (1,)} | {name: () if name == "passes" else 0}
    with raises_exactly(ValueError, f"{name} must be at least 1, not 0"):
        core_cost(Params(), **arguments)
