"""Random GEMMs on the emitted Verilog and on Amaranth's simulator equal golden's bit for bit."""

from itertools import product

import numpy as np
import pytest

import golden
from golden.formats import FORMATS
from mixdit_hw.params import Params
from mixdit_hw.presets import PRESETS
from mixdit_hw.sim.compare import compare
from mixdit_hw.sim.plan import Stalls
from mixdit_hw.sim.run import simulate_gemm
from tests.support.matrices import KINDS, random_matrix
from tests.support.mx_data import random_tensor
from tests.support.simulation import VERILOG_ENGINES, simulator_of

TINY, SMALL = PRESETS["tiny"], PRESETS["small"]
# Nothing of it is a power of two or a default: 5 interleaved outputs, two drain segments, no MX9.
ODD = Params(rows=4, columns=3, interleave=5, formats=("mx6", "mx4"), a_depth=32, w_depth=4, c_depth=16, drain=2)
# Made for DSP blocks: a multiplier for two or four products.
PAIRS = TINY.replace(multipliers="pairs", tree="chains")
QUADS = PAIRS.replace(multipliers="quads", rows=4, interleave=8, loop_latency=8, a_depth=32, c_depth=32)


def check(
    engine: str, params: Params, a: golden.MXTensor, w: golden.MXTensor, stalls: Stalls, max_command: int
) -> None:
    run = simulate_gemm(a, w, simulator_of(engine, params, stalls), max_command=max_command)
    difference = compare(run.result, golden.gemm(a, w))
    assert difference is None, str(difference)


def random_stalls(rng: np.random.Generator) -> Stalls:
    """Each stream flows freely or stalls rarely or mostly."""
    a, w, cmd, c = (float(p) for p in rng.choice([0, 0, 0.1, 0.5, 0.9], 4))
    return Stalls(a=a, w=w, cmd=cmd, c=c, seed=int(rng.integers(1, 1 << 24)))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("engine", "params", "largest"),
    [
        pytest.param("verilator", TINY, (30, 9, 12), id="verilator-tiny"),
        pytest.param("verilator", SMALL, (60, 20, 20), id="verilator-small"),
        pytest.param("verilator", ODD, (60, 20, 12), id="verilator-odd"),
        pytest.param("verilator", QUADS, (60, 20, 12), id="verilator-quads"),
        pytest.param("icarus", TINY, (20, 6, 6), id="icarus-tiny"),
        pytest.param("icarus", PAIRS, (20, 6, 4), id="icarus-pairs"),
        pytest.param("icarus", ODD, (20, 6, 4), id="icarus-odd"),
    ],
)
def test_any_encoding(engine: str, params: Params, largest: tuple[int, int, int], seed: int) -> None:
    """Any E, D, S and M, near one another or anywhere, NaN and zero blocks among them, under random stalls."""
    rng = np.random.default_rng([seed, params.rows, params.interleave])
    m, n, blocks = (int(rng.integers(1, top + 1)) for top in largest)
    low, high = [(0, 254), (100, 150), (0, 80), (180, 254)][int(rng.integers(4))]
    nan, zero = float(rng.choice([0, 0, 0.01, 0.1])), float(rng.choice([0, 0.1, 0.5]))
    names = list(params.formats)
    formats = [[str(f) for f in rng.choice(names, blocks)] for _ in range(2)]
    a = random_tensor(rng, m, formats[0], low=low, high=high, nan_rate=nan, zero_rate=zero)
    w = random_tensor(rng, n, formats[1], axis=0, low=low, high=high, nan_rate=nan, zero_rate=zero)
    check(engine, params, a, w, random_stalls(rng), int(rng.choice([1, 2, 5, 65535])))


LARGE = Params(rows=8, columns=4, share_rows=4, formats=("mx6", "mx4"), a_depth=32, w_depth=4, c_depth=32)
SHAPES = {
    "8x4-share4x2-drain1": LARGE,
    "8x4-share4x2-drain2": LARGE.replace(drain=2, c_depth=64),
    "8x4-share4x2-drain4": LARGE.replace(drain=4, c_depth=8),
    "8x4-share4x2-drain8": LARGE.replace(drain=8),
    "6x6-drain3": LARGE.replace(rows=6, columns=6, share_rows=2, drain=3, c_depth=16),
    "4x4": Params(a_depth=16, w_depth=4, c_depth=16),
    "4x2-share1": LARGE.replace(rows=4, columns=2, share_rows=1, share_columns=1),
}


@pytest.mark.parametrize("params", SHAPES.values(), ids=list(SHAPES))
def test_shapes_of_clusters(params: Params) -> None:
    """Several tiles each way, freely and under stalls, in every way of sharing and draining."""
    for seed in range(3):
        rng = np.random.default_rng([seed, params.rows, params.drain])
        m, n, blocks = 3 * params.tile_rows - 5, 4 * params.columns - 1, int(rng.integers(1, 2 * params.rows))
        formats = [[str(f) for f in rng.choice(list(params.formats), blocks)] for _ in range(2)]
        a = random_tensor(rng, m, formats[0], low=100, high=150)
        w = random_tensor(rng, n, formats[1], axis=0, low=100, high=150)
        check("verilator", params, a, w, random_stalls(rng) if seed else Stalls(), 65535)


@pytest.mark.parametrize("seed", range(2))
def test_any_encoding_in_amaranth(seed: int) -> None:
    rng = np.random.default_rng([seed, 99])
    formats = [[str(f) for f in rng.choice(list(FORMATS), 4)] for _ in range(2)]
    a = random_tensor(rng, 11, formats[0], nan_rate=0.02)
    w = random_tensor(rng, 3, formats[1], axis=0, nan_rate=0.02)
    check("amaranth", TINY, a, w, random_stalls(rng), 3)


@pytest.mark.parametrize("engine", VERILOG_ENGINES)
@pytest.mark.parametrize("pair", list(product(FORMATS, repeat=2)), ids="-".join)
def test_every_pair_of_formats(engine: str, pair: tuple[str, str]) -> None:
    """Converted data of every kind, one K segment each, with tails in M, N and K."""
    rng = np.random.default_rng([len(pair[0]), *map(ord, "".join(pair))])
    kinds = [(x, "gaussian" if x != "gaussian" else "wide") for x in KINDS] + [("wide", "wide")]
    kinds = [kinds[i] for i in rng.permutation(len(kinds))]
    a = golden.concat([golden.quantize(random_matrix(rng, (9, 21), x), pair[0], 1) for x, _ in kinds])
    w = golden.concat([golden.quantize(random_matrix(rng, (21, 3), y), pair[1], 0) for _, y in kinds])
    check(engine, TINY, a, w, random_stalls(rng), 65535)


def test_more_blocks_than_a_command_can_name() -> None:
    """65 600 K blocks of one output take two commands. (Too many cycles for Icarus, which has seen commands split.)"""
    rng = np.random.default_rng(1)
    blocks = 65600
    a = golden.quantize(rng.standard_normal((1, 16 * blocks)).astype(np.float32), "mx6", 1)
    w = golden.quantize(rng.standard_normal((16 * blocks, 1)).astype(np.float32), "mx6", 0)
    check("verilator", TINY, a, w, Stalls(), 65535)


@pytest.mark.parametrize(("engine", "params"), [("verilator", SMALL), ("icarus", TINY)], ids=VERILOG_ENGINES)
@pytest.mark.parametrize("order", ["in-place", "gathered"])
@pytest.mark.parametrize("count", [1, 16, 21])
def test_outliers_in_both_stored_orders(engine: str, params: Params, order: str, count: int) -> None:
    rng = np.random.default_rng(count)
    x, y = random_matrix(rng, (18, 50), "gaussian"), random_matrix(rng, (50, 6), "gaussian")
    x[:, rng.permutation(50)[:count]] *= 100
    channels = golden.select_outliers(x, count)
    a = golden.split_outliers(x, channels, "mx6", "mx9", axis=1, order=order)
    w = golden.repeat_outliers(y, channels, "mx6", "mx9", axis=0, order=order)
    check(engine, params, a, w, random_stalls(rng), 65535)


def test_simulation_speed() -> None:
    """Verilator needs no Python while the clock runs: 20 000 cycles a second on preset small, with room to spare."""
    rng = np.random.default_rng(3)
    a, w = (golden.quantize(rng.standard_normal((64, 2048)).astype(np.float32), "mx6") for _ in range(2))
    w = golden.MXTensor(
        shape=(2048, 64), axis=0, segments=w.segments, exponents=w.exponents, micro=w.micro, elements=w.elements
    )
    run = simulate_gemm(a, w, simulator_of("verilator", SMALL))
    assert compare(run.result, golden.gemm(a, w)) is None
    assert run.utilisation > 0.99
    assert run.cycles / run.seconds > 20_000


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("preset", ["edge", "base"])
def test_large_presets(preset: str) -> None:
    """Several tiles with tails on the larger arrays, mixed formats, stalls on all streams."""
    params = PRESETS[preset]
    rng = np.random.default_rng(params.rows)
    formats = [[str(f) for f in rng.choice(list(FORMATS), 24)] for _ in range(2)]
    a = random_tensor(rng, 2 * params.tile_rows + 3, formats[0], low=80, high=180, zero_rate=0.1)
    w = random_tensor(rng, 2 * params.columns + 5, formats[1], axis=0, low=80, high=180, zero_rate=0.1)
    check("verilator", params, a, w, Stalls(a=0.1, w=0.1, cmd=0.5, c=0.2, seed=1), 65535)
