"""The output stage against exact integers and ml_dtypes, and its refusals."""

import ml_dtypes
import numpy as np
import pytest

import golden
from golden.exact import add_words, multiply_words
from tests.support.errors import raises_exactly

WORDS = np.array(
    [
        0x00000000, 0x80000000, 0x00000001, 0x807FFFFF, 0x00800000, 0x80800001, 0x3F800000, 0xBF7FFFFF, 0x1FFFFFFF,
        0x5F7FFFFF, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F7F8000, 0x7F7F7FFF, 0x3F808000, 0x3F818000, 0x3F808001, 0x7F800000,
        0xFF800000, 0x7FC00000, 0xFFC00001, 0x7F800001, 0x34000000, 0xB3FFFFFF, 0x007FFFFF,
    ],
    dtype=np.uint32,
)  # fmt: skip


def canonical(word: int) -> int:
    """As an operand: subnormals are 0, NaN is canonical."""
    return 0x7FC00000 if word & 0x7FFFFFFF > 0x7F800000 else word if word >> 23 & 0xFF else 0


@pytest.mark.parametrize("seed", [1])
def test_scale_and_bias(seed: int) -> None:
    rng = np.random.default_rng(seed)
    acc = np.concatenate([np.repeat(WORDS, len(WORDS)), rng.integers(0, 1 << 32, 1000, dtype=np.uint32)])
    acc = np.array([canonical(x) for x in acc.tolist()], dtype=np.uint32)
    scale = np.concatenate([np.tile(WORDS, len(WORDS)), rng.integers(0, 1 << 32, 1000, dtype=np.uint32)])
    bias = rng.permutation(scale)
    got = golden.scale_and_bias(acc.view(np.float32), scale.view(np.float32), bias.view(np.float32))
    products = [multiply_words(a, s) for a, s in zip(acc.tolist(), scale.tolist(), strict=True)]
    want = [add_words(p, canonical(b)) for p, b in zip(products, bias.tolist(), strict=True)]
    assert got.view(np.uint32).tolist() == want
    only_scale = golden.scale_and_bias(acc.view(np.float32), scale.view(np.float32))
    assert only_scale.view(np.uint32).tolist() == products


def test_left_out_steps_and_neutral_operands() -> None:
    """Without operands nothing happens; 1 and +0 do nothing either."""
    acc = np.array([canonical(x) for x in WORDS.tolist()], dtype=np.uint32).view(np.float32)
    for result in (golden.scale_and_bias(acc), golden.scale_and_bias(acc, 1.0, 0.0)):
        assert result.view(np.uint32).tolist() == acc.view(np.uint32).tolist()
        assert result is not acc


def test_broadcasting() -> None:
    acc = np.arange(6, dtype=np.float32).reshape(2, 3)
    got = golden.scale_and_bias(acc, np.array([1, 2, 3], np.float32), 0.5)
    assert got.tolist() == [[0.5, 2.5, 6.5], [3.5, 8.5, 15.5]]
    assert acc.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("seed", [2])
def test_bfloat16(seed: int) -> None:
    """Rounding as ml_dtypes does it, but for FTZ and the canonical NaN."""
    rng = np.random.default_rng(seed)
    words = np.concatenate([WORDS, rng.integers(0, 1 << 32, 20000, dtype=np.uint32)])
    x = words.view(np.float32)
    with np.errstate(invalid="ignore"):
        want = x.astype(ml_dtypes.bfloat16).view(np.uint16)
    want = np.where((want & 0x7F80) == 0, 0, want)
    want = np.where(np.isnan(x), 0x7FC0, want)
    assert golden.to_bfloat16(x).tolist() == want.tolist()


def test_all_bfloat16_words() -> None:
    words = np.arange(1 << 16, dtype=np.uint16)
    wide = golden.from_bfloat16(words)
    assert np.array_equal(wide.view(np.uint32), words.astype(np.uint32) << 16)
    back = golden.to_bfloat16(wide)
    normal = (words & 0x7F80 != 0) & ~np.isnan(wide)
    assert np.array_equal(back[normal], words[normal])
    assert set(back[~normal].tolist()) == {0, 0x7FC0}


def test_refusals() -> None:
    acc = np.zeros((2, 3), np.float32)
    with raises_exactly(TypeError, "acc must be float32, not float64"):
        golden.scale_and_bias(acc.astype(float))
    with raises_exactly(ValueError, "bias must broadcast to acc's shape (2, 3), not (2,)"):
        golden.scale_and_bias(acc, 1.0, np.zeros(2, np.float32))
    with raises_exactly(TypeError, "x must be float32, not uint16"):
        golden.to_bfloat16(np.zeros(2, np.uint16))
    with raises_exactly(TypeError, "words must be uint16, not float32"):
        golden.from_bfloat16(acc)
