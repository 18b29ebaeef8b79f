"""A queue in block memory: order, rate, latency and room."""

import random

import pytest

from mixdit_hw.bus.queue import StreamQueue
from tests.support.streams import CROSSED, Bench, Sink, Source, assert_full_rate, latency


@pytest.mark.parametrize("depth", [2, 4, 32])
def test_order(depth):
    dut = StreamQueue(12, depth)
    bench = Bench(dut)
    for seed, (idle, back) in enumerate(CROSSED):
        items = [random.Random(seed).randrange(1 << 12) for _ in range(200)]
        source, sink = Source(dut.i, items, idle, seed), Sink(dut.o, len(items), back, seed)
        bench.run(source, sink)
        assert sink.items == items


def test_rate_and_latency():
    dut = StreamQueue(8, 4)
    source, sink = Source(dut.i, list(range(100))), Sink(dut.o, 100)
    Bench(dut).run(source, sink)
    assert_full_rate(source, sink)
    assert latency(source, sink) == StreamQueue.latency


@pytest.mark.parametrize("depth", [2, 16])
def test_room(depth):
    """So many items and one more are taken before the first leaves."""
    dut = StreamQueue(8, depth)
    source = Source(dut.i, list(range(40)))
    sink = Sink(dut.o, 40, backpressure="0" * 99 + "1")
    Bench(dut).run(source, sink, timeout=8000)
    assert sum(cycle < sink.cycles[0] for cycle in source.cycles) == depth + 1


@pytest.mark.parametrize("depth", [0, 1, 3, 12])
def test_depth(depth):
    with pytest.raises(ValueError, match=rf"^depth must be a power of two of at least 2, not {depth}$"):
        StreamQueue(8, depth)
