"""Shapes and ways: every way computes the same product, and losses are what the padding says."""

from dataclasses import replace

import numpy as np
import pytest

from mixdit_hw.perf.memory import Memory, memory_cost
from mixdit_hw.perf.model import step_cost
from mixdit_hw.perf.tiles import PACKED, Shape, best_shapes, enumerate_shapes, loss, shares, steady_loss, ways
from mixdit_hw.workloads import MODELS

STEP = MODELS["DiT-XL-256"].gemms()
QK, AV = (next(gemm for gemm in STEP if gemm.name == f"{layer}.6x6") for layer in ("qk", "av"))


@pytest.mark.parametrize("heads", PACKED)
def test_packed_products_hold_the_heads_products(heads: int) -> None:
    """With numbers: heads side by side in N, and one after the other in K and M."""
    rng = np.random.default_rng(heads)
    a, w = rng.integers(-4, 5, (heads, 6, 16)), rng.integers(-4, 5, (heads, 16, 3))
    zeros = [[np.zeros_like(w[0])] * heads for _ in range(heads)]
    diagonal = np.block([[w[i] if i == j else zeros[i][j] for j in range(heads)] for i in range(heads)])
    side_by_side = np.concatenate(list(a), axis=1) @ diagonal
    spread = np.block([[a[i] if i == j else np.zeros_like(a[0]) for j in range(heads)] for i in range(heads)])
    stacked = spread @ np.concatenate(list(w), axis=0)
    for head in range(heads):
        assert np.array_equal(side_by_side[:, 3 * head : 3 * head + 3], a[head] @ w[head])
        assert np.array_equal(stacked[6 * head : 6 * head + 6], a[head] @ w[head])
    gemm = replace(AV, m=6, n=3, k=16, segments=(replace(AV.segments[0], k=16),), count=heads)
    found = ways(gemm)
    assert (found[f"N x {heads}"].m, found[f"N x {heads}"].n) == side_by_side.shape
    assert (found[f"K x {heads}"].m, found[f"K x {heads}"].n) == stacked.shape
    assert found[f"N x {heads}"].k == found[f"K x {heads}"].k == 16 * heads
    assert found[f"N x {heads}"].count == found[f"K x {heads}"].count == 1


def test_ways() -> None:
    assert list(ways(STEP[0])) == ["plain", "swapped"]
    assert list(ways(AV)) == ["plain", "swapped", "N x 2", "K x 2", "N x 3", "K x 3", "N x 4", "K x 4"]
    assert (ways(AV)["N x 3"].count, AV.count) == (9, 26)
    assert ways(QK)["K x 2"].blocks == 9
    assert ways(QK)["plain"].blocks == 5


@pytest.mark.parametrize(
    ("columns", "expected"), [(8, 0), (12, 0), (16, 1 - 72 / 80), (24, 0), (64, 1 - 72 / 128), (128, 1 - 72 / 128)]
)
def test_columns_that_head_72_leaves_empty(columns: int, expected: float) -> None:
    """10 % on 16 columns and 44 % on 64, none on divisors of 72."""
    shape = Shape(rows=16, columns=columns)
    assert steady_loss(shape, AV, "plain") == pytest.approx(expected)
    assert steady_loss(shape, QK, "plain") >= 1 - 72 / 80 - 1e-12


def test_packing_heads_loses_more() -> None:
    """An array shares each row of A among all columns, so that h heads in one product take h times the passes."""
    for gemm in (QK, AV):
        for shape in enumerate_shapes(256):
            best = min(steady_loss(shape, gemm, way) for way in ("plain", "swapped"))
            assert all(steady_loss(shape, gemm, f"{axis} x {h}") > best for axis in "NK" for h in PACKED), shape


def test_loss_is_the_steps() -> None:
    shape = Shape(rows=16, columns=16)
    cost = step_cost(shape.params, STEP, roles="best")
    assert loss(shape, STEP) == pytest.approx(1 - cost.useful)
    assert loss(shape, STEP, ("plain",)) >= loss(shape, STEP)


def test_shares() -> None:
    assert [s.count for s in shares(QK, 4)] == [7]
    assert [(s.count, s.m, s.n) for s in shares(replace(QK, count=6), 16)] == [(1, 86, 256), (1, 256, 86)]
    assert [(s.count, s.m, s.n) for s in shares(STEP[0], 2)] == [(1, 256, 1152), (1, 512, 576)]


def test_several_arrays_share_the_work() -> None:
    one = Shape(rows=16, columns=8)
    pair = replace(one, cores=2)
    expected = sum(
        gemm.times
        * min(memory_cost(one.params, s, Memory()).cycles for way in (gemm, gemm.swapped()) for s in shares(way, 2))
        for gemm in STEP
    )
    macs = sum(gemm.digit_macs for gemm in STEP)
    assert loss(pair, STEP) == pytest.approx(1 - macs / (16 * 256 * expected))


def test_enumeration() -> None:
    shapes = list(enumerate_shapes(256))
    assert len(shapes) == len(set(shapes))
    assert all(251 <= shape.engines <= 256 and min(shape.rows, shape.columns) >= 4 for shape in shapes)
    assert {Shape(rows=16, columns=16), Shape(rows=8, columns=8, cores=4), Shape(rows=28, columns=9)} <= set(shapes)


def test_best() -> None:
    best = best_shapes(256, STEP, number=1, cores=(1,))
    others = [(1 - loss(s, STEP)) * s.engines for s in enumerate_shapes(256, cores=(1,))]
    assert (1 - loss(best[0], STEP)) * best[0].engines == pytest.approx(max(others), rel=1e-4)


def test_edges_and_names() -> None:
    shape = Shape(rows=64, columns=8, cores=8)
    assert (shape.engines, shape.operand_blocks, shape.result_words) == (4096, 528, 8 * 16 * 8)
    assert [str(s) for s in (shape, Shape(rows=4, columns=5), Shape(rows=4, columns=5, interleave=6))] == [
        "8 x 64 x 8",
        "4 x 5",
        "4 x 5, T = 6",
    ]
