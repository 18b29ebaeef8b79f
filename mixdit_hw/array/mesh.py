"""The array: R x C dot engines between their feeders and the result lanes."""

from amaranth.hdl import Const, Module, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..dot.engine import Engine
from ..params import Params
from ..shapes import FP32_BITS, BlockLayout
from ..unit import add_unit
from .column import ColumnFeeder
from .control import ColumnControlLayout, RowControlLayout, pointer_bits
from .drain import ResultLane, SegmentWriter
from .row import RowFeeder

SIDEWAYS = ("a", "a_micro", "a_exponent", "step", "first", "shift", "start", "end")
DOWNWARDS = ("w", "w_micro", "w_exponent")


class Array(wiring.Component):
    """R x C engines, A from the left, W from the top, results out of the top of each segment.

    The array never waits: a step enters every T cycles, as a digit pass or as a bubble. Row r works r*(T-1) cycles and
    column c works c cycles after the first. Tiles follow each other without a gap; a tile's results leave while the
    next one is multiplied, which is why the ends of two tiles must be at least R/drain steps apart.

    Latency (``latency``): cycles from ``phase`` 0 with a tile's last pass to the first column's first result in its
    lane. Throughput: R*C digit passes, of 16 products each, per cycle.

    Parameters
    ----------
    params
        Of the design.

    Members
    -------
    phase : In(T)
        One-hot, bit t in cycle t of a step of the first row.
    a_control : In(RowControlLayout)
        A's control, taken with phase 0.
    a_oldest : Out
        Pointer of the last row, with one bit more than an address: all entries before it are free.
    w_control : In(ColumnControlLayout)
        W's control, the same for all T cycles from phase 0.
    w_oldest : Out
        Pointer of the last column: all entries before it are free.
    a_write, a_write_address : In
        Writes one block to each row's memory, and where.
    a_blocks : In
        Blocks of rows 0 ... R-1, the first in the lowest bits. In a block: shared exponent in bits 0-7, microexponents
        in bits 8-15, and from bit 16 the 16 elements, each its magnitude and, above it, its sign.
    w_write, w_write_address : In
        Writes one block to each column's memory, and where.
    w_blocks : In
        Blocks of columns 0 ... C-1, laid out as those of A.
    read, read_address : In
        Reads all result lanes at this address.
    words : Out
        What was read, a cycle later: word g*C + c is that of segment g and column c, FP32.
    commit : Out(1)
        A whole result beat has been written.
    """

    unit_name = "array"
    # Cycles from the phase 0 that takes a tile's last pass to the write of the first column's first result.
    latency = RowFeeder.latency + 1 + Engine.latency

    def __init__(self, params: Params) -> None:
        self._params = p = params
        block = BlockLayout(p.magnitude_bits)
        super().__init__(
            {
                "phase": In(p.interleave),
                "a_control": In(RowControlLayout(pointer_bits(p.a_depth))),
                "a_oldest": Out(pointer_bits(p.a_depth)),
                "w_control": In(ColumnControlLayout(pointer_bits(p.w_depth))),
                "w_oldest": Out(pointer_bits(p.w_depth)),
                "a_write": In(1),
                "a_write_address": In(range(p.a_depth)),
                "a_blocks": In(data.ArrayLayout(block, p.rows)),
                "w_write": In(1),
                "w_write_address": In(range(p.w_depth)),
                "w_blocks": In(data.ArrayLayout(block, p.columns)),
                "read": In(1),
                "read_address": In(range(p.c_depth)),
                "words": Out(data.ArrayLayout(FP32_BITS, p.drain * p.columns)),
                "commit": Out(1),
            }
        )

    @property
    def unit_key(self) -> tuple:
        p = self._params
        return tuple(
            (name, getattr(p, name))
            for name in ("rows", "columns", "interleave", "magnitude_bits", "a_depth", "w_depth", "c_depth", "drain")
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._params

        rows: list[RowFeeder] = []
        control = self.a_control
        for r in range(p.rows):
            add_unit(m, platform, f"row_{r}", row := RowFeeder(p))
            m.d.comb += [
                row.write.eq(self.a_write),
                row.write_address.eq(self.a_write_address),
                row.write_block.eq(self.a_blocks[r]),
                row.step.eq(self.phase[-r % p.interleave]),  # T-1 cycles after the row above is one phase before it
                row.control.eq(control),
            ]
            control = row.control_next
            rows.append(row)
        m.d.comb += self.a_oldest.eq(control.address)

        columns: list[ColumnFeeder] = []
        control = self.w_control
        for c in range(p.columns):
            add_unit(m, platform, f"column_{c}", column := ColumnFeeder(p))
            m.d.comb += [
                column.write.eq(self.w_write),
                column.write_address.eq(self.w_write_address),
                column.write_block.eq(self.w_blocks[c]),
                column.control.eq(control),
            ]
            control = column.control_next
            columns.append(column)
        m.d.comb += self.w_oldest.eq(control.address)

        engines: list[list[Engine]] = []
        for r in range(p.rows):
            engines.append([Engine(p.interleave, p.digits) for _ in range(p.columns)])
            for c, engine in enumerate(engines[r]):
                add_unit(m, platform, f"engine_{r}_{c}", engine)
                for name in SIDEWAYS:
                    if c:
                        source = getattr(engines[r][c - 1], f"{name}_next")
                    else:
                        source = getattr(rows[r], "a_step" if name == "step" else name)
                    m.d.comb += getattr(engine, name).eq(source)
                for name in DOWNWARDS:
                    source = getattr(engines[r - 1][c], f"{name}_next") if r else getattr(columns[c], name)
                    m.d.comb += getattr(engine, name).eq(source)

        height = p.rows // p.drain
        for r in range(p.rows):
            if r % height < height - 1:
                for c in range(p.columns):
                    m.d.comb += engines[r][c].c.eq(engines[r + 1][c].c_next)
        commit: Value = Const(0, 1)
        for g in range(p.drain):
            top = g * height
            add_unit(m, platform, f"writer_{g}", writer := SegmentWriter(p))
            m.d.comb += writer.end.eq(rows[top].end)
            control = writer.control
            for c in range(p.columns):
                add_unit(m, platform, f"lane_{g}_{c}", lane := ResultLane(p))
                m.d.comb += [
                    lane.c.eq(engines[top][c].c_next),
                    lane.control.eq(control),
                    lane.read.eq(self.read),
                    lane.read_address.eq(self.read_address),
                    self.words[g * p.columns + c].eq(lane.word),
                ]
                control = lane.control_next
            commit = control.write
        m.d.comb += self.commit.eq(commit)
        return m
