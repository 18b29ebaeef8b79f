"""The output stage, as emitted Verilog: all bytes that it writes against the golden model, and how long it takes."""

from collections.abc import Callable
from functools import cache

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from mixdit_hw.bus.layouts import JobLayout, PieceLayout
from mixdit_hw.emit.verilog import build_design
from mixdit_hw.job import Data
from mixdit_hw.params import Params
from mixdit_hw.unit import add_unit
from mixdit_hw.vector.output import OutputStage
from tests.support.emitted import EmittedUnit
from tests.support.errors import raises_exactly
from tests.support.results import COLUMN, NONE, TENSOR, Results, random_results
from tests.support.simulation import need_engine

ENGINE = "icarus"  # compiles at once, where Verilator takes longer than all runs
DESIGNS = {
    "odd": Params(rows=3, columns=5, interleave=5, drain=3),
    "narrow": Params(rows=1, columns=1, formats=("mx6", "mx4"), rounding="truncate"),
    "low": Params(rows=2, columns=4, drain=2, a_slots=3, rounding="runtime", subnormals="exact", address_bits=33),
    "even": Params(
        rows=4, columns=6, drain=2, interleave=8, loop_latency=8, a_slots=4, a_depth=32, nonfinite="saturate"
    ),
    "wide": Params(rows=2, columns=16, address_bits=64),
    "long": Params(rows=1, columns=32, formats=("mx9",), interleave=6),
}
Build = Callable[[Params], EmittedUnit]


class Jobs(wiring.Component):
    """The output stage with streams of jobs and of what came of them."""

    unit_name = "jobs"
    unit_key: tuple = ()

    def __init__(self, params: Params) -> None:
        self._params = params
        members = OutputStage(params).signature.members
        self._streams = {name: members[name] for name in ("tile", "c", "run", "item", "piece")}
        counts = data.StructLayout({"cycles": 32, "pieces": 32})  # from a job's start to its end
        super().__init__(
            self._streams | {"job": In(stream.Signature(JobLayout(params))), "told": Out(stream.Signature(counts))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        add_unit(m, platform, "stage", stage := OutputStage(self._params))
        busy, start, job, counts = Signal(), Signal(), Signal(JobLayout(self._params)), self.told.payload
        for name, member in self._streams.items():
            ends = wiring.flipped(getattr(self, name)), getattr(stage, name)
            if name not in ("tile", "item"):
                wiring.connect(m, *(ends if member.flow is In else reversed(ends)))
        tiles, runs = Signal(), Signal(2)  # there are tiles of this job to come; runs that were asked for
        for name, gate in (("tile", tiles), ("item", runs.any())):
            outside, inside = getattr(self, name), getattr(stage, name)
            m.d.comb += [
                inside.valid.eq(outside.valid & gate),
                inside.payload.eq(outside.payload),
                outside.ready.eq(inside.ready & gate),
            ]
        with m.If(start):
            m.d.sync += tiles.eq(1)
        with m.Elif(self.tile.valid & self.tile.ready & self.tile.payload.final):
            m.d.sync += tiles.eq(0)
        read = self.item.valid & self.item.ready & self.item.payload.last
        m.d.sync += runs.eq(runs + (self.run.valid & self.run.ready) - read)
        m.d.comb += [self.job.ready.eq(~busy & ~self.told.valid), stage.start.eq(start), stage.job.eq(job)]
        m.d.sync += start.eq(0)
        with m.If(busy):
            m.d.sync += counts.cycles.eq(counts.cycles + 1)
        with m.If(self.piece.valid & self.piece.ready):
            m.d.sync += counts.pieces.eq(counts.pieces + 1)
        with m.If(self.job.valid & self.job.ready):
            m.d.sync += [busy.eq(1), start.eq(1), job.eq(self.job.payload), counts.cycles.eq(0), counts.pieces.eq(0)]
        with m.If(stage.done):
            m.d.sync += [busy.eq(0), self.told.valid.eq(1)]
        with m.If(self.told.valid & self.told.ready):
            m.d.sync += self.told.valid.eq(0)
        return m


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Compiles the output stage of a design, once."""

    @cache
    def compiled(params: Params) -> EmittedUnit:
        need_engine(ENGINE)
        return EmittedUnit(ENGINE, build_design(Jobs(params)), tmp_path_factory.mktemp("output"))

    return compiled


def check(build: Build, jobs: list[Results], idle: int = 0, stall: int = 0, seed: int = 1) -> list[int]:
    """Run jobs one after the other without a reset, compare what they read and wrote, and return their cycles."""
    params = jobs[0].params
    inputs = {
        "job": [job.job() for job in jobs],
        "tile": [bits for job in jobs for bits in job.tile_bits()],
        "c": [bits for job in jobs for bits in job.beats()],
        "item": [bits for job in jobs for bits in job.items()],
    }
    runs = [bits for job in jobs for bits in job.runs()]
    counts = [job.m * len(job.blocks) for job in jobs]
    results = {"run": len(runs), "piece": sum(counts), "told": len(jobs)}
    got = build(params).play(inputs, results, idle=idle, stall=stall, seed=seed).beats
    assert got["run"] == runs
    assert [bits >> 32 for bits in got["told"]] == counts
    pieces = [PieceLayout(params).from_bits(bits) for bits in got["piece"]]
    written = [(piece.address, piece.data.to_bytes(64, "little")[: piece.bytes]) for piece in pieces]
    for job, count in zip(jobs, counts, strict=True):
        job.check(written[:count])
        del written[:count]
    return [bits & 0xFFFFFFFF for bits in got["told"]]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("design", DESIGNS)
def test_random_jobs(design: str, seed: int, build: Build) -> None:
    """Without stalls, with some and with many; jobs follow each other without a reset."""
    for k, (idle, stall) in enumerate([(0, 0), (96, 32), (32, 160)]):
        jobs = [random_results(DESIGNS[design], 100 * seed + 10 * k + i, 8) for i in range(4)]
        check(build, jobs, idle, stall, seed)
