"""Layout of the control word, pointers, and the digit planes of blocks in every container."""

import numpy as np
import pytest

from golden.formats import FORMATS
from mixdit_hw.array.control import ColumnControlLayout, RowControlLayout, pointer_bits, take_digits
from mixdit_hw.shapes import BlockLayout
from tests.support.blocks import random_block
from tests.support.clocked import Clocked, Function


def test_layouts():
    column, row = ColumnControlLayout(5), RowControlLayout(5)
    fields = ("address", "low", "last", "valid", "first", "shift", "start", "end")
    assert tuple(name for name, _ in column) == fields[:3]
    assert tuple(name for name, _ in row) == fields
    assert [row[name].offset for name in fields] == [0, 5, 6, 7, 8, 9, 10, 11]
    assert [column[name].offset for name in fields[:3]] == [0, 5, 6]
    assert (column.size, row.size) == (7, 12)


@pytest.mark.parametrize(("depth", "bits"), [(1, 1), (4, 3), (16, 5), (4096, 13)])
def test_pointer_bits(depth, bits):
    """One bit more than an address has, so that a difference of ``depth`` can be told from none."""
    assert pointer_bits(depth) == bits


@pytest.mark.parametrize(("magnitude_bits", "names"), [(7, ("mx9", "mx6", "mx4")), (4, ("mx6", "mx4")), (2, ("mx4",))])
def test_take_digits(magnitude_bits, names):
    rng = np.random.default_rng(magnitude_bits)

    def build(m, block, low, valid):
        return {"digits": take_digits(block, low, valid, magnitude_bits)}

    rows, expected = [], []
    for _ in range(40):
        for name in names:
            block = random_block(rng, FORMATS[name])
            for low in range(2 if magnitude_bits > 4 else 1):
                for valid in (0, 1):
                    rows.append({"block": block.container(magnitude_bits), "low": low, "valid": valid})
                    expected.append(block.operand(bool(low)) if valid else 0)
    bench = Clocked(Function({"block": BlockLayout(magnitude_bits), "low": 1, "valid": 1}, build))
    assert bench.run(rows, ["digits"])["digits"] == expected
