"""Leading-zero count."""

from amaranth.hdl import Cat, Const, Mux, Value


def leading_zeros(x: Value) -> Value:
    """Count the zeros above the highest one of ``x``; ``len(x)`` for zero. Combinational.

    A tree over halves: each half gives its count and whether it is zero, so the depth is logarithmic.
    """
    width = len(x)
    if width < 1:
        raise ValueError(f"x must have at least one bit, not {width}")
    # Ones below the word, at least one: a zero word then counts to its own width without a special case.
    padding = (1 << width.bit_length()) - width
    return _count(Cat(Const(-1, padding), x))[1]


def _count(bits: Value) -> tuple[Value, Value]:
    """Whether ``bits`` (a power of two of them) are all zero, and their count of leading zeros if they are not."""
    if len(bits) == 1:
        return ~bits, Const(0, 0)
    half = len(bits) // 2
    low_zero, low_count = _count(bits[:half])
    high_zero, high_count = _count(bits[half:])
    return high_zero & low_zero, Cat(Mux(high_zero, low_count, high_count), high_zero)
