"""Engines that share their operand registers."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden.formats import EXPONENT_BITS, PAIRS

from ..arith.compress import outer_product
from ..arith.register import register
from ..latency import OPERAND_DELAY
from ..params import MULTIPLIERS, Params
from ..shapes import FP32_BITS
from ..unit import add_unit
from .engine import Engine
from .operand import OPERAND_BITS, DigitsLayout
from .timing import timing_of

FLAGS = ("step", "first", "shift", "start", "end")
A_OPERANDS = {"a": OPERAND_BITS, "a_micro": PAIRS, "a_exponent": EXPONENT_BITS}
W_OPERANDS = {"w": OPERAND_BITS, "w_micro": PAIRS, "w_exponent": EXPONENT_BITS}


class Cluster(wiring.Component):
    """V x H dot engines that do the same pass of different outputs in the same cycle.

    The registers that hold a row's operand of A serve the H engines of that row, those of a column's operand of W the V
    engines of that column, and the flags all of them. A flows from left to right, one register per cluster; W flows
    from top to bottom and is held for the T cycles of a step, in which A brings a row for each of the T outputs.

    What belongs to one pass enters spread over time, as the engines need it: ``a_micro``, ``first`` and ``shift``, then
    ``a_exponent``, ``start`` and ``end`` as much later than the digits and ``step`` as their timing says. W's parts are
    sampled as much later than ``step``. Each engine has a result chain of its own, upwards.

    Latency: one cycle more than an engine's, from an output's last pass to its result in ``c_next`` (``latency``).
    Throughput: V*H passes of 16 digit products per cycle.

    Parameters
    ----------
    interleave, digits, loop_latency, tree
        Of the engines.
    rows, columns
        V and H, each at least 1.
    multipliers
        ``logic``, a multiplier for each product, in the engines; ``pairs``, one for the products of a digit of A by
        those of two columns; or ``quads``, one for two rows by two columns. The latter two are for DSP blocks:
        multipliers of 4 x 12 and 20 x 12 bits.

    Members
    -------
    a : In(V x 80), a_micro : In(V x 8), a_exponent : In(V x 8)
        Operand of each row, the first row's in the lowest bits: digits and signs, microexponents, shared exponent.
    w : In(H x 80), w_micro : In(H x 8), w_exponent : In(H x 8)
        Operand of each column. W's digits are taken with ``step``.
    step : In(1)
        The digits that enter with it are those of the first of T outputs.
    first, shift, start, end : In(1)
        What the pass is, for all engines.
    c : In(V x H x 32)
        Results of the cluster below, FP32: word v*H + h is that of row v, column h.
    c_next : Out(V x H x 32)
        Result chains.
    a_next, a_micro_next, a_exponent_next, step_next, first_next, shift_next, start_next, end_next : Out
        The input of that name a cycle later, for the cluster to the right.
    w_next, w_micro_next, w_exponent_next : Out
        What the cluster holds of W, for the cluster below.

    Raises
    ------
    ValueError
        ``rows`` or ``columns`` is below 1 or cannot be paired; ``multipliers`` is unknown.
    """

    unit_name = "cluster"

    def __init__(
        self,
        interleave: int,
        digits: int,
        rows: int,
        columns: int,
        loop_latency: int = 4,
        tree: str = "compressors",
        multipliers: str = "logic",
    ) -> None:
        for name, value in (("rows", rows), ("columns", columns)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if multipliers not in MULTIPLIERS:
            raise ValueError(f"multipliers must be one of {', '.join(MULTIPLIERS)}, not {multipliers!r}")
        self._pack = MULTIPLIERS[multipliers]
        for name, value, pack in zip(("rows", "columns"), (rows, columns), self._pack, strict=True):
            if value % pack:
                raise ValueError(f"multipliers={multipliers} needs an even number of {name}, not {value}")
        self.timing = timing_of(loop_latency)
        self._engine = interleave, digits, loop_latency, tree
        self._multipliers = multipliers
        self._rows, self._columns = rows, columns
        passing = {name: rows * width for name, width in A_OPERANDS.items()}
        passing |= {name: columns * width for name, width in W_OPERANDS.items()}
        passing |= dict.fromkeys(FLAGS, 1) | {"c": rows * columns * FP32_BITS}
        super().__init__(
            {name: In(width) for name, width in passing.items()}
            | {f"{name}_next": Out(width) for name, width in passing.items()}
        )

    @property
    def unit_key(self) -> tuple:
        interleave, digits, loop_latency, tree = self._engine
        return (
            ("interleave", interleave),
            ("digits", digits),
            ("loop", loop_latency),
            ("tree", tree),
            ("rows", self._rows),
            ("columns", self._columns),
            ("multipliers", self._multipliers),
        )

    @property
    def latency(self) -> int:
        """Cycles from an output's last pass to its result in ``c_next``."""
        return OPERAND_DELAY + self.timing.latency

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # A and the flags move on every cycle, W once in a step.
        for name in (*A_OPERANDS, *FLAGS[1:]):
            m.d.comb += getattr(self, f"{name}_next").eq(register(m, getattr(self, name), f"{name}_held"))
        steps = [self.step]
        for _ in range(self.timing.exponent):
            steps.append(register(m, steps[-1], f"step_{len(steps)}"))
        m.d.comb += self.step_next.eq(steps[1])
        times = (0, self.timing.w_micro, self.timing.exponent)
        for name, enable in zip(W_OPERANDS, (steps[t] for t in times), strict=True):
            held = Signal(getattr(self, name).shape(), name=f"{name}_held", reset_less=True)
            with m.If(enable):
                m.d.sync += held.eq(getattr(self, name))
            m.d.comb += getattr(self, f"{name}_next").eq(held)

        multiply = self._multipliers == "logic"
        products = {} if multiply else self._products(m)
        for v in range(self._rows):
            for h in range(self._columns):
                add_unit(m, platform, f"engine_{v}_{h}", engine := Engine(*self._engine, multiply=multiply))
                for names, index in ((A_OPERANDS, v), (W_OPERANDS, h)):
                    for name, width in names.items():
                        if multiply or name not in "aw":
                            value = getattr(self, f"{name}_next").word_select(index, width)
                            m.d.comb += getattr(engine, name).eq(value)
                if not multiply:
                    a, w = self._operands(v, h)
                    m.d.comb += [engine.products.eq(Cat(products[v, h])), engine.product_signs.eq(a.signs ^ w.signs)]
                m.d.comb += [getattr(engine, name).eq(getattr(self, f"{name}_next")) for name in FLAGS[1:]]
                at = v * self._columns + h
                m.d.comb += [
                    engine.c.eq(self.c.word_select(at, FP32_BITS)),
                    self.c_next.word_select(at, FP32_BITS).eq(engine.c_next),
                ]
        return m

    def _operands(self, row: int, column: int) -> tuple[data.View, data.View]:
        """Digits and signs that an engine takes."""
        pair = self.a_next.word_select(row, OPERAND_BITS), self.w_next.word_select(column, OPERAND_BITS)
        a, w = (data.View(DigitsLayout(), word) for word in pair)
        return a, w

    def _products(self, m: Module) -> dict[tuple[int, int], list[Value]]:
        """The 16 products of each row and column, several of them from each multiplier."""
        height, width = self._pack
        products: dict[tuple[int, int], list[Value]] = {}
        for v in range(0, self._rows, height):
            for h in range(0, self._columns, width):
                rows = [self._operands(v + i, h)[0] for i in range(height)]
                columns = [self._operands(v, h + j)[1] for j in range(width)]
                lanes = [
                    outer_product(m, [a.digits[k] for a in rows], [w.digits[k] for w in columns])
                    for k in range(2 * PAIRS)
                ]
                for i in range(height):
                    for j in range(width):
                        products[v + i, h + j] = [lane[i][j] for lane in lanes]
        return products


def engine_of(params: Params) -> Engine:
    """An engine of a design."""
    p = params
    return Engine(p.interleave, p.digits, p.loop_latency, p.tree, multiply=p.multipliers == "logic")


def cluster_of(params: Params) -> Cluster:
    """A cluster of a design."""
    p = params
    return Cluster(p.interleave, p.digits, p.cluster_rows, p.cluster_columns, p.loop_latency, p.tree, p.multipliers)
