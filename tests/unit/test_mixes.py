"""Segments of K, and how mixes lay them out."""

import pytest

from mixdit_hw.mixes import Mix, Segment
from tests.support.errors import raises_exactly


@pytest.mark.parametrize(("outliers", "expected"), [(0, 0), ("11", 11), (1152, 1152), ("1%", 11), ("100%", 1152)])
def test_outlier_channels(outliers: int | str, expected: int) -> None:
    assert Mix(outliers=outliers).outlier_channels(1152) == expected


def test_orders() -> None:
    """In place, outliers follow once more after all channels; gathered, they are taken out."""

    def segments(outliers: int, order: str) -> list[tuple[str, int, int]]:
        return [(s.pair, s.k, s.blocks) for s in Mix(outliers=outliers, order=order).linear(40)]

    assert segments(0, "in-place") == segments(0, "gathered") == [("6x6", 40, 3)]
    assert segments(3, "in-place") == [("6x6", 40, 3), ("9x6", 3, 1)]
    assert segments(3, "gathered") == [("6x6", 37, 3), ("9x6", 3, 1)]
    assert segments(40, "gathered") == [("9x6", 40, 3)]


def test_passes() -> None:
    pairs = [(a, w) for a in ("mx9", "mx6", "mx4") for w in ("mx9", "mx6", "mx4")]
    assert [Segment(a=a, w=w, k=1).passes for a, w in pairs] == [4, 2, 2, 2, 1, 1, 2, 1, 1]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Segment(a="mx5", w="mx6", k=1), "a must be one of mx9, mx6, mx4, not 'mx5'"),
        (lambda: Segment(a="mx6", w="mx6", k=0), "k must be at least 1, not 0"),
        (
            lambda: Mix(outliers="101%"),
            "outliers must be a number of channels or a percentage such as 1.5%, not '101%'",
        ),
        (lambda: Mix(outliers=-1), "outliers must be a number of channels or a percentage such as 1.5%, not -1"),
        (lambda: Mix(outliers=9).linear(8), "outliers must be at most K=8, not 9"),
        (lambda: Mix(outliers=9).linear(8, "fc1"), "outliers must be at most K=8 of fc1, not 9"),
        (lambda: Mix(order="any"), "order must be one of in-place, gathered, not 'any'"),
        (lambda: Mix(heads=-1), "heads must be at least 0, not -1"),
        (lambda: Mix(head_v="fp8"), "head_v must be one of mx9, mx6, mx4, not 'fp8'"),
    ],
)
def test_errors(make, text: str) -> None:
    with raises_exactly(ValueError, text):
        make()
    with raises_exactly(TypeError, "k must be an integer, not 1.0"):
        Segment(a="mx6", w="mx6", k=1.0)  # pyright: ignore[reportArgumentType]
