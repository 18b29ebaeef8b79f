"""Segment writer, result lane and result reader, each by itself."""

import random
from itertools import islice

import pytest

from mixdit_hw.array.drain import LaneControlLayout, ResultLane, ResultReader, SegmentWriter
from mixdit_hw.params import Params
from mixdit_hw.shapes import FP32_BITS
from tests.support.clocked import Clocked
from tests.support.streams import pattern, to_bits

SMALL = Params(rows=2, columns=2, a_depth=16, c_depth=16)


@pytest.mark.parametrize(
    "params",
    [SMALL, SMALL.replace(rows=4, drain=4, c_depth=4), SMALL.replace(rows=3, interleave=5, a_depth=32)],
    ids=["8-of-16", "4-of-4", "15-of-16"],
)
def test_writer(params):
    """From each ``end`` a tile's writes in a row, one cycle later, to addresses that go round; also back to back."""
    beats, depth = params.tile_beats, params.c_depth
    starts, now = [], 3
    for distance in (0, 0, 1, 0, 7, 2 * beats, 0):  # beyond a tile
        now += beats + distance
        starts.append(now)
    ends = {start + t for start in starts for t in range(params.interleave)}
    rows = [{"end": int(cycle in ends)} for cycle in range(now + beats + 4)]
    out = Clocked(SegmentWriter(params)).run(rows, ["control.write", "control.address"])
    written = [start + SegmentWriter.latency + i for start in starts for i in range(beats)]
    assert [cycle for cycle, write in enumerate(out["control.write"]) if write] == written
    assert [out["control.address"][cycle] for cycle in written] == [i % depth for i in range(len(written))]


def test_writer_reset():
    """A reset ends a tile's writes and begins again at address 0."""
    rows = [{"end": 1}] * 4 + [{"rst": 1}, {}, {}, {"end": 1}]
    out = Clocked(SegmentWriter(SMALL)).run(rows, ["control.write", "control.address"], tail=10)
    assert out["control.write"] == [0, 1, 1, 1, 1, 0, 0, 0] + [1] * 8 + [0, 0]
    assert out["control.address"][8:16] == list(range(8))


def test_lane():
    """``c`` is written a cycle after its control; a word comes a cycle after ``read`` and then stays."""
    rng = random.Random(1)
    control = LaneControlLayout(SMALL.c_depth)
    memory: dict[int, int] = {}
    rows: list[dict[str, int]] = []
    words, nexts, word, pending = [], [0], 0, None
    for _ in range(300):
        c, read, address = rng.randrange(1 << 32), rng.randrange(2), rng.randrange(16)
        command = {"write": rng.randrange(2), "address": rng.randrange(16)}
        if pending == address:
            read = 0  # an entry is never read in the cycle in which it is written
        row = {"c": c, "control": to_bits(control, command), "read": read, "read_address": address}
        words.append(word)
        if read:
            word = memory.get(address, 0)
        if pending is not None:
            memory[pending] = c
        pending = command["address"] if command["write"] else None
        nexts.append(row["control"])
        rows.append(row)
    out = Clocked(ResultLane(SMALL)).run(rows, ["word", "control_next"])
    assert out["word"] == words
    assert out["control_next"] == nexts[:-1]


def test_lane_latency():
    """Cycles from a control to the write, as the first cycle whose ``c`` is kept, and from ``read`` to its word."""
    control = to_bits(LaneControlLayout(SMALL.c_depth), {"write": 1, "address": 3})
    rows = [{"control": control * (cycle == 0), "c": 100 + cycle} for cycle in range(5)]
    rows.append({"read": 1, "read_address": 3})
    out = Clocked(ResultLane(SMALL)).run(rows, ["word"], tail=4)["word"]
    assert out == [0] * (5 + ResultLane.latency) + [100 + ResultLane.latency] * (5 - ResultLane.latency)


def read_out(params: Params, wishes: list[int], ready: list[int]) -> tuple[list[int], list[int], list[int]]:
    """Cycles of the commits, cycles of the beats' transfers and the beats, of a reader before full lanes.

    A commit comes in each cycle of a wish unless the lanes are full; word n of a lane k holds 1000 k + n. Checks that a
    valid beat stays as it is until it is taken, and that nothing is read before it is there.
    """
    bench = Clocked(ResultReader(params))
    lanes = params.drain * params.columns
    commits: list[int] = []

    def rows():
        words = reads = 0
        for cycle, (wish, is_ready) in enumerate(zip(wishes, ready, strict=True)):
            commit = wish and len(commits) - reads < params.c_depth
            yield {"commit": commit, "c.ready": is_ready, "words": words}
            if bench.outputs["read"][cycle]:
                assert bench.outputs["read_address"][cycle] == reads % params.c_depth
                assert reads < len(commits), "read before it was committed"
                words = sum(1000 * k + reads << k * FP32_BITS for k in range(lanes))
                reads += 1
            if commit:
                commits.append(cycle)

    out = bench.run(rows(), ["read", "read_address", "freed", "c.valid", "c.payload"])
    assert out["freed"] == out["read"]
    for cycle in range(1, len(ready)):
        if out["c.valid"][cycle - 1] and not ready[cycle - 1]:
            assert out["c.valid"][cycle]
            assert out["c.payload"][cycle] == out["c.payload"][cycle - 1]
    cycles = [cycle for cycle, valid in enumerate(out["c.valid"]) if valid and ready[cycle]]
    return commits, cycles, [out["c.payload"][cycle] for cycle in cycles]


def check_beats(params: Params, beats: list[int]) -> None:
    lanes = params.drain * params.columns
    for n, beat in enumerate(beats):
        last = int(n % params.tile_beats == params.tile_beats - 1)
        assert beat == sum(1000 * k + n << k * FP32_BITS for k in range(lanes)) | last << lanes * FP32_BITS


def test_reader_full_rate():
    """Beats leave 2 cycles after their commits, one a cycle, as the addresses go round."""
    wishes = [0, 1] + [0] * 5 + [1] * 39 + [0] * 5
    commits, cycles, beats = read_out(SMALL, wishes, [1] * len(wishes))
    assert commits == [cycle for cycle, wish in enumerate(wishes) if wish]
    assert cycles == [cycle + ResultReader.latency for cycle in commits]
    check_beats(SMALL, beats)


@pytest.mark.parametrize("params", [SMALL, SMALL.replace(rows=3, drain=3, c_depth=4)], ids=["drain1", "drain3"])
@pytest.mark.parametrize("backpressure", ["random", "rarely", "bursts"])
def test_reader_under_backpressure(params, backpressure):
    """Commits whenever there is room: nothing lost, nothing twice, in order, and the lanes get full and empty."""
    busy, drained = 400, 200
    ready = list(map(int, islice(pattern(backpressure, 3), busy))) + [1] * drained
    wishes = list(map(int, islice(pattern("bursts", 4), busy))) + [0] * drained
    commits, cycles, beats = read_out(params, wishes, ready)
    assert 40 < len(commits) < sum(wishes)
    assert len(cycles) == len(commits)
    check_beats(params, beats)
