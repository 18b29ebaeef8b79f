"""Maximum of several unsigned numbers."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out


class Maximum(wiring.Component):
    """Largest of ``count`` unsigned numbers of ``width`` bits, and which of them it is.

    The numbers compete from the top down, two bits at a time: those behind the best in these bits drop out. This is
    less than half of a tree of comparators, and it tells at once who is the largest and who still led at half way.

    Combinational: latency none (`latency`).

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
    equal : Out(count)
        The numbers that are the largest.
    upper_equal : Out(count)
        The numbers whose top half, bits ``width // 2`` and up, is that of the largest.

    Raises
    ------
    TypeError
        ``width`` or ``count`` is no integer.
    ValueError
        ``width`` or ``count`` is below 1.
    """

    latency = 0

    def __init__(self, width: int, count: int) -> None:
        for name, value in (("width", width), ("count", count)):
            if not isinstance(value, int):
                raise TypeError(f"{name} must be an integer, not {value!r}")
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value!r}")
        super().__init__(
            {
                "i": In(data.ArrayLayout(width, count)),
                "o": Out(width),
                "equal": Out(count),
                "upper_equal": Out(count),
            }
        )
        self._width = width
        self._count = count

    def elaborate(self, platform) -> Module:
        m = Module()
        leads: list[Value] = [Const(1)] * self._count
        end = self._width  # bits from here up are settled
        for start in self._steps():
            leads = self._compete(m, leads, start, end)
            if start == self._width // 2:
                m.d.comb += self.upper_equal.eq(Cat(leads))
            end = start
        m.d.comb += self.equal.eq(Cat(leads))
        return m

    def _steps(self) -> list[int]:
        """Lowest bit of each step of one or two bits; a step ends at the top half's lowest bit."""
        half = self._width // 2
        return [*range(self._width - 2, half, -2), half, *range(half - 2, 0, -2), *([0] if half else [])]

    def _compete(self, m: Module, leads: list[Value], start: int, end: int) -> list[Value]:
        """Settle bits start to end - 1 of the maximum; return who has led to here and still does."""
        bits = [number[start:end] for number in self.i]
        top = Signal(name=f"bit{end - 1}")
        m.d.comb += top.eq(Cat(lead & bit[-1] for lead, bit in zip(leads, bits, strict=True)).any())
        best = Cat(top)
        if end - start == 2:  # the lower bit is found for both outcomes of the upper
            low = Signal(name=f"bit{start}")
            with_top, without = Signal(name=f"with_top{start}"), Signal(name=f"without_top{start}")
            m.d.comb += [
                with_top.eq(Cat(lead & bit.all() for lead, bit in zip(leads, bits, strict=True)).any()),
                without.eq(Cat(lead & bit[0] for lead, bit in zip(leads, bits, strict=True)).any()),
                low.eq(Mux(top, with_top, without)),
            ]
            best = Cat(low, top)
        m.d.comb += self.o[start:end].eq(best)
        still = [Signal(name=f"leads{start}_{k}") for k in range(self._count)]
        for k, (lead, bit) in enumerate(zip(leads, bits, strict=True)):
            m.d.comb += still[k].eq(lead & (bit | ~best).all())
        return still
