"""What the sequencer tells the array about each step, and how a block's digits leave a memory."""

from amaranth.hdl import Cat, Const, Mux, Value
from amaranth.lib import data

from golden.formats import BLOCK_SIZE, DIGIT_BITS

from ..dot.operand import OPERAND_BITS


class ColumnControlLayout(data.StructLayout):
    """One step of T cycles on W's side: which block is read.

    In a bubble ``low`` and ``last`` do not matter or are zero, and the address is that of the block that comes next, so
    that the address of the last feeder always tells which entries are free.

    Fields
    ------
    address : address_bits
        First entry of the block, with one bit more than the memory's address, so that full and empty differ.
    low : 1
        Take the low digits.
    last : 1
        This pass finishes its block: the exponents count.
    """

    def __init__(self, address_bits: int) -> None:
        super().__init__({"address": address_bits, "low": 1, "last": 1})


class RowControlLayout(data.StructLayout):
    """One step of T cycles on A's side: which block is read, and what its digit pass means.

    Fields
    ------
    address : address_bits
        First entry of the block, with one bit more than the memory's address, so that full and empty differ.
    low : 1
        Take the low digits.
    last : 1
        This pass finishes its block: the exponents count.
    valid : 1
        A digit pass enters; otherwise the step is a bubble.
    first : 1
        First pass of a block; zero in a bubble, as are those that follow.
    shift : 1
        The running sum is shifted before this pass.
    start : 1
        The accumulators are cleared before this pass's products are added.
    end : 1
        The accumulators are complete after this pass.
    """

    def __init__(self, address_bits: int) -> None:
        flags = ("low", "last", "valid", "first", "shift", "start", "end")
        super().__init__({"address": address_bits} | dict.fromkeys(flags, 1))


def pointer_bits(depth: int) -> int:
    """Bits of a pointer into a memory of that depth (a power of two), with the bit that tells full from empty."""
    return depth.bit_length()


def take_digits(block: data.View, low: Value, valid: Value, magnitude_bits: int) -> Value:
    """High or low digits of a block in a container of that width, with its signs; zero without ``valid``."""
    digits, signs = [], []
    for i in range(BLOCK_SIZE):
        element = block.elements[i]
        scaled = Cat(Const(0, 2 * DIGIT_BITS - magnitude_bits), element.magnitude)
        high = scaled[DIGIT_BITS:]
        digits.append(Mux(low, scaled[:DIGIT_BITS], high) if magnitude_bits > DIGIT_BITS else high)
        signs.append(element.sign)
    return Cat(*digits, *signs) & valid.replicate(OPERAND_BITS)
