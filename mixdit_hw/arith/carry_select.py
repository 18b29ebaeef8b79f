"""Carry-select addition."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Mux, Value


def carry_select_add(a: Value, b: Value, carry_in: Value, segments: Sequence[int]) -> Value:
    """Return ``a + b + carry_in``, one bit wider than ``a`` and ``b``. Combinational.

    The words are cut in segments of those many bits, the lowest first. All but the lowest are added for both values of
    the carry into them, which then selects: it ripples through one segment and passes one multiplexer for each other.
    (Left to itself, logic optimisation makes a ripple of any adder that is written as one operation.)

    Raises
    ------
    ValueError
        The words differ in width, or the segments do not add up to it.
    """
    if len(a) != len(b) or sum(segments) != len(a):
        raise ValueError(f"segments must add up to the words' {len(a)} and {len(b)} bits, not {tuple(segments)!r}")
    parts: list[Value] = []
    carry, start = carry_in, 0
    for i, width in enumerate(segments):
        x, y = a[start : start + width], b[start : start + width]
        if i == 0:
            total = (Cat(carry, x) + Cat(carry, y))[1 : width + 2]
        else:
            total = Mux(carry, (Cat(1, x) + Cat(1, y))[1 : width + 2], (x + y)[: width + 1])
        parts.append(total[:width])
        carry, start = total[width], start + width
    return Cat(*parts, carry)
