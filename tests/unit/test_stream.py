"""The pipeline stage: order, rules, latency and throughput."""

import random

import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from mixdit_hw.stream import StreamRegister
from tests.support.streams import CROSSED, Bench, Sink, Source, assert_full_rate, latency

ITEMS = [random.Random(1).randrange(1 << 12) for _ in range(200)]


class Chain(wiring.Component):
    """Stages in a row."""

    def __init__(self, count: int) -> None:
        signature = stream.Signature(12)
        super().__init__({"i": In(signature), "o": Out(signature)})
        self.count = count

    def elaborate(self, platform) -> Module:
        m = Module()
        last = wiring.flipped(self.i)
        for k in range(self.count):
            m.submodules[f"stage{k}"] = stage = StreamRegister(12)
            wiring.connect(m, last, stage.i)
            last = stage.o
        wiring.connect(m, last, wiring.flipped(self.o))
        return m


@pytest.fixture(scope="module")
def chain() -> tuple[Chain, Bench]:
    dut = Chain(3)
    return dut, Bench(dut)


@pytest.mark.parametrize(("idle", "back"), CROSSED)
def test_items_pass_in_order(chain, idle, back):
    dut, bench = chain
    sink = Sink(dut.o, len(ITEMS), backpressure=back, seed=2)
    bench.run(Source(dut.i, ITEMS, idle=idle, seed=3), sink)
    assert sink.items == ITEMS


def test_full_rate_and_latency(chain):
    dut, bench = chain
    source, sink = Source(dut.i, ITEMS), Sink(dut.o, len(ITEMS))
    bench.run(source, sink)
    assert latency(source, sink) == 3
    assert_full_rate(source, sink)


def test_stalled_chain_fills_up_and_leaves_without_gaps(chain):
    dut, bench = chain
    source, sink = Source(dut.i, ITEMS[:20], idle="001"), Sink(dut.o, 20, backpressure="0" * 30 + "1" * 34)
    bench.run(source, sink)
    assert source.cycles[:3] == [2, 5, 8]  # three items enter while nothing leaves, with gaps between them
    assert source.cycles[3] == 30  # the fourth in the cycle in which the first leaves
    assert sink.cycles[:4] == [30, 31, 32, 33]


def test_latency_property():
    dut = StreamRegister(12)
    source, sink = Source(dut.i, ITEMS), Sink(dut.o, len(ITEMS))
    Bench(dut).run(source, sink)
    assert latency(source, sink) == dut.latency
