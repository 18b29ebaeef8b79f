"""The output stage, as emitted Verilog: all bytes that it writes against the golden model, and how long it takes."""

import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from mixdit_hw.bus.layouts import JobLayout, PieceLayout
from mixdit_hw.emit import read_waivers
from mixdit_hw.emit.verilog import build_design
from mixdit_hw.job import Data
from mixdit_hw.params import Params
from mixdit_hw.sim.tools import find_verilator
from mixdit_hw.unit import add_unit
from mixdit_hw.vector.columns import SETS
from mixdit_hw.vector.output import OutputStage
from tests.support.emitted import EmittedUnit
from tests.support.errors import raises_exactly
from tests.support.results import COLUMN, NONE, TENSOR, Results, random_results
from tests.support.simulation import need_engine

ENGINE = "icarus"  # compiles at once, where Verilator takes longer than all runs
DESIGNS = {
    "odd": Params(rows=3, columns=5, interleave=5, drain=3, nonfinite="saturate", address_bits=64),
    "low": Params(
        rows=2, columns=4, drain=2, interleave=8, loop_latency=8, a_depth=32, a_slots=3, address_bits=33,
        rounding="runtime", subnormals="exact",
    ),
    "wide": Params(rows=1, columns=32, formats=("mx6", "mx4")),
}  # fmt: skip
START = 3 + SETS  # cycles from a job's start until its first tile is in work
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
        tiles = Signal()  # there are tiles of this job to come
        runs = Signal(range(2 * SETS + 1))  # that were asked for
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


design_of = cache(lambda params: build_design(Jobs(params)))


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Compiles the output stage of a design, once."""

    @cache
    def compiled(params: Params) -> EmittedUnit:
        need_engine(ENGINE)
        return EmittedUnit(ENGINE, design_of(params), tmp_path_factory.mktemp("output"))

    return compiled


@pytest.mark.parametrize("design", ["odd", "wide"])
def test_lint_is_clean(design: str, tmp_path: Path) -> None:
    need_engine("verilator")
    tools = find_verilator()
    (tmp_path / "x.v").write_text(design_of(DESIGNS[design]).text(DESIGNS[design]))
    (tmp_path / "x.vlt").write_text(read_waivers())
    command = [tools.verilator, "--lint-only", "-Wall", "--quiet", "--top-module", "mixdit_jobs", "x.vlt", "x.v"]
    result = subprocess.run(
        command, cwd=tmp_path, env=tools.environment(), capture_output=True, text=True, check=False, timeout=120
    )
    assert (result.stdout, result.stderr, result.returncode) == ("", "", 0)


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


@pytest.mark.parametrize(
    ("design", "jobs", "tiles", "seed"),
    [("odd", 4, 6, 1), ("low", 4, 5, 2), ("wide", 2, 3, 3)],
)
def test_random_jobs(design: str, jobs: int, tiles: int, seed: int, build: Build) -> None:
    """Without stalls, with some and with many; jobs follow each other without a reset."""
    for k, (idle, stall) in enumerate([(0, 0), (96, 32), (32, 160)]):
        works = [random_results(DESIGNS[design], 100 * seed + 10 * k + i, tiles) for i in range(jobs)]
        check(build, works, idle, stall, seed)


def test_every_kind_of_job(build: Build) -> None:
    """Of the smallest sizes, with heads and a split that meet no tile, and several groups of panels."""
    params = DESIGNS["low"]
    kinds = [
        Results(params=params, m=1, n=1),
        Results(params=params, m=1, n=1, c_type=Data.BF16, modes=(COLUMN, COLUMN), address=0x1002),
        Results(params=params, m=2, n=1, c_type=Data.MX, split=1, head=1, formats=("mx4", "mx9")),
        Results(params=params, m=60, n=19, c_type=Data.MX, split=13, head=6, group=3, modes=(TENSOR, COLUMN)),
        Results(params=params, m=50, n=21, c_type=Data.MX, split=21, head=7, group=2, modes=(COLUMN, NONE)),
        Results(params=params, m=9, n=40, c_type=Data.MX, split=17, formats=("mx9", "mx4"), modes=(NONE, TENSOR)),
        Results(params=params, m=17, n=9, c_type=Data.MX, split=9, head=1, group=2),
    ]
    check(build, kinds)


@pytest.mark.parametrize(
    ("design", "c_type"), [("low", Data.FP32), ("low", Data.MX), ("wide", Data.BF16), ("wide", Data.MX)]
)
def test_rate(design: str, c_type: Data, build: Build) -> None:
    """A tile takes R*T*C/L cycles, with no gap between tiles."""
    params = DESIGNS[design]
    cycles = params.tile_rows * params.columns // params.store_lanes
    split = 3 * params.columns if c_type == Data.MX else 0
    short, long = (
        Results(
            params=params,
            m=params.tile_rows,
            n=k * params.columns,
            c_type=c_type,
            split=split,
            formats=("mx6", "mx4"),
        )
        for k in (4, 6)
    )
    first, second = check(build, [short, long])
    assert second - first == 2 * cycles
    assert first == 4 * cycles + START + OutputStage(params).latency


def test_bad_arguments() -> None:
    with raises_exactly(TypeError, "params must be a Params, not 4"):
        OutputStage(4)  # pyright: ignore[reportArgumentType]
