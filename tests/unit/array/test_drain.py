"""Segment writer, result lane and result reader, each by itself."""

import random
from itertools import islice

import pytest

from mixdit_hw.array.drain import LaneControlLayout, ResultLane, ResultReader, SegmentWriter
from mixdit_hw.params import Params
from mixdit_hw.shapes import FP32_BITS
from tests.support.blocks import join
from tests.support.clocked import Clocked
from tests.support.streams import pattern, to_bits

SMALL = Params(rows=2, columns=2, share_rows=1, a_depth=16, c_depth=16)
SHARED = SMALL.replace(rows=4, share_rows=4, share_columns=1)


@pytest.mark.parametrize(
    "params",
    [
        SMALL,
        SMALL.replace(rows=4, drain=4, c_depth=4),
        SMALL.replace(rows=3, interleave=5, a_depth=32),
        SHARED.replace(drain=2, c_depth=32),
    ],
    ids=["8-of-16", "4-of-4", "15-of-16", "4-of-16-shared"],
)
def test_writer(params):
    """From each ``end`` a tile's writes in a row, one cycle later, to addresses that go round; also back to back."""
    entries, depth = params.lane_tile, params.lane_depth
    starts, now = [], 3
    for distance in (0, 0, 1, 0, 7, 2 * entries, 0):  # beyond a tile
        now += entries + distance
        starts.append(now)
    ends = {start + t for start in starts for t in range(params.interleave)}
    rows = [{"end": int(cycle in ends)} for cycle in range(now + entries + 4)]
    out = Clocked(SegmentWriter(params)).run(rows, ["control.write", "control.address"])
    written = [start + SegmentWriter.latency + i for start in starts for i in range(entries)]
    assert [cycle for cycle, write in enumerate(out["control.write"]) if write] == written
    assert [out["control.address"][cycle] for cycle in written] == [i % depth for i in range(len(written))]


def test_writer_reset():
    """A reset ends a tile's writes and begins again at address 0."""
    rows = [{"end": 1}] * 4 + [{"rst": 1}, {}, {}, {"end": 1}]
    out = Clocked(SegmentWriter(SMALL)).run(rows, ["control.write", "control.address"], tail=10)
    assert out["control.write"] == [0, 1, 1, 1, 1, 0, 0, 0] + [1] * 8 + [0, 0]
    assert out["control.address"][8:16] == list(range(8))


@pytest.mark.parametrize(
    "params", [SMALL.replace(share_columns=1), SHARED, SHARED.replace(share_columns=2)], ids=["1x1", "4x1", "4x2"]
)
def test_lane(params):
    """``c`` is written a cycle after its control; its words come a cycle after ``read`` and then stay."""
    rng = random.Random(1)
    depth, width = params.lane_depth, params.cluster_rows * params.cluster_columns * FP32_BITS
    control = LaneControlLayout(depth)
    memory: dict[int, int] = {}
    rows: list[dict[str, int]] = []
    words, nexts, word, pending = [], [0], 0, None
    for _ in range(300):
        c, read, address = rng.randrange(1 << width), rng.randrange(2), rng.randrange(depth)
        command = {"write": rng.randrange(2), "address": rng.randrange(depth)}
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
    out = Clocked(ResultLane(params)).run(rows, ["words", "control_next"])
    assert out["words"] == words
    assert out["control_next"] == nexts[:-1]


def test_lane_latency():
    """Cycles from a control to the write, as the first cycle whose ``c`` is kept, and from ``read`` to its words."""
    control = to_bits(LaneControlLayout(SMALL.lane_depth), {"write": 1, "address": 3})
    rows = [{"control": control * (cycle == 0), "c": 100 + cycle} for cycle in range(5)]
    rows.append({"read": 1, "read_address": 3})
    out = Clocked(ResultLane(SMALL)).run(rows, ["words"], tail=4)["words"]
    assert out == [0] * (5 + ResultLane.latency) + [100 + ResultLane.latency] * (5 - ResultLane.latency)


def word(tile: int, row: int, column: int) -> int:
    return tile << 20 | row << 8 | column


def read_out(params: Params, wishes: list[int], ready: list[int]) -> tuple[list[int], list[int], list[int], list[int]]:
    """Play lanes that tiles are written to, and the sequencer's account of their space, around a reader.

    A tile is admitted in the cycle of a wish, once there is room for all of its entries, and then committed entry by
    entry, in each cycle of a wish. Checks that no entry is written that holds a word yet to be read, that nothing is
    read before it is there, and that a valid beat stays as it is until it is taken.

    Returns
    -------
    Cycles of the commits, of ``freed``, and of the beats' transfers; the beats.
    """
    bench = Clocked(ResultReader(params))
    turns, entries, depth = params.chains // params.drain, params.lane_tile, params.lane_depth
    rows_of_chain = params.tile_rows // params.chains
    commits: list[int] = []

    def rows():
        lanes: list[tuple[int, int]] = [(0, 0)] * depth  # tile and place of what each entry holds
        unread = [0] * depth  # reads that it is still to get
        space, words, reads, left = depth, 0, 0, 0
        for cycle, (wish, is_ready) in enumerate(zip(wishes, ready, strict=True)):
            if wish and not left and space >= entries:
                left, space = entries, space - entries
            commit = int(bool(wish and left))
            if commit:  # the lanes write in this cycle
                tile, place = divmod(len(commits), entries)
                at = len(commits) % depth
                assert not unread[at], f"entry {at} is overwritten in cycle {cycle}"
                lanes[at], unread[at], left = (tile, place), turns, left - 1
                commits.append(cycle)
            yield {"commit": commit, "c.ready": is_ready, "words": words}
            space += bench.outputs["freed"][cycle]
            if bench.outputs["read"][cycle]:
                at = bench.outputs["read_address"][cycle]
                tile, rest = divmod(reads, turns * entries)
                turn, index = divmod(rest, entries)
                written = tile * entries + index
                assert at == written % depth
                assert written < len(commits) - commit, "read before it was committed"
                assert lanes[at] == (tile, index)
                assert bench.outputs["freed"][cycle] == (turn == turns - 1)
                unread[at] -= 1
                reads += 1
                words = join(
                    (
                        word(tile, s * rows_of_chain + index, c)
                        for s in range(params.chains)
                        for c in range(params.columns)
                    ),
                    FP32_BITS,
                )
            else:
                assert not bench.outputs["freed"][cycle]

    out = bench.run(rows(), ["read", "read_address", "freed", "c.valid", "c.payload"])
    for cycle in range(1, len(ready)):
        if out["c.valid"][cycle - 1] and not ready[cycle - 1]:
            assert out["c.valid"][cycle]
            assert out["c.payload"][cycle] == out["c.payload"][cycle - 1]
    cycles = [cycle for cycle, valid in enumerate(out["c.valid"]) if valid and ready[cycle]]
    freed = [cycle for cycle, free in enumerate(out["freed"]) if free]
    return commits, freed, cycles, [out["c.payload"][cycle] for cycle in cycles]


def check_beats(params: Params, beats: list[int]) -> None:
    """Each beat has its rows of the tile in their order."""
    for n, beat in enumerate(beats):
        tile, i = divmod(n, params.tile_beats)
        rows = (g * params.tile_beats + i for g in range(params.drain))
        words = join((word(tile, row, c) for row in rows for c in range(params.columns)), FP32_BITS)
        last = int(i == params.tile_beats - 1)
        assert beat == words | last << params.drain * params.columns * FP32_BITS


READERS = {
    "1-chain": SMALL,
    "3-of-3": SMALL.replace(rows=3, drain=3, c_depth=4),
    "1-of-2": SMALL.replace(share_rows=2, c_depth=8),
    "1-of-4-two-tiles": SHARED.replace(c_depth=32),
    "2-of-4-one-tile": SHARED.replace(drain=2, c_depth=8),
    "3-of-6-two-tiles": SMALL.replace(rows=6, columns=1, share_rows=2, drain=3),
    "1-of-2-odd": SMALL.replace(rows=6, columns=1, share_rows=2, c_depth=32),
    "3-of-12-T5-odd": SMALL.replace(rows=12, columns=1, share_rows=4, drain=3, interleave=5, a_depth=32, c_depth=32),
}
readers = pytest.mark.parametrize("params", READERS.values(), ids=list(READERS))


@readers
def test_reader_full_rate(params):
    """A tile's first beats leave 2 cycles after their commits, and from there on one in each cycle."""
    beats, entries = params.tile_beats, params.lane_tile
    wishes = [0, 1] + [0] * 5 + [1] * (2 * beats + 20) + [0] * (2 * beats)
    commits, freed, cycles, got = read_out(params, wishes, [1] * len(wishes))
    check_beats(params, got)
    expected: list[int] = []
    for i in range(len(commits)):
        if i % entries == entries - 1:  # a tile is complete
            for n in range(beats):
                there = commits[i - entries + 1 + n] if n < entries else 0
                expected.append(max(there + ResultReader.latency, expected[-1] + 1 if expected else 0))
    assert len(expected) >= 2 * beats
    assert cycles[: len(expected)] == expected
    # An entry is free as its last word goes out of the lanes.
    tiles = len(expected) // beats
    last = [n * beats + beats - entries + i for n in range(tiles) for i in range(entries)]
    assert freed[: tiles * entries] == [expected[n] - 1 for n in last]


@readers
@pytest.mark.parametrize("backpressure", ["random", "rarely", "bursts"])
def test_reader_under_backpressure(params, backpressure):
    """Tiles whenever there is room: nothing lost, nothing twice, in order, and the lanes get full and empty."""
    busy, drained = 600, 300
    ready = list(map(int, islice(pattern(backpressure, 3), busy))) + [1] * drained
    wishes = list(map(int, islice(pattern("bursts", 4), busy))) + [0] * drained
    commits, freed, cycles, beats = read_out(params, wishes, ready)
    check_beats(params, beats)
    tiles = len(commits) // params.lane_tile
    assert tiles > 2
    assert len(commits) < sum(wishes)
    assert len(freed) == tiles * params.lane_tile + (len(commits) % params.lane_tile) * (params.chains == params.drain)
    assert len(cycles) >= tiles * params.tile_beats


def test_entry_is_kept_for_the_later_chains():
    """With room for two tiles the third waits until the first has been read from all chains, not from the first one."""
    params = SHARED.replace(c_depth=32)  # tiles of 4 entries, 4 chains one after the other, 8 entries
    assert (params.lane_depth, params.lane_tile, params.chains) == (8, 4, 4)
    commits, freed, cycles, beats = read_out(params, [1] * 80, [1] * 80)
    check_beats(params, beats)
    assert commits[:8] == list(range(8))
    # The first tile's entries are free with its last four beats, and only then the third tile comes.
    assert cycles[:16] == list(range(2, 18))
    assert freed[:4] == [cycle - 1 for cycle in cycles[12:16]]
    assert commits[8:12] == [freed[3] + 1 + i for i in range(4)]
