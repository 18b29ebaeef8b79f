"""The references against the machine's own IEEE arithmetic, and against values worked out by hand."""

import math
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from golden import MX4, MX6, MX9, exact, quantize, reference_gemm, sqnr_db, trace
from tests.support.mx_data import bits, block_words, floats

WORDS = st.one_of(
    st.integers(0, 2**32 - 1),
    st.builds(
        lambda s, e, f: s << 31 | e << 23 | f,
        st.integers(0, 1),
        st.sampled_from([0, 1, 2, 24, 25, 126, 127, 128, 150, 253, 254, 255]),
        st.sampled_from([0, 1, 2, 0x3FFFFF, 0x400000, 0x400001, 0x7FFFFE, 0x7FFFFF]),
    ),
)


def machine_sum(x, y):
    """Sum of two words by the machine, NaN made canonical and zero made +0."""
    with np.errstate(all="ignore"):
        total = floats([x]) + floats([y])
    word = int(bits(total)[0])
    return 0x7FC00000 if np.isnan(total)[0] else 0 if word == 0x80000000 else word


def flushed(word):
    return 0 if word & 0x7F800000 == 0 else word


@given(x=WORDS, y=WORDS)
@example(0x7F7FFFFF, 0x73000000)
@example(0x7F7FFFFF, 0x72FFFFFF)
@example(0x7F800000, 0xFF800000)
@example(0x00800001, 0x80800000)
@example(0x3F800000, 0x33800000)
@example(0x80000000, 0x80000000)
def test_sum_of_words(x, y):
    assert exact.add_words(x, y, "ieee") == machine_sum(x, y)
    assert exact.add_words(x, y) == flushed(machine_sum(x, y))


@given(number=st.integers(-(2**26), 2**26), exponent=st.integers(-300, 200))
@example(1, -149)
@example(1, -150)
@example(3, -150)
@example(-(2**25 - 1), 103)
@example(2**25 - 3, 103)
@example(2**24 - 1, -150)
@example(2**25 - 1, -151)
def test_rounding(number, exponent):
    """The number is exact in float64, and its conversion to float32 is one rounding."""
    with np.errstate(over="ignore", under="ignore"):
        word = int(bits(np.array([math.ldexp(number, exponent)]).astype(np.float32))[0])
    assert exact.round_word(number, exponent, "ieee") == word
    tiny = abs(math.ldexp(number, exponent)) < 2.0**-126
    assert exact.round_word(number, exponent) == (0 if tiny else word)


def test_rounding_by_hand():
    assert exact.round_word(0, 5) == 0
    assert exact.round_word(1, 0) == 0x3F800000
    assert exact.round_word(-640, -12) == 0xBE200000
    assert exact.round_word((1 << 25) - 1, 103) == 0x7F800000  # 2^128 (1 - 2^-25), the least that overflows
    assert exact.round_word(((1 << 25) - 1 << 60) - 1, 43) == 0x7F7FFFFF
    assert exact.round_word(-1, 10**6) == 0xFF800000
    assert exact.round_word((1 << 24) - 1, -150) == 0  # rounds to 2^-126, but is below it
    assert exact.round_word((1 << 24) - 1, -150, "ieee") == 0x00800000


def test_integers_and_words():
    block = exact.Block(130, 0b10, (0, 1, 0, 1) + (0,) * 12, (3, 3, 2, 0) + (0,) * 12)
    assert exact.integers(block) == [6, -6, 2, 0] + [0] * 12
    assert floats(exact.decode_words(block, MX4)[:4]).tolist() == [12.0, -12.0, 4.0, 0.0]
    assert exact.decode_words(block, MX6)[3] == 0x80000000
    assert exact.decode_words(block._replace(exponent=255), MX9) == [0x7FC00000] * 16


def test_trace():
    x, y = np.zeros((2, 48), np.float32), np.zeros((48, 2), np.float32)
    x[1, [0, 1, 16, 32]] = [3, 0.5, np.nan, 1]
    y[[0, 1, 16, 32], 1] = [2, -8, 1, 1]
    a, w = quantize(x, "mx9"), quantize(y, "mx6", axis=0)
    first, second, third = trace(a, w, 1, 1)
    # a' = 3, 0.5 in units of 2^(128-127-7); w' = 2, -8 in units of 2^(130-127-4)
    assert first == exact.Step(0, MX9, MX6, 192 * 4 + 32 * -16, 0x40000000, 0x40000000)
    assert second == exact.Step(1, MX9, MX6, None, 0x7FC00000, 0x7FC00000)
    assert third == exact.Step(2, MX9, MX6, 128 * 16, 0x3F800000, 0x7FC00000)
    assert [step.acc for step in trace(a, w, 0, 1)] == [0, 0, 0]


def test_blocks_of_a_tensor():
    words = block_words(np.random.default_rng(1), 3, 32)
    t = quantize(floats(words), "mx6", rounding="half-away")
    for row in range(3):
        for k in range(2):
            block = exact.block_of(t, row, k)
            assert block == exact.quantize_block(words[row, 16 * k : 16 * k + 16].tolist(), MX6, "half-away")
            assert all(type(v) is int for v in (block.exponent, block.micro, *block.signs, *block.magnitudes))


def test_float64_reference():
    x, y = np.full((1, 3), 1 / 3, np.float32), np.full((3, 2), 3, np.float32)
    c = reference_gemm(x, y)
    assert c.dtype == np.float64
    assert c.tolist() == [[9 * float(np.float32(1 / 3))] * 2]


def test_sqnr():
    x = np.array([3.0, 4.0], np.float32)
    assert sqnr_db(x, np.array([3.0, 4.5])) == 20.0
    assert sqnr_db(x, x) == math.inf
    assert sqnr_db(np.zeros(2), x) == -math.inf
    assert sqnr_db(np.zeros(2), np.zeros(2)) == math.inf
    assert math.isnan(sqnr_db(x, np.array([3.0, np.nan])))
    assert math.isnan(sqnr_db(np.array([3.0, np.inf]), x))
    text = "reference and value must have the same non-empty shape, not (2,) and (1,)"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        sqnr_db(x, x[:1])
    text = "reference and value must have the same non-empty shape, not (0,) and (0,)"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        sqnr_db(x[:0], x[:0])
