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
    """A block: shared exponent (bits 0-7), microexponents (bits 8-15), then 16 elements."""

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
    """One block per row or column of the array, all of one format (`Format.code`)."""

    def __init__(self, count: int, magnitude_bits: int) -> None:
        super().__init__({"blocks": data.ArrayLayout(BlockLayout(magnitude_bits), count), "format": FORMAT_CODE_BITS})


class CommandLayout(data.StructLayout):
    """A tile command.

    ``blocks``: K blocks to come, 1 to 65535 (0 is taken as 65536).
    ``accumulate``: leave the sums in the accumulators for the next command instead of draining and clearing them.
    """

    def __init__(self) -> None:
        super().__init__({"blocks": 16, "accumulate": 1})


class ResultBeatLayout(data.StructLayout):
    """Result words of one beat, FP32; ``last`` marks a tile's last beat.

    Beat i of a tile holds word [g*C + c] = output row g*(R/drain)*T + i, column c.
    """

    def __init__(self, drain: int, columns: int) -> None:
        super().__init__({"words": data.ArrayLayout(FP32_BITS, drain * columns), "last": 1})
