"""The operand that one pass of a dot engine takes from each side."""

from amaranth.lib import data

from golden.formats import BLOCK_SIZE, DIGIT_BITS


class DigitsLayout(data.StructLayout):
    """One 4-bit digit of each element of a block, with the elements' signs: element i has digit i and sign i.

    A two-digit magnitude of 7 bits is cut in its top 4 bits and its low 3 bits times 2, so that the low digit has 1/16
    of the weight of the high one. A one-digit magnitude is a high digit.
    """

    def __init__(self) -> None:
        super().__init__({"digits": data.ArrayLayout(DIGIT_BITS, BLOCK_SIZE), "signs": BLOCK_SIZE})


OPERAND_BITS = DigitsLayout().size
