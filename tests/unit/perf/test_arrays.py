"""Arrays of a wanted size."""

import pytest

from mixdit_hw.params import Params
from mixdit_hw.perf.arrays import array, array_of, authors_array
from mixdit_hw.perf.core import core_cost
from tests.support.errors import raises_exactly


def test_equal_to_the_papers_array() -> None:
    params = array_of(65536)
    assert (params.rows, params.columns, params.macs_per_cycle) == (64, 64, 65536)
    assert authors_array(params) == (128, 128)


@pytest.mark.parametrize(
    ("macs", "shape"), [(16, (1, 1)), (32, (1, 2)), (4096, (16, 16)), (16 * 128 * 128, (128, 128))]
)
def test_shapes(macs: int, shape: tuple[int, int]) -> None:
    params = array_of(macs)
    assert (params.rows, params.columns) == shape
    rows, columns = authors_array(params)
    assert 4 * rows * columns == macs


def test_results_keep_pace_with_short_tiles() -> None:
    for rows in range(1, 129):
        params = array(rows, 8)
        assert core_cost(params, m=1024, n=64, passes=(1,) * 5).wait_drain == 0
        assert params.drain == min(d for d in range(1, rows + 1) if rows % d == 0 and 5 * d >= rows)


def test_any_interleave() -> None:
    for interleave in (4, 5, 16):
        assert isinstance(array(128, 128, interleave), Params)


@pytest.mark.parametrize(
    ("macs", "text"),
    [
        (0, "16 to 262144, not 0"),
        (-16, "16 to 262144, not -16"),
        (15, "16 to 262144, not 15"),
        (262145, "16 to 262144, not 262145"),
        (40, "a multiple of 16, not 40; the nearest are 32 and 48"),
        (262143, "a multiple of 16, not 262143; the nearest are 260096 and 262144"),
        (2096, "16 x rows x columns, each at most 128, not 2096 = 16 x 131; the nearest are 2080 and 2112"),
    ],
)
def test_errors(macs: int, text: str) -> None:
    with raises_exactly(ValueError, f"macs must be {text}"):
        array_of(macs)


def test_the_nearest_are_possible() -> None:
    """Of all numbers of engines, those that have no array lie between two neighbours that have one."""
    possible = {r * c for r in range(1, 129) for c in range(1, 129)}
    for engines in (131, 8191, 16383):
        below, above = max(e for e in possible if e < engines), min(e for e in possible if e > engines)
        with pytest.raises(ValueError, match=f"; the nearest are {16 * below} and {16 * above}$"):
            array_of(16 * engines)


def test_kind_of_error() -> None:
    with raises_exactly(TypeError, "macs must be an integer, not True"):
        array_of(True)
