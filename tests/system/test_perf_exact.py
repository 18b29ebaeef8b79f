"""The performance model's counts equal those of the emitted Verilog, to the cycle: no tolerance anywhere.

Nothing stalls the streams. A pair is a design and a product of a seed, both in the failing test's name and text.
"""

import numpy as np
import pytest

from golden.formats import get_format
from mixdit_hw.params import Params
from mixdit_hw.perf.core import core_cost
from mixdit_hw.presets import PRESETS
from mixdit_hw.sim.run import simulate_gemm
from tests.support.mx_data import random_tensor
from tests.support.simulation import simulator_of

from .test_gemm_random import ODD, SHAPES, SMALL, TINY

# Those that other tests build too.
DESIGNS = {"tiny": TINY, "small": SMALL, "odd": ODD} | SHAPES
BARE = Params(share_rows=1, share_columns=1, formats=("mx4",), a_depth=16, w_depth=4, c_depth=64)
# Result memories of one tile and of a little more, A's and W's memories that do not reach full rate, rows and columns
# that nothing divides, one format, the finely cut engine.
MORE = {
    "tiny-one-tile": TINY.replace(c_depth=8),
    "8x1-shallow-a": BARE.replace(rows=8, columns=1, formats=("mx6", "mx4"), c_depth=32),
    "8x1-shallow-a-drain2": BARE.replace(rows=8, columns=1, drain=2, c_depth=64),
    "1x16-shallow-w": BARE.replace(rows=1, columns=16, formats=("mx9", "mx4"), c_depth=4),
    "7x1-drain7": BARE.replace(rows=7, columns=1, drain=7, formats=("mx6",), a_depth=32, c_depth=4),
    "5x1-T5": BARE.replace(rows=5, columns=1, interleave=5, a_depth=32, c_depth=32),
    "6x1-share2": BARE.replace(rows=6, columns=1, share_rows=2, c_depth=64),
    "1x7-T6": BARE.replace(rows=1, columns=7, interleave=6, a_depth=32, c_depth=16),
    "3x2-loop8": BARE.replace(rows=3, columns=2, loop_latency=8, interleave=8, a_depth=32, c_depth=64),
    "4x2-loop8-share4": BARE.replace(
        rows=4, columns=2, share_rows=4, loop_latency=8, interleave=9, formats=("mx9", "mx6"), a_depth=64, c_depth=64
    ),
    "edge": PRESETS["edge"],
}


def check(params: Params, seed: int) -> None:
    """One random product: short or long, few or many tiles, with or without tails, formats mixed or not."""
    rng = np.random.default_rng([seed, params.rows, params.columns, params.interleave, params.c_depth])
    m = int(rng.integers(1, int(rng.choice([1, 2, 6])) * params.tile_rows + 1))
    n = int(rng.integers(1, int(rng.choice([1, 3, 9])) * params.columns + 1))
    blocks = int(rng.integers(1, 1 + int(rng.choice([1, 3, max(2, params.rows), 20, 80]))))
    names = [[str(f) for f in rng.choice(list(params.formats), int(rng.integers(1, 3)))] for _ in range(2)]
    formats = [[str(f) for f in rng.choice(side, blocks)] for side in names]
    a = random_tensor(rng, m, formats[0], low=100, high=150)
    w = random_tensor(rng, n, formats[1], axis=0, low=100, high=150)
    passes = [get_format(fa).digits * get_format(fw).digits for fa, fw in zip(*formats, strict=True)]
    run = simulate_gemm(a, w, simulator_of("verilator", params))
    cost = core_cost(params, m=m, n=n, passes=passes)
    print(f"seed {seed}, {params}: m={m}, n={n}, passes={passes}: {run.counters}")
    assert {name: getattr(cost, name) for name in run.counters} == run.counters


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", DESIGNS)
def test_counters(name: str, seed: int) -> None:
    check(DESIGNS[name], seed)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(2, 12))
@pytest.mark.parametrize("name", [*DESIGNS, *MORE])
def test_many_counters(name: str, seed: int) -> None:
    check((DESIGNS | MORE)[name], seed)
