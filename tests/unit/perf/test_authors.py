"""The authors' schedule: its known totals to the printed digits, and its recurrence written down a second time."""

from functools import cache

import pytest

from mixdit_hw.mixes import Segment
from mixdit_hw.perf.authors import START, authors_cost, block_cycles, product_cycles, tile_cycles
from mixdit_hw.workloads import MODELS, PAPER_MODELS, Gemm
from tests.support.errors import raises_exactly


def total(name: str, side: int) -> tuple[int, int]:
    """Cycles of a step on side x side engines, and busy cycles of engines."""
    costs = [authors_cost(gemm, rows=side, columns=side) for gemm in MODELS[name].gemms()]
    return sum(c.cycles for c in costs), sum(c.busy for c in costs)


@pytest.mark.parametrize(
    ("name", "side", "millions"),
    [
        ("DiT-XL-256", 16, "277.62"),
        ("DiT-XL-256", 128, "12.16"),
        ("PixArt-Sigma-1024", 16, "9812.48"),
        ("SD3-1024", 128, "723.07"),
    ],
)
def test_known_totals(name: str, side: int, millions: str) -> None:
    assert f"{total(name, side)[0] / 1e6:.2f}" == millions


@pytest.mark.parametrize(("side", "least", "most"), [(16, "0.68", "0.85"), (128, "0.18", "0.30")])
def test_known_utilisation(side: int, least: str, most: str) -> None:
    """The range over the paper's five models."""
    found = sorted(busy / (side * side * cycles) for cycles, busy in (total(name, side) for name in PAPER_MODELS))
    assert (f"{found[0]:.2f}", f"{found[-1]:.2f}") == (least, most)


def test_block_cycles() -> None:
    pairs = [("mx6", "mx6"), ("mx9", "mx6"), ("mx9", "mx9"), ("mx4", "mx4"), ("mx6", "mx4")]
    assert [block_cycles(a, w) for a, w in pairs] == [4, 8, 16, 1, 2]


def reference_tile(skew: int, blocks: int, pace: int) -> int:
    """The recurrence as it is published, from the end."""

    @cache
    def t(h: int) -> int:
        if h == 1:
            return 1
        h -= 1
        value = t(h) + 1
        if min(h, blocks) >= 17:
            value = max(value, t(max(0, h - blocks) + 1) + pace * (min(h, blocks) - 16) + 1)
        return value

    if blocks <= 16 or pace == 1:
        return skew + pace * blocks
    return t(skew + 1) - 1 + pace * blocks


@pytest.mark.parametrize("pace", [1, 4, 8, 16])
def test_tile(pace: int) -> None:
    for skew in (0, 1, 15, 16, 17, 30, 31, 62, 126, 254):
        for blocks in (1, 5, 16, 17, 18, 30, 72, 288):
            assert tile_cycles(skew, blocks, pace) == reference_tile(skew, blocks, pace), (skew, blocks)


def test_tiles_of_a_product() -> None:
    """M over columns, N over rows; the last tiles use fewer engines and have less skew."""
    tiles = [(16, 8), (16, 4), (3, 8), (3, 4)]  # columns and rows used by 19 x 12 outputs
    expected = START + sum(columns + rows - 2 + 4 * 5 for columns, rows in tiles)
    assert product_cycles(19, 12, 72, 4, rows=8, columns=16) == expected


def test_stacking_and_outliers() -> None:
    segments = (Segment(a="mx6", w="mx6", k=64), Segment(a="mx9", w="mx6", k=17))
    gemm = Gemm(name="g", layer="g", m=10, n=7, k=64, segments=segments, count=3, times=5)
    cost = authors_cost(gemm, rows=4, columns=8)
    inliers, outliers = (product_cycles(30, 7, *kp, rows=4, columns=8) for kp in ((47, 4), (17, 8)))
    assert cost.cycles == 5 * (inliers + outliers)
    assert cost.busy == 5 * 30 * 7 * (3 * 4 + 2 * 8)
    assert cost.utilisation(4, 8) == cost.busy / (32 * cost.cycles)


def test_errors() -> None:
    gemm = MODELS["DiT-S-256"].gemms()[0]
    with raises_exactly(ValueError, "rows must be at least 1, not 0"):
        authors_cost(gemm, rows=0, columns=1)
