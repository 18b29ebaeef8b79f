"""Payload shapes of the streams between units.

Inside the core every block travels in one container, that of the widest format supported: the narrower formats'
magnitudes stand at its top, so that a magnitude means the same value whatever its format, and the format only says how
many 4-bit digits can be other than zero. For a container of MX9 width the bits are those of a packed MX9 block.
"""

from amaranth.lib import data

from golden.formats import BLOCK_SIZE, EXPONENT_BITS, PAIRS

FP32_BITS = 32
FORMAT_CODE_BITS = 2


class ElementLayout(data.StructLayout):
    """Sign and magnitude of one element; the sign is the top bit."""

    def __init__(self, magnitude_bits: int) -> None:
        super().__init__({"magnitude": magnitude_bits, "sign": 1})


class BlockLayout(data.StructLayout):
    """A block of 16 numbers in the container.

    Fields
    ------
    exponent : 8
        Shared exponent, bits 0-7 of the block.
    micro : 8
        Microexponents, bits 8-15: bit j is that of elements 2*j and 2*j + 1.
    elements : 16 x (magnitude_bits + 1)
        From bit 16: of each element the magnitude and, above it, the sign.
    """

    def __init__(self, magnitude_bits: int) -> None:
        self.magnitude_bits = magnitude_bits
        super().__init__(
            {
                "exponent": EXPONENT_BITS,
                "micro": PAIRS,
                "elements": data.ArrayLayout(ElementLayout(magnitude_bits), BLOCK_SIZE),
            }
        )


class BlockBeatLayout(data.StructLayout):
    """One block per row or column of the array, all of one format.

    Fields
    ------
    blocks : count x (16 + 16 * (magnitude_bits + 1))
        One block for each row or column, the first one's in the lowest bits. In a block: shared exponent in bits 0-7;
        microexponents in bits 8-15, bit j for elements 2*j and 2*j + 1; from bit 16 the 16 elements, each its
        magnitude and, above it, its sign (1 is negative). A magnitude has the bits of the widest format of the design
        (MX4 2, MX6 4, MX9 7); that of a narrower format stands at their top, with zeros below.
    format : 2
        Format of all blocks of the beat: 0 = MX4, 1 = MX6, 2 = MX9.
    """

    def __init__(self, count: int, magnitude_bits: int) -> None:
        super().__init__({"blocks": data.ArrayLayout(BlockLayout(magnitude_bits), count), "format": FORMAT_CODE_BITS})


class CommandLayout(data.StructLayout):
    """A tile command.

    Fields
    ------
    blocks : 16
        K blocks of 16 that the command multiplies and adds up, 1 to 65535; 0 stands for 65536.
    accumulate : 1
        1: the sums stay in the accumulators, the next command adds to them, and no results come. 0: the results leave,
        and the next command starts from zero.
    """

    def __init__(self) -> None:
        super().__init__({"blocks": 16, "accumulate": 1})


class ResultBeatLayout(data.StructLayout):
    """Result words of one beat of a tile.

    Fields
    ------
    words : drain * columns x 32
        FP32 words, the first in the lowest bits. Word g*C + c of a tile's beat i (i = 0 ... R*T/drain - 1) is the
        element of the tile's row g*(R/drain)*T + i, column c.
    last : 1
        This is the tile's last beat.
    """

    def __init__(self, drain: int, columns: int) -> None:
        super().__init__({"words": data.ArrayLayout(FP32_BITS, drain * columns), "last": 1})
