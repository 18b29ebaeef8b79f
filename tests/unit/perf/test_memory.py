"""Slow streams and memories: the model against a walk through all cycles, and bytes counted tile by tile."""

import math
from dataclasses import replace

import pytest

from mixdit_hw.mixes import Mix, Segment
from mixdit_hw.params import Params
from mixdit_hw.perf.core import CAUSES, core_cost
from mixdit_hw.perf.memory import Memory, Traffic, memory_cost, traffic
from mixdit_hw.presets import PRESETS
from mixdit_hw.sim.plan import Pace
from mixdit_hw.workloads import Gemm
from tests.support.errors import raises_exactly
from tests.support.walk import walk

LINEAR = Gemm(name="fc2", layer="fc2", m=512, n=128, k=2304, segments=Mix(outliers="5%").linear(2304))
HEAD = Gemm(name="qk", layer="qk", m=256, n=256, k=72, segments=(Segment(a="mx6", w="mx6", k=72),), count=4)


def near(cycles: float) -> object:
    """Within the 1 % that the model is to keep; exact is what is walked through to the end."""
    return pytest.approx(cycles, rel=0.01)


@pytest.mark.parametrize("gemm", [replace(LINEAR, m=128, n=32), replace(HEAD, count=4)], ids=lambda g: g.name)
@pytest.mark.parametrize("preset", ["small", "edge"])
@pytest.mark.parametrize(
    "streams",
    [(1, 1, 1), (1.125, 1, 1), (1.5, 1, 1), (3, 1, 1), (1, 5, 1), (1, 4.5, 1), (1.25, 5.5, 1), (1, 1, 2), (1.25, 1, 9)],
    ids=str,
)
def test_slow_streams(gemm: Gemm, preset: str, streams: tuple[float, float, float]) -> None:
    """Within 1 % of a walk through all cycles, also where more blocks follow than the model walks through."""
    params = PRESETS[preset].replace(drain=PRESETS[preset].rows // 2, a_depth=64, w_depth=16, c_depth=256)
    a, w, c = streams
    tiles = gemm.count * -(-gemm.m // params.tile_rows) * -(-gemm.n // params.columns)
    found = walk(params, gemm.passes, tiles, Pace(a=a, w=w, c=c))
    assert memory_cost(params, gemm, Memory(a=a, w=w, c=c)).cycles == near(found.cycles)


def test_a_full_queue_loses_the_streams_lead() -> None:
    """In slow blocks a stream that is nearly fast enough gets ahead only by what its queue holds."""
    memory = Memory(a=1.0625)  # 152 blocks of A in 160 passes take 646 cycles of 640
    deep = memory_cost(PRESETS["small"].replace(a_depth=128), LINEAR, memory)
    shallow = memory_cost(PRESETS["small"].replace(a_depth=16), LINEAR, memory)
    assert deep.core == shallow.core
    array, stream = 640 * 32 * 32, 646 * 32 * 32
    assert deep.cycles - deep.start == near(stream)
    assert deep.waits["a"] == deep.cycles - deep.start - array
    # 8 blocks of 2 passes let it get ahead by 30 cycles, but 4 blocks hold less.
    assert stream + 16 * 32 * 32 < shallow.cycles < stream + 30 * 32 * 32
    assert (deep.bound, shallow.bound) == ("engines", "a")


@pytest.mark.parametrize(
    ("memory", "bound"),
    [
        (Memory(a=1.5), "a"),
        (Memory(w=6), "w"),
        (Memory(c=8), "result"),
        (Memory(a=1.5, w=5, c=2), "a"),
        (Memory(a=1.25, w=8, c=2), "w"),
        (Memory(a=1.25, w=5, c=12), "result"),
        (Memory(w=4), "engines"),
        (Memory(w=4, c=5), "engines"),
    ],
    ids=str,
)
def test_the_slowest_stream_bounds(memory: Memory, bound: str) -> None:
    """80 cycles a tile in the array, of 20 blocks and 16 result beats."""
    gemm = Gemm(name="x", layer="x", m=256, n=256, k=320, segments=(Segment(a="mx6", w="mx6", k=320),))
    cost = memory_cost(PRESETS["small"], gemm, memory)
    assert cost.bound == bound
    tile = max(80, 80 * memory.a, 20 * memory.w, 16 * memory.c)
    assert cost.cycles == near(1024 * tile)


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
        ("bandwidth=0", "bandwidth must be 1e-6 to 1e12 bytes per cycle, or inf, not 0.0"),
        ("bandwidth=1e-305", "bandwidth must be 1e-6 to 1e12 bytes per cycle, or inf, not 1e-305"),
        ("a=1,a=2", "a must be given once, not twice"),
        ("bandwidth=nan", "bandwidth must be 1e-6 to 1e12 bytes per cycle, or inf, not nan"),
        ("latency=-1", "latency must be an integer from 0 to 2^50 - 1, not -1"),
        ("a=0.5", "a must be 1 to 1000000 cycles per beat, not 0.5"),
        ("c=nan", "c must be 1 to 1000000 cycles per beat, not nan"),
    ],
)
def test_errors(text: str, error: str) -> None:
    with raises_exactly(ValueError, error):
        Memory.parse(text)
