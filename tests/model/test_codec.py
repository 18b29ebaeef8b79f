"""Conversion: the worked examples, every option against integer arithmetic, layouts, and the errors."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from golden import FORMATS, exact, get_format, quantize
from golden.codec import NONFINITE, ROUNDINGS, SUBNORMALS
from tests.support.errors import raises_exactly
from tests.support.mx_data import assert_same_bits, bits, block_words, floats
from tests.support.worked import X1, X4, X5


@pytest.mark.parametrize(
    ("words", "fmt", "rounding", "packed"),
    [
        (X1, "mx9", "nearest-even", "80bd40a06557068d5bef00800000ff181886"),
        (X1, "mx9", "truncate", "80bd40a06456068c5aee00800000ff181886"),
        (X1, "mx6", "nearest-even", "80bd88b615e4f20002f0c788"),
        (X1, "mx6", "truncate", "80bd883205e2ea0002f0c780"),
        (X1, "mx4", "nearest-even", "80bdea06ee20f084"),
        (X1, "mx4", "truncate", "80bdea04ea207080"),
        (X4, "mx9", "nearest-even", "7fca7fff7fff40407f2b7f7f7f7f40410201"),
        (X4, "mx9", "truncate", "7fca7fff7fff403f7f2a7f7f7f7f40400201"),
        (X5, "mx9", "nearest-even", "02f740ff0080008040e00000000000000000"),
        ("0 0 0 80000000" + 12 * " 0", "mx6", "nearest-even", "000000000800000000000000"),
        ("7f7fffff" + 15 * " 0", "mx9", "nearest-even", "fefe7f" + 15 * "00"),
    ],
)
def test_worked_example_bytes(words, fmt, rounding, packed):
    t = quantize(floats(words), fmt, rounding=rounding)
    assert t.pack().tobytes().hex() == packed
    assert (t.exponents[0, 0], t.micro[0, 0]) == tuple(bytes.fromhex(packed[:4]))


DECODED_MX9 = (
    "3f800000 bf000000 404a0000 402e0000 3dc00000 be500000 3fb60000 bfde0000"
    " 00000000 80000000 00000000 00000000 c07e0000 3f400000 3ec00000 bdc00000"
)
DECODED_MX6 = (
    "3f800000 bf000000 40500000 40300000 3e000000 be800000 3fb00000 bfe00000"
    " 00000000 80000000 00000000 00000000 c0700000 3f400000 3ec00000 be000000"
)


@pytest.mark.parametrize(
    ("words", "fmt", "decoded"),
    [
        (X1, "mx9", DECODED_MX9),
        (X1, "mx6", DECODED_MX6),
        (X5, "mx9", "00800000 80fe0000 0 80000000 0 80000000 01000000 81400000" + 8 * " 0"),
        ("7f7fffff" + 15 * " 0", "mx9", "7f7e0000" + 15 * " 0"),
    ],
)
def test_worked_example_values(words, fmt, decoded):
    assert_same_bits(quantize(floats(words), fmt).dequantize(), floats(decoded))


def test_worked_example_magnitudes():
    t = quantize(floats(X1), "mx4")
    assert t.magnitudes.ravel().tolist() == [2, 1, 3, 3, 0, 0, 3, 3, 0, 0, 0, 0, 3, 1, 1, 0]
    assert t.dequantize()[2] == 3.0
    assert t.dequantize()[12] == -3.0
    magnitudes = quantize(floats(X4), "mx9").magnitudes.tobytes()
    assert magnitudes.hex() == "7f7f7f7f40407f2b7f7f7f7f40410201"


EXPONENT_FIELDS = st.one_of(st.integers(0, 255), st.sampled_from([0, 1, 2, 15, 16, 17, 127, 253, 254, 255]))
FRACTIONS = st.one_of(st.integers(0, (1 << 23) - 1), st.integers(0, 511).map(lambda n: n << 14), st.just((1 << 23) - 1))


@st.composite
def block_of_words(draw):
    """16 words whose exponents crowd below the largest, since others only give zeros."""
    top = draw(EXPONENT_FIELDS)
    words = []
    for _ in range(16):
        field = max(0, top - draw(st.integers(0, 12))) if draw(st.integers(0, 9)) else draw(EXPONENT_FIELDS)
        words.append(draw(st.integers(0, 1)) << 31 | field << 23 | draw(FRACTIONS))
    return words


@given(
    words=block_of_words(),
    fmt=st.sampled_from(list(FORMATS)),
    rounding=st.sampled_from(ROUNDINGS),
    subnormals=st.sampled_from(SUBNORMALS),
    nonfinite=st.sampled_from(NONFINITE),
)
@example([0x7F800000, 0xFFC00001] + [0x3F800000] * 14, "mx6", "nearest-even", "flush", "saturate")
@example([0x80000001, 0x007FFFFF] + [0] * 14, "mx9", "half-away", "exact", "nan")
@example([0x3F800000, 0x3BFFFFFF] + [0] * 14, "mx9", "half-away", "flush", "nan")
def test_any_block(words, fmt, rounding, subnormals, nonfinite):
    t = quantize(floats(words), fmt, rounding=rounding, subnormals=subnormals, nonfinite=nonfinite)
    block = exact.quantize_block(words, get_format(fmt), rounding, subnormals, nonfinite)
    assert exact.block_of(t, 0, 0) == block
    assert bits(t.dequantize()).tolist() == exact.decode_words(block, get_format(fmt))


@pytest.mark.parametrize("nonfinite", NONFINITE)
@pytest.mark.parametrize("subnormals", SUBNORMALS)
@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize(("low", "high", "seed"), [(0, 20, 11), (0, 255, 12), (240, 255, 13)])
def test_random_blocks(fmt, rounding, subnormals, nonfinite, low, high, seed):
    words = block_words(np.random.default_rng(seed), 40, 16, low, high)
    t = quantize(floats(words), fmt, rounding=rounding, subnormals=subnormals, nonfinite=nonfinite)
    for row, block in enumerate(words.tolist()):
        wanted = exact.quantize_block(block, get_format(fmt), rounding, subnormals, nonfinite)
        assert exact.block_of(t, row, 0) == wanted


@pytest.mark.parametrize("exponent", [0, 1, 5, 9, 15, 16, 17, 130, 254])
@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("fmt", FORMATS)
def test_around_every_rounding_boundary(fmt, rounding, exponent):
    """Significands at, just below and just above each half and each whole magnitude, at both microexponents."""
    m = get_format(fmt).magnitude_bits
    halves = np.arange(1 << m, 2 << m) << 23 - m  # every half of a magnitude for numbers with the shared exponent
    near = (halves[:, np.newaxis] + [-1, 0, 1]).ravel() - (1 << 23)
    fractions = near[(near >= 0) & (near < 1 << 23)].astype(np.uint32)
    words = np.zeros((fractions.size, 16), np.uint32)
    words[:, 0] = exponent << 23 | fractions
    for i in range(1, 16):
        words[:, i] = max(exponent - i + 1, 0) << 23 | fractions | (i & 1) << 31
    for subnormals in SUBNORMALS:
        t = quantize(floats(words), fmt, rounding=rounding, subnormals=subnormals)
        for row, block in enumerate(words.tolist()):
            wanted = exact.quantize_block(block, get_format(fmt), rounding, subnormals)
            assert exact.block_of(t, row, 0) == wanted


def test_special_blocks():
    x = np.zeros((4, 16), np.float32)
    x[:, 2] = -3.0
    x[0, 5], x[1, 5], x[2, 5] = np.inf, -np.inf, np.nan
    t = quantize(x, "mx6")
    assert t.exponents.ravel().tolist() == [255, 255, 255, 128]
    assert t.micro.ravel().tolist() == [0, 0, 0, 0xFD]
    assert not t.elements[:3].any()
    assert (bits(t.dequantize())[:3] == 0x7FC00000).all()
    saturated = quantize(x, "mx6", nonfinite="saturate").dequantize()
    assert saturated[:2, 5].tolist() == [1.875 * 2.0**127, -1.875 * 2.0**127]
    assert bits(saturated)[2, 5] == 0  # NaN is +0 whatever its sign
    assert bits(quantize(floats([0xFFC00000] * 16), "mx6", nonfinite="saturate").elements.view(np.uint32)).max() == 0


@pytest.mark.parametrize("shape", [(1,), (16,), (17,), (3, 5), (2, 3, 33), (300, 700), (5000, 16), (2, 1, 1, 40)])
def test_layouts(shape):
    """Along every axis, the same as one vector after the other; chunks, tails and strides make no difference."""
    rng = np.random.default_rng(5)
    x = floats(block_words(rng, int(np.prod(shape)), 1)).reshape(shape)
    before = x.copy()
    for axis in range(-x.ndim, x.ndim):
        moved = np.moveaxis(x, axis, -1)
        vectors = moved.reshape(-1, moved.shape[-1])
        t = quantize(x, "mx9", axis=axis)
        assert (t.shape, t.axis) == (shape, axis % x.ndim)
        for r in range(0, len(vectors), 1 + len(vectors) // 40):
            alone = quantize(np.ascontiguousarray(vectors[r]), "mx9")
            np.testing.assert_array_equal(t.elements[r], alone.elements[0])
            np.testing.assert_array_equal(t.exponents[r], alone.exponents[0])
            np.testing.assert_array_equal(t.micro[r], alone.micro[0])
    assert_same_bits(x, before)


def test_strides_and_read_only():
    x = floats(block_words(np.random.default_rng(6), 60, 90))
    wanted = quantize(np.ascontiguousarray(x[::-2, 3::3]), "mx6").pack()
    np.testing.assert_array_equal(quantize(x[::-2, 3::3], "mx6").pack(), wanted)
    np.testing.assert_array_equal(quantize(np.asfortranarray(x[::-2, 3::3]), "mx6").pack(), wanted)
    x.flags.writeable = False
    np.testing.assert_array_equal(quantize(x[::-2, 3::3], "mx6").pack(), wanted)


def test_chunk_borders(monkeypatch):
    x = floats(block_words(np.random.default_rng(8), 50, 100))
    wanted = quantize(x, "mx6").pack()
    for chunk, along in ((16, 16), (48, 32), (1 << 10, 64)):
        monkeypatch.setattr("golden.codec._CHUNK", chunk)
        monkeypatch.setattr("golden.codec._CHUNK_K", along)
        np.testing.assert_array_equal(quantize(x, "mx6").pack(), wanted)


ONES = np.ones((2, 16), np.float32)


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        (([1.0], "mx6"), TypeError, "x must be a float32 array, not list"),
        ((ONES.astype(np.float64), "mx6"), TypeError, "x must be a float32 array, not float64"),
        ((ONES.astype(np.int32), "mx6"), TypeError, "x must be a float32 array, not int32"),
        ((ONES[:, :0], "mx6"), ValueError, "x must have at least one element, not shape (2, 0)"),
        ((ONES[0].sum(keepdims=True).reshape(()), "mx6"), ValueError, "x must have at least one axis, not shape ()"),
        ((ONES, "mx7"), ValueError, "format must be one of mx9, mx6, mx4, not 'mx7'"),
        ((ONES, "mx6", 2), ValueError, "axis must be -2 to 1, not 2"),
        ((ONES, "mx6", None), TypeError, "axis must be an integer, not None"),
        (
            (ONES, "mx6", 1, "up"),
            ValueError,
            "rounding must be one of nearest-even, truncate, half-away, not 'up'",
        ),
        ((ONES, "mx6", 1, 1), TypeError, "rounding must be a string, not 1"),
        ((ONES, "mx6", 1, "truncate", "keep"), ValueError, "subnormals must be one of flush, exact, not 'keep'"),
        (
            (ONES, "mx6", 1, "truncate", "exact", "inf"),
            ValueError,
            "nonfinite must be one of nan, saturate, not 'inf'",
        ),
    ],
)
def test_errors(arguments, kind, text):
    with raises_exactly(kind, text):
        quantize(*arguments)
