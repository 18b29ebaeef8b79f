"""Layout of an operand, and what its digits are worth."""

import numpy as np
import pytest

from golden.formats import FORMATS
from mixdit_hw.dot.operand import OPERAND_BITS, DigitsLayout
from tests.support.blocks import random_block


def test_layout():
    layout = DigitsLayout()
    assert OPERAND_BITS == layout.size == 80
    assert [layout["digits"].offset, layout["signs"].offset] == [0, 64]
    operand = layout.from_bits(0b11 << 76 | 0x21)
    assert [operand.digits[i] for i in (0, 1, 2, 15)] == [1, 2, 0, 0]
    assert operand.signs == 0b11 << 12


@pytest.mark.parametrize("name", FORMATS)
def test_digits_of_a_block(name):
    """High and low digit make the magnitude, left-aligned in 8 bits; only MX9 has low digits."""
    fmt = FORMATS[name]
    layout = DigitsLayout()
    rng = np.random.default_rng(fmt.code)
    for _ in range(20):
        block = random_block(rng, fmt)
        high, low = (layout.from_bits(block.operand(side)) for side in (False, True))
        values = tuple(high.digits[i] << 4 | low.digits[i] for i in range(16))
        assert values == tuple(magnitude << 8 - fmt.magnitude_bits for magnitude in block.magnitudes)
        assert high.signs == low.signs == sum(sign << i for i, sign in enumerate(block.signs))
        if fmt.digits == 1:
            assert not any(low.digits[i] for i in range(16))
