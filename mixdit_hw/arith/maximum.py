"""Maximum of several unsigned numbers."""

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

GROUP = 8


class Maximum(wiring.Component):
    """Largest of ``count`` unsigned numbers of ``width`` bits, and which of them it is.

    The numbers compete from the top down, bit by bit: where the best has a one, those with a zero drop out. This is
    less than half of a tree of comparators, and it tells at once who is the largest and who still led half way. More
    than 8 numbers compete in groups of 8, and the groups' winners among each other, one bit later: shorter and less
    loaded than one competition of all.

    Combinational: latency none (`latency`).

    Parameters
    ----------
    width
        Bits of a number, at least 1.
    count
        Numbers, at least 1.
    lower
        How many bits do not count as upper bits, 0 to ``width - 1``.

    Members
    -------
    i : In(ArrayLayout(width, count))
    o : Out(width)
    equal : Out(count)
        The numbers that are the largest.
    upper_equal : Out(count)
        The numbers whose bits ``lower`` and up are those of the largest.

    Raises
    ------
    TypeError
        ``width``, ``count`` or ``lower`` is no integer.
    ValueError
        ``width`` or ``count`` is below 1, or ``lower`` is out of range.
    """

    latency = 0

    def __init__(self, width: int, count: int, lower: int = 0) -> None:
        for name, value in (("width", width), ("count", count), ("lower", lower)):
            if not isinstance(value, int):
                raise TypeError(f"{name} must be an integer, not {value!r}")
        for name, value in (("width", width), ("count", count)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value!r}")
        if not 0 <= lower < width:
            raise ValueError(f"lower must be 0 to {width - 1}, not {lower!r}")
        super().__init__(
            {
                "i": In(data.ArrayLayout(width, count)),
                "o": Out(width),
                "equal": Out(count),
                "upper_equal": Out(count),
            }
        )
        self._width = width
        self._lower = lower

    def elaborate(self, platform) -> Module:
        m = Module()
        best, upper, leads = self._compete(m, list(self.i), "")
        m.d.comb += [self.o.eq(best), self.upper_equal.eq(Cat(upper)), self.equal.eq(Cat(leads))]
        return m

    def _compete(self, m: Module, numbers: list, name: str) -> tuple[Value, list[Value], list[Value]]:
        """The largest number; who has its upper bits; who is the largest."""
        if len(numbers) > GROUP:
            groups = [
                self._compete(m, numbers[start : start + GROUP], f"{name}{start // GROUP}_")
                for start in range(0, len(numbers), GROUP)
            ]
            best, upper, leads = self._compete(m, [group[0] for group in groups], f"{name}group_")
            return (
                best,
                [x & wins for group, wins in zip(groups, upper, strict=True) for x in group[1]],
                [x & wins for group, wins in zip(groups, leads, strict=True) for x in group[2]],
            )
        best = Signal(self._width, name=f"{name}best")
        leads: list[Value] = [Const(1, 1)] * len(numbers)
        upper = leads
        for place in reversed(range(self._width)):
            bits = [number[place] for number in numbers]
            m.d.comb += best[place].eq(Cat(lead & bit for lead, bit in zip(leads, bits, strict=True)).any())
            before, leads = leads, [Signal(name=f"{name}leads{place}_{k}") for k in range(len(numbers))]
            for k, (lead, bit) in enumerate(zip(before, bits, strict=True)):
                m.d.comb += leads[k].eq(lead & (bit | ~best[place]))
            if place == self._lower:
                upper = leads
        return best, upper, leads
