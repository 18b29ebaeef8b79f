"""The array: clusters of dot engines between their feeders and the result lanes."""

from amaranth.hdl import Cat, Const, Module, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..dot.cluster import A_OPERANDS, FLAGS, W_OPERANDS, Cluster, cluster_of
from ..dot.timing import timing_of
from ..latency import array_latency
from ..params import Params
from ..shapes import FP32_BITS, BlockLayout
from ..unit import add_unit
from .column import ColumnFeeder
from .control import ColumnControlLayout, RowControlLayout, pointer_bits
from .drain import ResultLane, SegmentWriter
from .row import RowFeeder


class Array(wiring.Component):
    """R x C engines in clusters of V x H, A from the left, W from the top, results out of the top of each segment.

    The array never waits: a step enters every T cycles, as a digit pass or as a bubble. Row q of the clusters works
    q*(T-1) cycles and column d works d cycles after the first; all engines of a cluster work at the same time. Tiles
    follow each other without a gap; a tile's results leave while the next one is multiplied, which is why the ends of
    two tiles must be at least R/S steps apart.

    Each of the V rows of a cluster is on a result chain of its own, through the R/S rows of clusters of a segment, so
    that a column has S chains. Row r of the array belongs to chain r // (R/S): rows that are neighbours on the streams
    are neighbours on a chain, and chain s has row s % V of the clusters of segment s // V.

    Latency (``latency``): cycles from ``phase`` 0 with a tile's last pass to the first column's first result in its
    lane. Throughput: R*C digit passes, of 16 products each, per cycle.

    Parameters
    ----------
    params
        Of the design; V and H are its cluster_rows and cluster_columns, S its chains.

    Members
    -------
    phase : In(T)
        One-hot, bit t in cycle t of a step of the first row.
    a_control : In(RowControlLayout)
        A's control, taken with phase 0.
    a_oldest : Out
        Pointer of the last row of clusters, with one bit more than an address: all entries before it are free.
    w_control : In(ColumnControlLayout)
        W's control, the same for all T cycles from phase 0.
    w_oldest : Out
        Pointer of the last column of clusters: all entries before it are free.
    a_write, a_write_address : In
        Writes one block of each row, and where.
    a_blocks : In
        Blocks of rows 0 ... R-1, the first in the lowest bits. In a block: shared exponent in bits 0-7, microexponents
        in bits 8-15, and from bit 16 the 16 elements, each its magnitude and, above it, its sign.
    w_write, w_write_address : In
        Writes one block of each column, and where.
    w_blocks : In
        Blocks of columns 0 ... C-1, laid out as those of A.
    read, read_address : In
        Reads all result lanes at this address.
    words : Out
        What was read, a cycle later: word s*C + c is that of chain s and column c, FP32.
    commit : Out(1)
        A result of every chain and column has been written.
    """

    unit_name = "array"

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
                "read_address": In(range(p.lane_depth)),
                "words": Out(data.ArrayLayout(FP32_BITS, p.chains * p.columns)),
                "commit": Out(1),
            }
        )

    @property
    def unit_key(self) -> tuple:
        p = self._params
        names = (
            "rows", "columns", "cluster_rows", "cluster_columns", "loop_latency", "tree", "multipliers", "interleave",
            "magnitude_bits", "a_depth", "w_depth", "lane_depth", "chains",
        )  # fmt: skip
        return tuple((name, getattr(p, name)) for name in names)

    @property
    def latency(self) -> int:
        """Cycles from phase 0 with a tile's last pass to the write of the first column's first result."""
        return array_latency(timing_of(self._params.loop_latency).latency)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p = self._params
        height, width = p.cluster_rows, p.cluster_columns
        segment_rows = p.chain_rows  # rows of clusters

        feeders: list[RowFeeder] = []
        control = self.a_control
        for q in range(p.rows // height):
            add_unit(m, platform, f"row_{q}", row := RowFeeder(p))
            segment, place = divmod(q, segment_rows)
            chains = range(segment * height, (segment + 1) * height)
            m.d.comb += [
                row.write.eq(self.a_write),
                row.write_address.eq(self.a_write_address),
                row.write_blocks.eq(Cat(self.a_blocks[s * p.chain_rows + place].as_value() for s in chains)),
                row.step.eq(self.phase[-q % p.interleave]),  # T-1 cycles after the row above is one phase before it
                row.control.eq(control),
            ]
            control = row.control_next
            feeders.append(row)
        m.d.comb += self.a_oldest.eq(control.address)

        columns: list[ColumnFeeder] = []
        control = self.w_control
        for d in range(p.columns // width):
            add_unit(m, platform, f"column_{d}", column := ColumnFeeder(p))
            blocks = (self.w_blocks[c].as_value() for c in range(d * width, (d + 1) * width))
            m.d.comb += [
                column.write.eq(self.w_write),
                column.write_address.eq(self.w_write_address),
                column.write_blocks.eq(Cat(blocks)),
                column.control.eq(control),
            ]
            control = column.control_next
            columns.append(column)
        m.d.comb += self.w_oldest.eq(control.address)

        clusters: list[list[Cluster]] = []
        for q, row in enumerate(feeders):
            clusters.append([cluster_of(p) for _ in columns])
            for d, cluster in enumerate(clusters[q]):
                add_unit(m, platform, f"cluster_{q}_{d}", cluster)
                for name in (*A_OPERANDS, *FLAGS):
                    if d:
                        source = getattr(clusters[q][d - 1], f"{name}_next")
                    else:
                        source = getattr(row, "a_step" if name == "step" else name)
                    m.d.comb += getattr(cluster, name).eq(source)
                for name in W_OPERANDS:
                    source = getattr(clusters[q - 1][d], f"{name}_next") if q else getattr(columns[d], name)
                    m.d.comb += getattr(cluster, name).eq(source)
        for q, row_of_clusters in enumerate(clusters):
            if (q + 1) % segment_rows:
                for cluster, below in zip(row_of_clusters, clusters[q + 1], strict=True):
                    m.d.comb += cluster.c.eq(below.c_next)

        commit: Value = Const(0, 1)
        for segment in range(p.chains // height):
            top = segment * segment_rows
            add_unit(m, platform, f"writer_{segment}", writer := SegmentWriter(p))
            m.d.comb += writer.end.eq(feeders[top].end)
            control = writer.control
            for d, cluster in enumerate(clusters[top]):
                add_unit(m, platform, f"lane_{segment}_{d}", lane := ResultLane(p))
                m.d.comb += [
                    lane.c.eq(cluster.c_next),
                    lane.control.eq(control),
                    lane.read.eq(self.read),
                    lane.read_address.eq(self.read_address),
                ]
                for v in range(height):
                    for h in range(width):
                        word = lane.words.word_select(v * width + h, FP32_BITS)
                        m.d.comb += self.words[(segment * height + v) * p.columns + d * width + h].eq(word)
                control = lane.control_next
            commit = control.write
        m.d.comb += self.commit.eq(commit)
        return m
