"""The fast product against arithmetic in Python integers, with data on which order, flushing and overflow matter."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden import FORMATS, MX4, MX6, MX9, MXTensor, Segment, concat, exact, gemm, get_format, prepare, quantize, unpack
from golden.gemm import SUBNORMALS, window
from tests.support.errors import raises_exactly
from tests.support.mx_data import assert_same_bits, bits, block_words, floats, random_tensor

NAMES = list(FORMATS)
PAIRS = [(fa, fw) for fa in NAMES for fw in NAMES]


def one_block(values, fmt="mx9", axis=1):
    """A tensor of one row and one block for each of `values`, which is the block's first element."""
    x = np.zeros((1, 16 * len(values)), np.float32)
    x[0, ::16] = values
    return quantize(x if axis == 1 else np.ascontiguousarray(x.T), fmt, axis=axis, subnormals="exact")


def product(values_a, values_w, subnormals="ftz"):
    """Word of the output whose block products are those of the values."""
    a, w = one_block(values_a), one_block(values_w, axis=0)
    c = gemm(a, w, subnormals=subnormals)
    assert_same_bits(c, exact.gemm(a, w, subnormals))
    return int(bits(c)[0, 0])


def test_worked_example():
    """Example 6, and its accumulation onto 1e6."""
    x = (
        "3f800000 bf000000 40490fdb 402df854 3dcccccd be4ccccd 3fb504f3 bfddb3d7"
        " 00000000 80000000 3c000000 33800000 c07f8000 3f400000 3ec00000 bdc00000"
    )
    y = (
        "bd246bc7 3c46f151 bda99c1a 3d065ecb 3d6a2ddf 3e800000 3cb053b4 3c4d9060"
        " bca186cf bd309eda bdd02224 3d906d68 bb1c14d1 3e0124a6 3d2935a2 3c638ecc"
    )
    a = quantize(floats(x).reshape(1, 16), "mx9")
    w = quantize(floats(y).reshape(16, 1), "mx6", axis=0)
    assert w.pack().tobytes().hex() == "7dfb335421500871de02d108"
    assert exact.integers(exact.block_of(a, 0, 0)) == [
        64, -32, 202, 174, 6, -13, 91, -111, 0, 0, 0, 0, -254, 48, 24, -6
    ]  # fmt: skip
    assert exact.integers(exact.block_of(w, 0, 0)) == [-3, 1, -5, 2, 4, 16, 1, 1, -1, -3, -7, 5, 0, 8, 3, 1]
    assert exact.trace(a, w, 0, 0) == [exact.Step(0, MX9, MX6, -640, 0xBE200000, 0xBE200000)]
    assert bits(gemm(a, w)).tolist() == [[0xBE200000]]

    # 1e6 = 15625 * 64 = 125 * 125 * 64: one block before, whose product is exactly that.
    million = concat([one_block([125.0]), a]), concat([one_block([8000.0], axis=0), w])
    assert [step.acc for step in exact.trace(*million, 0, 0)] == [0x49742400, 0x497423FE]
    assert bits(gemm(*million)).tolist() == [[0x497423FE]]


def encodings(fmt, pair, exponent, axis):
    """All encodings of one pair of a block, as rows; the other elements are -0."""
    n = 1 << fmt.element_bits
    d, first, second = (v.ravel() for v in np.meshgrid(np.arange(2), np.arange(n), np.arange(n), indexing="ij"))
    elements = np.full((d.size, 1, 16), 128, np.uint8)
    for i, field in enumerate((first, second)):
        elements[:, 0, 2 * pair + i] = field >> fmt.magnitude_bits << 7 | field & fmt.max_magnitude
    t = MXTensor(
        shape=(d.size, 16) if axis == 1 else (16, d.size),
        axis=axis,
        segments=(Segment(format=fmt, length=16),),
        exponents=np.full((d.size, 1), exponent, np.uint8),
        micro=(d << pair).astype(np.uint8)[:, np.newaxis],
        elements=elements,
    )
    values = [(np.where(f > fmt.max_magnitude, -1, 1) * (f & fmt.max_magnitude)) << (1 - d) for f in (first, second)]
    return t, np.stack(values).astype(np.int64)


@pytest.mark.parametrize("exponents", [(127, 127), (10, 20), (250, 1)], ids=str)
@pytest.mark.parametrize(("fa", "fw"), [(MX4, MX4), (MX4, MX6), (MX6, MX6)], ids=str)
def test_every_product_of_pairs(fa, fw, exponents):
    """All encodings of a pair times all of another: 4 million products of MX6."""
    pair = (fa.magnitude_bits + exponents[0]) % 8
    (a, x), (w, y) = encodings(fa, pair, exponents[0], 1), encodings(fw, pair, exponents[1], 0)
    scale = sum(exponents) - 254 - fa.magnitude_bits - fw.magnitude_bits
    value = np.ldexp((x.T @ y).astype(np.float64), scale)
    value[np.abs(value) < 2.0**-126] = 0
    c = gemm(a, w)
    np.testing.assert_array_equal(c, value.astype(np.float32))
    assert not np.signbit(c[c == 0]).any()


@pytest.mark.parametrize("subnormals", SUBNORMALS)
@pytest.mark.parametrize(("fa", "fw"), PAIRS)
@pytest.mark.parametrize(
    ("low", "high"), [(120, 134), (100, 150), (0, 254), (40, 80), (172, 200), (60, 72)], ids=str
)  # usual, wide, anything, around the lower and the upper end of the window, and mixtures of in and out
def test_any_blocks(fa, fw, low, high, subnormals):
    rng = np.random.default_rng([low, high, get_format(fa).code, get_format(fw).code])
    a = random_tensor(rng, 7, [fa] * 9, low=low, high=high, zero_rate=0.1)
    w = random_tensor(rng, 5, [fw] * 9, low=low, high=high, zero_rate=0.1, axis=0)
    assert_same_bits(gemm(a, w, subnormals=subnormals), exact.gemm(a, w, subnormals))


@given(
    formats=st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), min_size=1, max_size=8),
    middle=st.integers(0, 254),
    spread=st.sampled_from([0, 3, 30, 254]),
    total=st.sampled_from([110, 140, 254, 372, 380]),
    nan_rate=st.sampled_from([0.0, 0.0, 0.05]),
    subnormals=st.sampled_from(SUBNORMALS),
    seed=st.integers(0, 2**32 - 1),
)
def test_mixed_formats(formats, middle, spread, total, nan_rate, subnormals, seed):
    """Any format in any block; exponents of both sides around middles with a given sum."""

    def limits(m):
        m = min(max(m, 0), 254)
        return {"low": max(m - spread, 0), "high": min(m + spread, 254)}

    rng = np.random.default_rng(seed)
    a = random_tensor(rng, 3, [f for f, _ in formats], nan_rate=nan_rate, zero_rate=0.1, **limits(middle))
    w = random_tensor(rng, 3, [f for _, f in formats], nan_rate=nan_rate, axis=0, **limits(total - middle))
    assert_same_bits(gemm(a, w, subnormals=subnormals), exact.gemm(a, w, subnormals))


@pytest.mark.parametrize("seed", [1, 2])
def test_order_of_accumulation_matters(seed):
    """On wide-range data blocks in another order, and one long float32 sum, give other bits; so this data can tell."""
    rng = np.random.default_rng(seed)
    a = quantize(floats(block_words(rng, 24, 640, 110, 140)), "mx9")
    w = quantize(floats(block_words(rng, 20, 640, 110, 140).T.copy()), "mx6", axis=0)
    c = gemm(a, w)
    assert_same_bits(c, exact.gemm(a, w))
    turned = [
        replace(t, exponents=t.exponents[:, ::-1], micro=t.micro[:, ::-1], elements=t.elements[:, ::-1]) for t in (a, w)
    ]
    assert (gemm(turned[0], turned[1]) != c).mean() > 0.3
    assert (np.matmul(a.dequantize(), w.dequantize()) != c).mean() > 0.3


def test_cancellation_leaves_plus_zero():
    """Large blocks that cancel, so that what the small ones lost shows."""
    rng = np.random.default_rng(4)
    large, small = floats(block_words(rng, 6, 64, 150, 160)), floats(block_words(rng, 6, 64, 118, 130))
    x = np.concatenate([small, large, small, -large, small, -small], axis=1)
    w_large, w_small = floats(block_words(rng, 4, 64, 127, 130)), floats(block_words(rng, 4, 64, 127, 130))
    y = np.concatenate([w_small, w_large, w_small, w_large, w_small, w_small], axis=1)
    a, w = quantize(x, "mx9"), quantize(y.T.copy(), "mx9", axis=0)
    assert_same_bits(gemm(a, w), exact.gemm(a, w))
    assert product([3.0, -3.0], [5.0, 5.0]) == 0
    assert product([-0.0, -0.0], [5.0, 5.0]) == 0
    assert product([-1.0, 1.0], [2.0**-30, 2.0**-30]) == 0


TINY, HUGE, LEAST = 2.0**-63, 2.0**127, 2.0**-126


def test_flush_to_zero():
    assert product([TINY], [TINY]) == 0x00800000
    assert product([TINY], [TINY / 2]) == 0
    assert product([-TINY], [TINY / 2]) == 0
    assert product([TINY], [TINY / 2], subnormals="ieee") == 0x00400000
    assert product([-TINY], [TINY / 2], subnormals="ieee") == 0x80400000
    # A subnormal product is flushed before it is added, and a subnormal sum after; either way to +0.
    assert product([-1.5 * TINY, TINY], [TINY, TINY]) == 0
    assert product([-1.5 * TINY, TINY], [TINY, TINY], subnormals="ieee") == 0x80400000
    assert product([1.5 * TINY, -TINY], [TINY, TINY]) == 0
    assert product([1.5 * TINY, -TINY], [TINY, TINY], subnormals="ieee") == 0x00400000
    assert product([TINY, TINY / 2, TINY / 2], [TINY, TINY, TINY]) == 0x00800000
    assert product([TINY, TINY / 2, TINY / 2], [TINY, TINY, TINY], subnormals="ieee") == 0x01000000
    assert product([LEAST], [2.0**-40], subnormals="ieee") == 0
    assert product([-1.5 * TINY, TINY, 1.0], [TINY, TINY, 1.0]) == 0x3F800000


def test_flush_in_a_block_within_the_window():
    """The first product leaves acc off the grid of 2^-126, so that a block of the fast way makes a subnormal of it."""
    assert window(MX9, MX9) == (142, 376)

    def tensor(exponents, magnitudes, axis):
        t = random_tensor(np.random.default_rng(0), 1, ["mx9", "mx9"], axis=axis)
        elements = np.zeros_like(t.elements)
        elements[0, :, 0] = magnitudes
        micro = np.array([[0, 255]], np.uint8)
        return replace(t, exponents=np.array([exponents], np.uint8), micro=micro, elements=elements)

    a, w = tensor([70, 71], [65, 128 | 1], 1), tensor([64, 71], [1, 1], 0)
    kept, flushed = exact.trace(a, w, 0, 0, "ieee"), exact.trace(a, w, 0, 0)
    assert [step.s for step in kept] == [260, -1]
    assert [step.p for step in kept] == [exact.round_word(260, -134), exact.round_word(-1, -126)]
    assert [step.acc for step in kept] == [kept[0].p, exact.round_word(4, -134, "ieee")]
    assert [step.acc for step in flushed] == [kept[0].p, 0]
    for option, steps in (("ieee", kept), ("ftz", flushed)):
        assert bits(gemm(a, w, subnormals=option)).tolist() == [[steps[1].acc]]


@pytest.mark.parametrize(("m", "n", "count"), [(3, 5, 4), (150, 120, 9), (700, 200, 2)])
@pytest.mark.parametrize(("low", "high"), [(100, 150), (40, 90), (0, 254)], ids=str)
def test_stacks(m, n, count, low, high):
    """A stack is its products, each by itself; panels hold several of them, one, or less."""
    rng = np.random.default_rng([m, n, low])
    x, y = floats(block_words(rng, count * m, 40, low, high)), floats(block_words(rng, count * n, 40, low, high))
    x[m - 1, 3] = np.nan
    y[-1, 17] = np.inf
    x, y = x.reshape(count, m, 40), y.reshape(count, n, 40).swapaxes(1, 2)
    c = gemm(quantize(x, "mx9"), quantize(y, "mx6", axis=1))
    assert c.shape == (count, m, n)
    assert np.isnan(c[0, -1]).all()
    assert np.isnan(c[-1, :, -1]).all()
    for i in range(count):
        assert_same_bits(c[i], gemm(quantize(x[i], "mx9"), quantize(np.ascontiguousarray(y[i]), "mx6", axis=0)))


def test_stacks_that_do_not_fit():
    x = np.ones((2, 3, 16), np.float32)
    a, w = quantize(x, "mx6"), quantize(np.ones((3, 16, 4), np.float32), "mx6", axis=1)
    with raises_exactly(ValueError, "a and w must be stacks of the same length, not 2 and 3"):
        gemm(a, w)
    with raises_exactly(ValueError, "w must be 3-D and blocked along axis 1, not 3-D along axis 2"):
        gemm(a, a)
    with raises_exactly(ValueError, "a must be 2-D and blocked along axis 1, not 3-D along axis 2"):
        gemm(a, quantize(np.ones((16, 4), np.float32), "mx6", axis=0))


def test_overflow_and_nan():
    assert product([HUGE], [2.0]) == 0x7F800000
    assert product([-HUGE], [2.0]) == 0xFF800000
    assert product([HUGE, HUGE], [1.0, 1.0]) == 0x7F800000
    assert product([1.984375 * HUGE], [1.0]) == 0x7F7E0000
    assert product([HUGE, 1.0, -1.0], [2.0, 1.0, 1.0]) == 0x7F800000
    assert product([HUGE, -HUGE], [2.0, 2.0]) == 0x7FC00000  # Inf - Inf
    assert product([HUGE, -HUGE, 1.0], [2.0, 2.0, 1.0]) == 0x7FC00000
    assert product([HUGE, HUGE, -HUGE], [1.0, 1.0, 1.0]) == 0x7F800000  # of sums, not of products
    # The largest sum that is not Inf: 2^128 - 2^104 and half of its last place less 2^-25 of that.
    steps = [1.984375 * HUGE, 1.0 * 2.0**120, 1.984375 * 2.0**119, 2.0**112, 1.984375 * 2.0**111]
    assert product([*steps, 2.0**104], [1.0] * 6) == 0x7F7FFFFF
    assert product([*steps, 2.0**104, 2.0**102], [1.0] * 7) == 0x7F7FFFFF
    assert product([*steps, 2.0**104, 2.0**103], [1.0] * 7) == 0x7F800000


@pytest.mark.parametrize("side", ["a", "w"])
def test_nan_blocks(side):
    """They reach their row or column and nothing else, whatever stands against them."""
    rng = np.random.default_rng(9)
    a = random_tensor(rng, 6, ["mx6"] * 4, low=120, high=130)
    w = random_tensor(rng, 5, ["mx9"] * 4, low=120, high=130, axis=0)
    a.elements[:, 2] = 0  # a NaN block against zero blocks
    w.elements[:, 2] = 0
    clean = gemm(a, w)
    t = a if side == "a" else w
    t.exponents[3, 2] = 255
    c = gemm(a, w)
    assert_same_bits(c, exact.gemm(a, w))
    hit = np.zeros(c.shape, bool)
    hit[(3, slice(None)) if side == "a" else (slice(None), 3)] = True
    assert (bits(c)[hit] == 0x7FC00000).all()
    assert_same_bits(c[~hit], clean[~hit])
    t.elements[3, 2] = 255  # the other bits of a NaN block mean nothing
    assert_same_bits(gemm(a, w), c)


def test_window_keeps_blocks_exact():
    """At both ends of the window, with the largest and the smallest sums of every pair of formats."""
    for fa, fw in PAIRS:
        low, high = window(get_format(fa), get_format(fw))
        assert low == 128 + get_format(fa).magnitude_bits + get_format(fw).magnitude_bits
        for total in (low - 1, low, high, high + 1):
            for first in {max(total - 254, 0), total // 2, min(total, 254)}:
                rng = np.random.default_rng([total, first])
                a = random_tensor(rng, 2, [fa] * 3, low=first, high=first)
                w = random_tensor(rng, 2, [fw] * 3, low=total - first, high=total - first, axis=0)
                full = [get_format(f).max_magnitude for f in (fa, fw)]
                a.elements[0, 0], w.elements[0, 0] = full
                a.micro[0, 0], w.micro[0, 0] = 0, 0
                assert_same_bits(gemm(a, w), exact.gemm(a, w))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 4), (7, 100)])
def test_panels(monkeypatch, rows, columns):
    """Rows and columns of a panel make no difference, nor which blocks of it are in the window."""
    rng = np.random.default_rng(10)
    a = random_tensor(rng, 11, ["mx6", "mx9", "mx4", "mx9"], low=60, high=90, nan_rate=0.02, zero_rate=0.2)
    w = random_tensor(rng, 9, ["mx6", "mx6", "mx9", "mx9"], low=60, high=90, nan_rate=0.02, axis=0)
    wanted = exact.gemm(a, w)
    assert_same_bits(gemm(a, w), wanted)
    module = sys.modules["golden.gemm"]  # the attribute of the package is the function
    monkeypatch.setattr(module, "_PANEL_ROWS", rows)
    monkeypatch.setattr(module, "_PANEL_COLUMNS", columns)
    assert_same_bits(gemm(a, w), wanted)
    assert_same_bits(gemm(prepare(a), prepare(w)), wanted)
    assert_same_bits(gemm(prepare(a), w), wanted)


def test_prepared_operand():
    """Zero and NaN blocks leave the window to the others, however small their exponents."""
    t = random_tensor(np.random.default_rng(11), 3, ["mx6"] * 3, low=100, high=150)
    t.elements[0, 1] &= 128
    t.exponents[2, 2] = 255
    operand = prepare(t)
    neutral = np.zeros((3, 3), bool)
    neutral[0, 1] = neutral[2, 2] = True
    np.testing.assert_array_equal(operand.low, np.where(neutral, 1024, t.exponents.astype(int)))
    np.testing.assert_array_equal(operand.high, np.where(neutral, -1024, t.exponents.astype(int)))
    assert operand.nan.tolist() == [False, False, True]
    assert operand.tensor is t
    assert_same_bits(operand.values[:2], t.dequantize()[:2])


@settings(max_examples=30)
@given(m=st.integers(1, 5), k=st.integers(1, 50), n=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
def test_any_shape(m, k, n, seed):
    """Tails are padded with zeros; float32 data straight from the codec, with NaN, Inf and subnormals."""
    rng = np.random.default_rng(seed)
    low, high = sorted(rng.integers(0, 256, 2).tolist())
    a = quantize(floats(block_words(rng, m, k, low, high)), "mx6")
    w = quantize(floats(block_words(rng, n, k, 60, 255).T.copy()), "mx9", axis=0)
    c = gemm(a, w)
    assert c.shape == (m, n)
    assert_same_bits(c, exact.gemm(a, w))


@pytest.mark.parametrize("name", NAMES)
def test_padding_is_multiplied_as_it_is_stored(name):
    """Data from elsewhere may have padding that is not +0: golden and its reference take it alike."""
    fmt, rng = get_format(name), np.random.default_rng(12)
    data = rng.integers(0, 256, (2, 3, 2, fmt.block_bytes)).astype(np.uint8)
    data[..., 0] = rng.integers(120, 134, data.shape[:-1])  # no NaN blocks
    a, w = unpack(data[0].ravel(), fmt, (3, 21)), unpack(data[1].ravel(), fmt, (21, 3), axis=0)
    assert a.magnitudes[:, 1, 5:].any(axis=1).all()
    c = gemm(a, w)
    assert_same_bits(c, exact.gemm(a, w))
    for i, j in np.ndindex(c.shape):
        assert exact.trace(a, w, i, j)[-1].acc == bits(c)[i, j]
    a.elements[:, 1, 5:] = 0
    assert (bits(gemm(a, w)) != bits(c)).any()


def test_errors():
    x = np.ones((2, 32), np.float32)
    a, w = quantize(x, "mx6"), quantize(x.T.copy(), "mx6", axis=0)
    with raises_exactly(ValueError, "a and w must have the same number of K blocks, not 2 and 1"):
        gemm(a, quantize(x.T[:16].copy(), "mx6", axis=0))
    with raises_exactly(ValueError, "a and w must have the same number of K positions in block 1, not 16 and 15"):
        gemm(a, quantize(x.T[:31].copy(), "mx6", axis=0))
    with raises_exactly(ValueError, "a must be 2-D and blocked along axis 1, not 2-D along axis 0"):
        gemm(w, w)
    with raises_exactly(ValueError, "w must be 2-D and blocked along axis 0, not 2-D along axis 1"):
        gemm(a, prepare(a))
    with raises_exactly(ValueError, "a must be 2-D and blocked along axis 1, not 1-D along axis 0"):
        gemm(quantize(x[0], "mx6"), w)
    with raises_exactly(TypeError, "a must be an MXTensor, not ndarray"):
        gemm(x, w)  # type: ignore[arg-type]
    with raises_exactly(TypeError, "w must be an MXTensor, not NoneType"):
        gemm(a, None)  # type: ignore[arg-type]
    with raises_exactly(ValueError, "acc must be one of fp32, not 'fp64'"):
        gemm(a, w, acc="fp64")
    with raises_exactly(ValueError, "subnormals must be one of ftz, ieee, not 'flush'"):
        gemm(a, w, subnormals="flush")
    with raises_exactly(TypeError, "subnormals must be a string, not True"):
        gemm(a, w, subnormals=True)  # type: ignore[arg-type]
