"""Slow streams and memories: the closed form against a walk through all blocks, and bytes counted tile by tile."""

import math
from dataclasses import replace

import pytest

from mixdit_hw.params import Params
from mixdit_hw.perf.core import core_cost
from mixdit_hw.perf.memory import CAUSES, Memory, Traffic, memory_cost, traffic
from mixdit_hw.presets import PRESETS
from mixdit_hw.workloads import Gemm, Mix, Segment
from tests.support.errors import raises_exactly

LINEAR = Gemm(name="fc2", layer="fc2", m=512, n=128, k=2304, segments=Mix(outliers="5%").linear(2304))
HEAD = Gemm(name="qk", layer="qk", m=256, n=256, k=72, segments=(Segment(a="mx6", w="mx6", k=72),), count=4)


def walk(params: Params, gemm: Gemm, memory: Memory) -> float:
    """Cycles until the last result has left, block by block, with queues of the design's depth between streams and
    array; results of a tile leave from its end on, and a tile ends only when the memories have room for it.
    """
    t = params.interleave
    tiles = gemm.count * -(-gemm.m // params.tile_rows) * -(-gemm.n // params.columns)
    ends: list[float] = []
    a = w = now = taken = 0.0
    left: list[float] = []  # when the results of each tile have left
    room = params.c_depth // params.tile_beats
    for tile in range(tiles):
        for index, passes in enumerate(gemm.passes):
            block = tile * gemm.blocks + index
            a_depth, w_depth = params.a_depth // t, params.w_depth
            a = max(a, ends[block - a_depth] if block >= a_depth else 0) + t * memory.a
            w = max(w, ends[block - w_depth] if block >= w_depth else 0) + memory.w
            start = t * math.ceil(max(now, a, w) / t)
            if index == gemm.blocks - 1 and tile >= room:
                start = max(start, t * math.ceil(left[tile - room] / t))
            now = start + t * passes
            ends.append(now)
        taken = max(taken, now) + params.tile_beats * memory.c
        left.append(taken)
    return taken


@pytest.mark.parametrize("gemm", [LINEAR, replace(HEAD, count=32)], ids=lambda g: g.name)
@pytest.mark.parametrize("preset", ["small", "edge"])
@pytest.mark.parametrize(
    "streams",
    [(1, 1, 1), (1.1, 1, 1), (1.5, 1, 1), (3, 1, 1), (1, 5, 1), (1, 4.5, 1), (1.2, 5.5, 1), (1, 1, 2), (1.25, 1, 9)],
    ids=str,
)
def test_slow_streams(gemm: Gemm, preset: str, streams: tuple[float, float, float]) -> None:
    """Within 1 % of the walk, beside what the pipeline takes."""
    params = PRESETS[preset].replace(drain=PRESETS[preset].rows // 2, a_depth=64, w_depth=16, c_depth=256)
    memory = Memory(a=streams[0], w=streams[1], c=streams[2])
    cost = memory_cost(params, gemm, memory)
    pipeline = core_cost(params, m=1, n=1, passes=(1,)).cycles - params.interleave - params.tile_beats
    assert cost.cycles - pipeline == pytest.approx(walk(params, gemm, memory), rel=0.01)


def test_a_full_queue_loses_the_streams_lead() -> None:
    """In a cluster of slow blocks a stream that is nearly fast enough gets ahead only by what its queue holds."""
    params = PRESETS["small"].replace(a_depth=32)
    memory = Memory(a=1.1)
    cost = memory_cost(params, LINEAR, memory)
    tiles = 32 * 32
    blocks, outliers = 144 + 8, 8
    assert LINEAR.blocks == blocks
    array, stream = 4 * (blocks + outliers), 4.4 * blocks
    lost = outliers * (8 - 4.4) - min(outliers * (8 - 4.4), 7 * 4.4)
    assert cost.cycles - cost.start == math.ceil(tiles * max(array, stream + lost))
    assert cost.waits["a"] == cost.cycles - cost.start - tiles * array


def test_parts_make_up_the_cycles() -> None:
    for memory in (Memory(), Memory(a=2), Memory(w=9.5), Memory(c=7), Memory(bandwidth=3, latency=100)):
        for gemm in (LINEAR, HEAD):
            cost = memory_cost(PRESETS["base"], gemm, memory)
            assert tuple(cost.waits) == CAUSES
            assert cost.core.passes * PRESETS["base"].interleave + sum(cost.waits.values()) + cost.start == cost.cycles


def test_an_ideal_memory_is_the_core_alone() -> None:
    core = core_cost(PRESETS["base"], m=256, n=256, passes=(1,) * 5, instances=4)
    cost = memory_cost(PRESETS["base"], HEAD, Memory())
    assert (cost.core, cost.cycles) == (core, core.cycles)
    assert cost.waits == {cause: PRESETS["base"].interleave * getattr(core, f"wait_{cause}") for cause in CAUSES}


def test_bandwidth() -> None:
    """All bytes at so many a cycle; what is lost is shared by bytes."""
    ideal = memory_cost(PRESETS["base"], HEAD, Memory())
    slow = memory_cost(PRESETS["base"], HEAD, Memory(bandwidth=2, latency=50))
    assert slow.start == ideal.start + 50
    assert slow.cycles == slow.start + math.ceil(4 * slow.traffic.total / 2)
    assert slow.waits["result"] > slow.waits["a"] == slow.waits["w"] > 0


def test_traffic() -> None:
    """Tiles of 64 x 16: A of 8 panels of 64 rows, W of 8 panels of 16 columns."""
    params = Params(rows=16, columns=16)
    a, w = LINEAR.a_bytes, LINEAR.w_bytes
    c = 512 * 128 * 4

    def moved(buffer: int) -> Traffic:
        return traffic(params, LINEAR, buffer)

    assert moved(0) == Traffic(order="none", a=8 * a, w=8 * w, c=c)
    assert moved(w) == Traffic(order="w", a=a, w=w, c=c)
    assert moved(w - 1) == Traffic(order="w", a=a * 3, w=w, c=c)  # 3 panels and the next ones, of 8
    assert moved(2 * w // 8) == Traffic(order="w", a=8 * a, w=w, c=c)
    assert moved(2 * w // 8 - 1).order == "none"
    long = replace(LINEAR, m=64, n=2048)
    assert traffic(params, long, long.a_bytes) == Traffic(order="a", a=long.a_bytes, w=long.w_bytes, c=64 * 2048 * 4)


def test_parse() -> None:
    assert Memory.parse("bandwidth=64,latency=200") == Memory(bandwidth=64, latency=200)
    assert Memory.parse("a=1.5,w=2,c=1,buffer=0") == Memory(a=1.5, w=2, buffer=0)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("64", "must be bandwidth=, latency=, buffer=, a=, w=, c= with numbers, separated by commas, not '64'"),
        (
            "speed=1",
            "must be bandwidth=, latency=, buffer=, a=, w=, c= with numbers, separated by commas, not 'speed=1'",
        ),
        ("latency=1.5", "latency must be an integer, not '1.5'"),
        ("bandwidth=x", "bandwidth must be a number, not 'x'"),
        ("bandwidth=0", "bandwidth must be more than 0 bytes per cycle, not 0.0"),
        ("bandwidth=nan", "bandwidth must be more than 0 bytes per cycle, not nan"),
        ("latency=-1", "latency must be an integer from 0 to 2^50 - 1, not -1"),
        ("a=0.5", "a must be 1 to 1000000 cycles per beat, not 0.5"),
        ("c=nan", "c must be 1 to 1000000 cycles per beat, not nan"),
    ],
)
def test_errors(text: str, error: str) -> None:
    with raises_exactly(ValueError, error):
        Memory.parse(text)
