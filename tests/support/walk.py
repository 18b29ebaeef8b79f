"""A walk through all cycles of a product on the core: its pointers and counts, without its data."""

from collections.abc import Sequence

from mixdit_hw.dot.timing import timing_of
from mixdit_hw.latency import core_latency
from mixdit_hw.params import Params
from mixdit_hw.perf.core import CoreCost
from mixdit_hw.sim.plan import CYCLE, NO_PACE, Pace

COUNTS = ("passes", "wait_a", "wait_w", "wait_result", "wait_drain")


def walk(params: Params, passes: Sequence[int], tiles: int, pace: Pace = NO_PACE) -> CoreCost:
    """The core's counters after so many tiles, step by step and beat by beat.

    Parameters
    ----------
    params
        The design.
    passes
        Digit passes of each K block of a tile.
    tiles
        Tiles one after the other.
    pace
        The pace of the streams, which begin in the second cycle, as the players and the recorder of feeder.v do.
    """
    t, lane = params.interleave, params.lane_tile
    latency = core_latency(params, timing_of(params.loop_latency).latency)
    counts = dict.fromkeys(COUNTS, 0)
    depth = {"a": params.a_depth, "w": params.w_depth}
    skew = {"a": params.row_skew, "w": params.column_skew}
    left = {"a": tiles * len(passes) * t, "w": tiles * len(passes)}  # beats to come
    tail, head, oldest = ({"a": 0, "w": 0} for _ in range(3))
    seen: dict[str, list[tuple[int, int]]] = {"a": [], "w": []}  # when the last feeder has which pointer
    credit = dict.fromkeys("awc", CYCLE - 1)
    space, draining, level = params.lane_depth, 0, 0
    commits: list[tuple[int, int]] = []  # first and last cycle in which entries of a tile come to the reader
    turns, index = params.chains // params.drain, 0  # beats of the tile that the reader is at
    work = [(p, i == p - 1, b == len(passes) - 1) for b, p in enumerate(passes) for i in range(p)]
    place, fresh, first, last = 0, True, -1, -1
    beats = now = 0
    valid = False  # of c
    while beats < tiles * params.tile_beats:
        moves = {"c": valid and credit["c"] >= 0}
        for side in depth:
            while seen[side] and seen[side][0][0] <= now:
                oldest[side] = seen[side].pop(0)[1]
            room = tail[side] - oldest[side] != depth[side]
            moves[side] = room and credit[side] >= 0 and left[side] > 0 and now > 0
        finish = False
        if now % t == t - 1 and now > t:
            for side in depth:
                seen[side].append((now + 2 + skew[side], head[side]))
            if place < tiles * len(work):
                _, block_ends, in_last = work[place % len(work)]
                ends = block_ends and in_last
                if fresh and tail["a"] - head["a"] < t:
                    cause = "wait_a"
                elif fresh and tail["w"] == head["w"]:
                    cause = "wait_w"
                elif ends and space < lane:
                    cause = "wait_result"
                elif ends and draining:
                    cause = "wait_drain"
                else:
                    cause = "passes"
                    first, place, fresh, finish = (first if first >= 0 else now), place + 1, block_ends, ends
                    if block_ends:
                        head["a"] += t
                        head["w"] += 1
                counts[cause] += first >= 0
            draining = params.chain_rows - 1 if finish else max(0, draining - 1)
            if finish:
                space -= lane
                commits.append((now + latency - 2, now + latency - 3 + lane))
        read = (index >= lane or level > 0) and (not valid or moves["c"])
        if moves["c"]:
            beats, last = beats + 1, now
        if read:
            level -= index < lane
            space += index >= (turns - 1) * lane
            index = (index + 1) % (turns * lane)
        if read or moves["c"]:
            valid = read
        if commits and commits[0][0] <= now:
            level += 1
            if now == commits[0][1]:
                commits.pop(0)
        for side in depth:
            tail[side] += moves[side]
            left[side] -= moves[side]
        for stream, moved in moves.items():
            credit[stream] = min(credit[stream] + CYCLE - pace.interval(stream) * moved, CYCLE - 1)
        now += 1
    return CoreCost(cycles=last - first + 1, **counts)
