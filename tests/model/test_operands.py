"""Which tensors are an A and a W, for the product, its reference and, by the same check, the images of streams."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from golden import MXTensor, concat, exact, gemm, prepare, quantize
from golden.operands import check_operands
from tests.support.errors import raises_exactly
from tests.support.mx_data import assert_same_bits


def joined(axis: int, *lengths: int) -> MXTensor:
    """A tensor of 3 rows, of one part for each of the lengths."""
    rng = np.random.default_rng([axis, *lengths])
    shapes = [(3, k) if axis == 1 else (k, 3) for k in lengths]
    return concat([quantize(rng.standard_normal(s).astype(np.float32), "mx9", axis=axis) for s in shapes])


def product_of_prepared(a: MXTensor, w: MXTensor) -> None:
    gemm(prepare(a), prepare(w))


CHECKS = [check_operands, gemm, product_of_prepared, exact.gemm, lambda a, w: exact.trace(a, w, 0, 0)]


@pytest.mark.parametrize("check", CHECKS, ids=["check", "gemm", "prepared", "exact", "trace"])
@pytest.mark.parametrize(
    ("a", "w", "text"),
    [
        ((17, 15), (15, 17), "a and w must have the same number of K positions in block 0, not 16 and 15"),
        ((16, 17), (16, 16, 1, 15), "a and w must have the same number of K blocks, not 3 and 4"),
        ((32, 5, 3), (16, 16, 3, 5), "a and w must have the same number of K positions in block 2, not 5 and 3"),
        ((32,), (31,), "a and w must have the same number of K positions in block 1, not 16 and 15"),
        ((32,), (16,), "a and w must have the same number of K blocks, not 2 and 1"),
    ],
    ids=str,
)
def test_blocks_of_other_positions(
    check: Callable[[MXTensor, MXTensor], Any], a: tuple[int, ...], w: tuple[int, ...], text: str
) -> None:
    with raises_exactly(ValueError, text):
        check(joined(1, *a), joined(0, *w))


@pytest.mark.parametrize(
    ("a", "w"), [((32,), (16, 16)), ((16, 17), (33,)), ((48, 5, 20), (16, 37, 16, 4)), ((1, 1), (1, 1))], ids=str
)
def test_cut_into_other_segments(a: tuple[int, ...], w: tuple[int, ...]) -> None:
    """Only the blocks count."""
    x, y = joined(1, *a), joined(0, *w)
    check_operands(x, y)
    assert_same_bits(gemm(x, y), exact.gemm(x, y))


def test_axes() -> None:
    a, w = joined(1, 16), joined(0, 16)
    with raises_exactly(ValueError, "a must be 2-D and blocked along axis 1, not 2-D along axis 0"):
        check_operands(w, w)
    with raises_exactly(ValueError, "w must be 2-D and blocked along axis 0, not 2-D along axis 1"):
        check_operands(a, a)
    with raises_exactly(ValueError, "w must be 2-D and blocked along axis 0, not 3-D along axis 0"):
        check_operands(a, quantize(np.ones((16, 3, 1), np.float32), "mx9", axis=0))
