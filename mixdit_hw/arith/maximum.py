"""Maximum of several unsigned numbers."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out


class Maximum(wiring.Component):
    """Largest of ``count`` unsigned numbers of ``width`` bits, by a binary tree.

    Each node walks from the top bit down and remembers which side has won; a bit of the larger number is known
    as soon as the bits above it are, so the levels overlap: the path is about ``width + log2(count)`` steps.

    Combinational: latency none.

    Parameters
    ----------
    width
        Bits of a number, at least 1.
    count
        Numbers, at least 1.

    Members
    -------
    i : In(ArrayLayout(width, count))
    o : Out(width)

    Raises
    ------
    TypeError
        ``width`` or ``count`` is no integer.
    ValueError
        ``width`` or ``count`` is below 1.
    """

    def __init__(self, width: int, count: int) -> None:
        for name, value in (("width", width), ("count", count)):
            if not isinstance(value, int):
                raise TypeError(f"{name} must be an integer, not {value!r}")
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value!r}")
        super().__init__({"i": In(data.ArrayLayout(width, count)), "o": Out(width)})
        self._width = width
        self._count = count

    def elaborate(self, platform) -> Module:
        m = Module()
        numbers = [self.i[k] for k in range(self._count)]
        level = 0
        while len(numbers) > 1:
            pairs = list(zip(numbers[::2], numbers[1::2], strict=False))
            winners = [self._larger(m, a, b, f"level{level}_{k}") for k, (a, b) in enumerate(pairs)]
            numbers = winners + numbers[2 * len(pairs) :]
            level += 1
        m.d.comb += self.o.eq(numbers[0])
        return m

    def _larger(self, m: Module, a, b, name: str) -> Signal:
        """The larger of two numbers, decided from the top bit down."""
        larger = Signal(self._width, name=name)
        a_won = b_won = None
        for k in reversed(range(self._width)):
            if a_won is None or b_won is None:
                m.d.comb += larger[k].eq(a[k] | b[k])
                a_next, b_next = a[k] & ~b[k], b[k] & ~a[k]
            else:
                m.d.comb += larger[k].eq((a[k] & ~b_won) | (b[k] & ~a_won))
                a_next, b_next = a_won | (a[k] & ~b[k] & ~b_won), b_won | (b[k] & ~a[k] & ~a_won)
            if k:
                a_won, b_won = Signal(name=f"{name}_a{k}"), Signal(name=f"{name}_b{k}")
                m.d.comb += [a_won.eq(a_next), b_won.eq(b_next)]
        return larger
