"""The order of a job's tiles."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.layouts import SIZE_BITS, JobLayout, TileLayout
from ..params import Params


class TilePlan(wiring.Component):
    """Walk through the tiles of a job: groups of panels of A, in each the tiles of W, for each of them the panels.

    So a group's panels stay on chip while W passes by once, and a tile of W is read once for all of them:

        for each group of job.group panels (of R*T rows; the last group may have fewer):
            for each C columns:
                for each panel of the group: a tile

    Latency: 1 cycle from ``start`` to the first tile (``latency``). Throughput: one tile per cycle.

    Parameters
    ----------
    params
        Of the design.

    Members
    -------
    job : In(JobLayout)
        The job; m, n and group count here.
    start : In(1)
        Begin.
    tile : Out(stream of TileLayout)
        Its tiles.
    """

    unit_name = "tile_plan"
    latency = 1

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__({"job": In(JobLayout(params)), "start": In(1), "tile": Out(stream.Signature(TileLayout()))})

    @property
    def unit_key(self) -> tuple:
        p = self._params
        return ("rows", p.tile_rows), ("columns", p.columns), ("address", p.address_bits)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        high, wide = self._params.tile_rows, self._params.columns
        tile = self.tile.payload
        of_group, of_panel = Signal(SIZE_BITS), Signal(SIZE_BITS)  # rows from the group's, the panel's first one on
        of_tile = Signal(SIZE_BITS)  # columns from the tile's first one on
        below = Signal(SIZE_BITS)
        bottom, right = Signal(), Signal()
        m.d.comb += [
            bottom.eq(of_panel <= high),
            right.eq(of_tile <= wide),
            below.eq(of_panel - high),
            tile.rows.eq(Mux(bottom, of_panel, high)),
            tile.columns.eq(Mux(right, of_tile, wide)),
            tile.last.eq(right),
            tile.turn.eq(bottom | (tile.panel + 1 == self.job.group)),
            tile.final.eq(bottom & right),
        ]
        with m.If(self.start):
            m.d.sync += [
                self.tile.valid.eq(1),
                tile.panel.eq(0),
                tile.first.eq(1),
                of_group.eq(self.job.m),
                of_panel.eq(self.job.m),
                of_tile.eq(self.job.n),
            ]
        with m.Elif(self.tile.valid & self.tile.ready):
            with m.If(~tile.turn):
                m.d.sync += [tile.panel.eq(tile.panel + 1), of_panel.eq(below)]
            with m.Else():
                m.d.sync += tile.panel.eq(0)
                with m.If(~right):
                    m.d.sync += [tile.first.eq(0), of_tile.eq(of_tile - wide), of_panel.eq(of_group)]
                with m.Elif(~bottom):
                    m.d.sync += [tile.first.eq(1), of_tile.eq(self.job.n), of_group.eq(below), of_panel.eq(below)]
                with m.Else():
                    m.d.sync += self.tile.valid.eq(0)
        return m
