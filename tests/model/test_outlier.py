"""Selection of outlier channels and heads, and the stored orders, each built here by hand from its definition."""

from typing import Any

import numpy as np
import pytest

from golden import concat, exact, gemm, quantize, repeat_outliers, select_heads, select_outliers, split_outliers
from golden.outlier import channel_magnitudes, outlier_count, top_channels
from tests.support.errors import raises_exactly
from tests.support.mx_data import assert_same_bits, bits, block_words, floats


def same(x, y):
    assert (x.shape, x.axis, x.segments) == (y.shape, y.axis, y.segments)
    np.testing.assert_array_equal(x.pack(), y.pack())


def test_magnitudes():
    x = np.array([[1, -5, 0, 2], [-1, 4, -0.0, np.inf]], np.float32)
    assert channel_magnitudes(x).tolist() == [1, 5, 0, np.inf]
    assert channel_magnitudes(x, axis=0).tolist() == [5, np.inf]
    assert channel_magnitudes(x.reshape(2, 2, 2), axis=1).tolist() == [5, np.inf]
    x[0, 2] = -np.nan
    assert select_outliers(x, 1).tolist() == [2]
    assert select_outliers(x, 2).tolist() == [2, 3]


def test_ties_go_to_the_lower_index():
    magnitudes = np.array([2, 3, 1, 3, 2, 3, 0], np.float32)
    wanted = [[], [1], [1, 3], [1, 3, 5], [0, 1, 3, 5], [0, 1, 3, 4, 5], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5, 6]]
    for count, channels in enumerate(wanted):
        assert top_channels(magnitudes, count).tolist() == channels
    assert top_channels(np.zeros(5, np.float32), 2).tolist() == [0, 1]
    assert top_channels(np.array([0.0, -0.0, -1.0, 1.0], np.float32), 3).tolist() == [0, 2, 3]


def test_selection_follows_the_calibration_sample():
    rng = np.random.default_rng(3)
    sample = rng.standard_normal((4, 64, 144)).astype(np.float32)
    sample[2, 5, [7, 99, 100]] = [40, -50, 30]
    assert select_outliers(sample, 3).tolist() == [7, 99, 100]
    assert select_outliers(sample, "2.1%").tolist() == [7, 99, 100]
    assert select_outliers(sample, "1.4%").tolist() == [7, 99]
    moved = np.ascontiguousarray(np.moveaxis(sample, -1, 0))
    assert select_outliers(moved, 3, axis=0).tolist() == [7, 99, 100]


@pytest.mark.parametrize(
    ("amount", "channels", "count"),
    [
        (0, 10, 0),
        (10, 10, 10),
        (np.int64(3), 10, 3),
        ("0%", 10, 0),
        ("100%", 10, 10),
        ("10%", 144, 14),
        ("0.7%", 1000, 7),  # 0.7 * 1000 / 100 is below 7 in binary
        ("0.29%", 10000, 29),
        ("12.5%", 8, 1),
        ("99.99%", 1152, 1151),
        (".5%", 200, 1),
        ("5.%", 20, 1),
    ],
)
def test_count(amount, channels, count):
    assert outlier_count(amount, channels) == count


@pytest.mark.parametrize(
    ("amount", "kind", "text"),
    [
        (11, ValueError, "amount must be 0 to 10 channels, not 11"),
        (-1, ValueError, "amount must be 0 to 10 channels, not -1"),
        (1.5, TypeError, "amount must be an integer, not 1.5"),
        (None, TypeError, "amount must be an integer, not None"),
        ("5", ValueError, "amount must be a number of channels or a percentage, not '5'"),
        ("x%", ValueError, "amount must be a number of channels or a percentage, not 'x%'"),
        ("1/0%", ValueError, "amount must be a number of channels or a percentage, not '1/0%'"),
        ("nan%", ValueError, "amount must be a number of channels or a percentage, not 'nan%'"),
        ("101%", ValueError, "amount must be 0% to 100%, not '101%'"),
        ("100.1%", ValueError, "amount must be 0% to 100%, not '100.1%'"),
        ("-1%", ValueError, "amount must be a number of channels or a percentage, not '-1%'"),
        ("1e9%", ValueError, "amount must be a number of channels or a percentage, not '1e9%'"),
        (".%", ValueError, "amount must be a number of channels or a percentage, not '.%'"),
    ],
)
def test_count_errors(amount, kind, text):
    with raises_exactly(kind, text):
        outlier_count(amount, 10)


def test_heads():
    x = np.zeros((2, 5, 12), np.float32)  # 4 heads of 3 channels
    x[1, 3, 4], x[0, 0, 11], x[0, 1, 1] = -9, 5, 5
    assert select_heads(x, 4, 1).tolist() == [1]
    assert select_heads(x, 4, 2).tolist() == [0, 1]
    assert select_heads(x, 4, "75%").tolist() == [0, 1, 3]
    for wrong in (5, 0):
        with raises_exactly(ValueError, f"heads must divide the 12 channels, not {wrong}"):
            select_heads(x, wrong, 1)


CHANNELS = [3, 17, 18, 40, 41]


@pytest.fixture
def matrices():
    rng = np.random.default_rng(21)
    return floats(block_words(rng, 9, 45, 110, 140)), floats(block_words(rng, 7, 45, 110, 140).T.copy())


def test_in_place_order(matrices):
    x, y = matrices
    cleared = x.copy()
    cleared[:, CHANNELS] = 0
    a = split_outliers(x, CHANNELS)
    same(a, concat([quantize(cleared, "mx6"), quantize(x[:, CHANNELS], "mx9")]))
    w = repeat_outliers(y, CHANNELS)
    same(w, concat([quantize(y, "mx6", axis=0), quantize(y[CHANNELS], "mx6", axis=0)]))
    w9 = repeat_outliers(y, CHANNELS, outlier_fmt="mx9")
    same(w9, concat([quantize(y, "mx6", axis=0), quantize(y[CHANNELS], "mx9", axis=0)]))
    assert [f.name for f in w9.formats] == [f.name for f in a.formats] == ["mx6"] * 3 + ["mx9"]
    assert (a.shape, w.shape) == ((9, 50), (50, 7))
    assert not bits(a.dequantize())[:, CHANNELS].any()  # +0, not -0
    assert_same_bits(gemm(a, w), exact.gemm(a, w))
    assert_same_bits(x, matrices[0])


def test_gathered_order(matrices):
    x, y = matrices
    others = [k for k in range(45) if k not in CHANNELS]
    a = split_outliers(x, CHANNELS, "mx4", "mx6", order="gathered")
    same(a, concat([quantize(x[:, others], "mx4"), quantize(x[:, CHANNELS], "mx6")]))
    w = repeat_outliers(y, CHANNELS, "mx6", "mx9", order="gathered")
    same(w, concat([quantize(y[others], "mx6", axis=0), quantize(y[CHANNELS], "mx9", axis=0)]))
    assert (a.shape, w.shape) == ((9, 45), (45, 7))
    assert_same_bits(gemm(a, w), exact.gemm(a, w))


@pytest.mark.parametrize("order", ["in-place", "gathered"])
def test_channels_in_any_order_and_kind(matrices, order):
    wanted = split_outliers(matrices[0], CHANNELS, order=order)
    same(split_outliers(matrices[0], CHANNELS[::-1], order=order), wanted)
    same(split_outliers(matrices[0], np.array(CHANNELS, np.uint16), order=order), wanted)
    transposed = split_outliers(np.ascontiguousarray(matrices[0].T), CHANNELS, axis=0, order=order)
    np.testing.assert_array_equal(transposed.elements, wanted.elements)


def test_no_channel_and_all_channels(matrices):
    x, y = matrices
    everything = np.arange(45)
    for order in ("in-place", "gathered"):
        same(split_outliers(x, [], order=order), quantize(x, "mx6"))
        same(repeat_outliers(y, [], "mx9", order=order), quantize(y, "mx9", axis=0))
    same(split_outliers(x, everything, order="gathered"), quantize(x, "mx9"))
    a = split_outliers(x, everything)
    same(a, concat([quantize(np.zeros_like(x), "mx6"), quantize(x, "mx9")]))
    assert_same_bits(gemm(a, repeat_outliers(y, everything)), gemm(quantize(x, "mx9"), quantize(y, "mx6", axis=0)))


def test_options_reach_both_segments(matrices):
    x = matrices[0].copy()
    x[0, 3], x[1, 4] = np.inf, np.nan
    options: dict[str, Any] = {"rounding": "truncate", "subnormals": "exact", "nonfinite": "saturate"}
    a = split_outliers(x, CHANNELS, **options)
    assert np.isfinite(a.dequantize()).all()
    cleared = x.copy()
    cleared[:, CHANNELS] = 0
    same(a, concat([quantize(cleared, "mx6", **options), quantize(x[:, CHANNELS], "mx9", **options)]))


@pytest.mark.parametrize("function", [split_outliers, repeat_outliers])
def test_errors(function):
    x = np.ones((20, 20), np.float32)
    with raises_exactly(ValueError, "channels must be 0 to 19, not 20"):
        function(x, [1, 20])
    with raises_exactly(ValueError, "channels must be 0 to 19, not -1"):
        function(x, [-1, 3])
    with raises_exactly(ValueError, "channels must be distinct, not [1, 2, 2]"):
        function(x, [2, 1, 2])
    with raises_exactly(TypeError, "channels must be an integer, not 1.0"):
        function(x, [1.0])
    with raises_exactly(TypeError, "channels must be a sequence of integers, not 5"):
        function(x, 5)
    with raises_exactly(ValueError, "order must be one of in-place, gathered, not 'sorted'"):
        function(x, [1], order="sorted")
    with raises_exactly(ValueError, "format must be one of mx9, mx6, mx4, not 'mx8'"):
        function(x, [1], "mx8")
    with raises_exactly(ValueError, "format must be one of mx9, mx6, mx4, not 'mx8'"):
        function(x, [1], "mx6", "mx8")
    with raises_exactly(ValueError, "axis must be -2 to 1, not 2"):
        function(x, [1], axis=2)
    with raises_exactly(TypeError, "x must be a float32 array, not float64"):
        function(np.ones((2, 2)), [1])
    with raises_exactly(ValueError, "x must have at least one element, not shape (3, 0)"):
        function(np.ones((3, 0), np.float32), [])
    with raises_exactly(ValueError, "magnitudes must be 1-D, not of shape (20, 20)"):
        top_channels(x, 1)
