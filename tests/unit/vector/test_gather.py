"""Blocks gathered from tiles, word for word, and how long that takes."""

from functools import cache

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden.formats import get_format
from mixdit_hw.bus.layouts import JobLayout, TileLayout
from mixdit_hw.job import Data
from mixdit_hw.params import Params
from mixdit_hw.vector.gather import Gatherer, ResultBlockLayout
from tests.support.results import Results, random_results
from tests.support.streams import Bench, Sink, Source, assert_full_rate, latency

DESIGNS = [
    Params(rows=1, columns=1),
    Params(rows=2, columns=3, interleave=5, drain=2, a_slots=4),
    Params(rows=4, columns=2, drain=2, a_slots=3),
    Params(rows=1, columns=24),
    Params(rows=1, columns=16, a_slots=3, address_bits=48),
]


class Started(wiring.Component):
    """The gatherer with a job that begins in the first cycle."""

    def __init__(self, params: Params) -> None:
        self._params = params
        super().__init__(
            {
                "job": In(JobLayout(params)),
                "tile": In(stream.Signature(TileLayout())),
                "group": In(stream.Signature(data.ArrayLayout(32, params.store_lanes))),
                "o": Out(stream.Signature(ResultBlockLayout(params))),
                "end": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.gatherer = gatherer = Gatherer(self._params)
        started = Signal()
        m.d.sync += started.eq(1)
        m.d.comb += [
            gatherer.job.eq(self.job),
            gatherer.start.eq(~started),
            gatherer.tile.valid.eq(self.tile.valid & started),
            gatherer.tile.payload.eq(self.tile.payload),
            self.tile.ready.eq(gatherer.tile.ready & started),
            self.end.eq(gatherer.end),
        ]
        wiring.connect(m, wiring.flipped(self.group), gatherer.group)
        wiring.connect(m, gatherer.o, wiring.flipped(self.o))
        return m


@cache
def _bench(params: Params) -> tuple[Started, Bench]:
    dut = Started(params)
    return dut, Bench(dut)


def check(job: Results, idle: str = "always", back: str = "always", seed: int = 0) -> tuple[Source, Sink]:
    params = job.params
    dut, bench = _bench(params)
    groups = np.concatenate([tile.reshape(-1, params.store_lanes) for tile in job.tile_words()])
    want = {}
    for r, row in enumerate(job.acc.view(np.uint32)):
        address = job.address + r * job.stride
        for start, length, fmt in job.blocks:
            words = row[start : start + length].tolist()
            size = (
                length * {Data.FP32: 4, Data.BF16: 2}[job.c_type]
                if job.c_type != Data.MX
                else get_format(fmt).block_bytes
            )
            want[address] = (words + [0] * (16 - length), size)
            address += size
    group = Source(dut.group, [int.from_bytes(words.tobytes(), "little") for words in groups], idle=idle, seed=seed)
    out = Sink(dut.o, len(want), backpressure=back, seed=seed + 1)
    tiles = Source(dut.tile, job.tile_bits(), idle=idle, seed=seed + 2)
    bench.run(tiles, group, out, pins=[(dut.job.as_value(), job.job())], watch=[dut.end], timeout=5000)
    assert {block.address: ([word for word in block.words], block.bytes) for block in out.payloads()} == want
    assert sum(end for (end,) in bench.watched) == 1
    return group, out


@pytest.mark.parametrize(("idle", "back"), [("always", "always"), ("random", "bursts"), ("bursts", "random")])
@pytest.mark.parametrize(("params", "seed"), [(params, k) for k, params in enumerate(DESIGNS)])
def test_random_jobs(params: Params, seed: int, idle: str, back: str) -> None:
    for k in range(3):
        check(random_results(params, 100 * seed + k, 6 if params.columns > 1 else 20), idle, back, seed)


def test_latency_and_rate() -> None:
    """A group and a block in every cycle, also where heads shift the blocks against the tiles."""
    params = DESIGNS[-1]
    group, out = check(Results(params=params, m=8, n=48, group=2))
    assert latency(group, out) == Gatherer.latency
    assert_full_rate(group, out)
    # A row's four heads are two blocks each, of 16 and of 8 columns.
    group, out = check(Results(params=params, m=4, n=96, c_type=Data.MX, split=96, head=24))
    assert group.cycles[-1] - group.cycles[0] + 1 == 4 * 8
    assert_full_rate(out)
