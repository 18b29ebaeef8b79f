"""Cycles of a matrix product on the core whose streams are slow at a steady pace.

Beat k of a stream of interval x moves floor(k x) cycles after the first one, if the core never keeps it waiting; where
it does, the following beats come the interval after that one. `stream_cost` equals the core's counters, as `core_cost`
does where all intervals are 1. The rules of `core.py` hold, those of the streams in cycles, because beats come between
steps. With D the cycle of a decision (for a block's last pass, or a tile's), L the latency of the core, B beats a tile,
and q tiles and r entries that the result lanes hold,

- the last beat of A's block k comes at a_k = max(a_(k-1) + T x, D_(k-l) + free + n x), where it and n more of its beats
  stand where block k - l stood (`room_rules`), and a decision may take the block in the cycle after floor(a_k); W's
  likewise, with one beat a block;
- tile j's first result moves at c_j = max(c_(j-1) + B x, D_j + L);
- tile j may end from the cycle after floor(c_(j-q) + (B - 2 - r) x) on, when the lanes have room for it: a result is
  read when the one before it moves.

Blocks are walked through one by one. The rules are linear in (max, +) but for the rounding to whole steps, and so the
pace of the tiles settles soon: after `WALKED` blocks the rest is taken to go on as the later half of them did, but no
faster than each stream could alone.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

from ..dot.timing import timing_of
from ..latency import QUEUE_LATENCY, core_latency
from ..params import Params
from .core import CAUSES, room_rules

WALKED = 2048  # blocks
LEAST_TILES = 6  # walked through, whatever their length
_NEVER = -1 << 60


@dataclass(frozen=True, kw_only=True)
class StreamCost:
    """Where the cycles of one product go.

    Parameters
    ----------
    cycles
        Clock cycles from the decision for the first pass to the last result beat, both included.
    waits
        Those of steps that waited, by cause.
    start
        Those of no step: the latency, and what the results lag behind at the end.
    """

    cycles: int
    waits: dict[str, int]
    start: int


@lru_cache(maxsize=1024)
def stream_cost(
    params: Params, passes: tuple[int, ...], tiles: int, *, a: float = 1.0, w: float = 1.0, c: float = 1.0
) -> StreamCost:
    """Cost of so many tiles one after the other; exact up to `WALKED` blocks or `LEAST_TILES` tiles.

    Parameters
    ----------
    params
        The design.
    passes
        Digit passes of each K block.
    tiles
        At least 1.
    a, w, c
        Cycles per beat of each stream, at least 1.
    """
    array = params.interleave * sum(passes)  # cycles of a tile in the array
    walk = _Walk(params, passes, a, w, c)
    first = min(tiles, max(LEAST_TILES, WALKED // len(passes)))
    for _ in range(first // 2):
        walk.tile()
    half_cycles, half_waits = walk.cycles, list(walk.waits)
    for _ in range(first // 2, first):
        walk.tile()
    waits = {cause: params.interleave * steps for cause, steps in zip(CAUSES, walk.waits, strict=True)}
    start = walk.cycles - first * array - sum(waits.values())
    if first == tiles:
        return StreamCost(cycles=walk.cycles, waits=waits, start=start)

    alone = {"a": a * params.interleave * len(passes), "w": w * len(passes), "result": c * params.tile_beats}
    slowest = max(alone, key=lambda cause: alone[cause])
    pace = max(array, alone[slowest], (walk.cycles - half_cycles) / (first - first // 2))
    lost = math.ceil((tiles - first) * (pace - array))
    gained = [now - then for now, then in zip(walk.waits, half_waits, strict=True)]
    if not any(gained):
        gained[CAUSES.index(slowest)] = 1
    for index, cause in enumerate(CAUSES):  # what is left is shared with the causes to come
        part = lost * gained[index] // sum(gained[index:]) if gained[index] else 0
        waits[cause] += part
        lost -= part
    cycles = tiles * array + sum(waits.values()) + start
    return StreamCost(cycles=cycles, waits=waits, start=start)


class _Stream:
    """When the blocks of A or W are there.

    Parameters
    ----------
    params
        The design.
    depth
        Entries of the memory.
    entries
        Beats of a block.
    skew
        Cycles between the first and the last feeder.
    interval
        Cycles per beat.
    """

    def __init__(self, params: Params, *, depth: int, entries: int, skew: int, interval: float) -> None:
        self.step = params.interleave
        self.interval = entries * interval
        self.first = 1 + (entries - 1) * interval + QUEUE_LATENCY  # cycle of the first block; beats begin in cycle 1
        # A block is there no earlier than so many cycles after the step of the last pass of the block `lag` before it.
        self.rules = [
            (lag, self.step - 1 + free + after * interval + QUEUE_LATENCY)
            for lag, free, after in room_rules(depth, entries, self.step, skew)
        ]

    def counts(self, least: int) -> bool:
        """Whether the array can wait for it after the first block, if all blocks have that many passes or more."""
        return self.interval > self.step * least or any(
            int(cycles) // self.step > (lag - 1) * least + 1 for lag, cycles in self.rules
        )


class _Walk:
    """Tile after tile of one product.

    Parameters
    ----------
    params
        The design.
    passes
        Digit passes of each K block.
    a, w, c
        Cycles per beat of each stream.

    Attributes
    ----------
    waits
        Steps that waited so far, in the order of `CAUSES`.
    cycles
        Clock cycles from the decision for the first pass to the last result so far, both included.
    """

    def __init__(self, params: Params, passes: tuple[int, ...], a: float, w: float, c: float) -> None:
        t = params.interleave
        streams = (
            _Stream(params, depth=params.a_depth, entries=t, skew=params.row_skew, interval=a),
            _Stream(params, depth=params.w_depth, entries=1, skew=params.column_skew, interval=w),
        )
        self._passes, self._step = passes, t
        least = min(passes)
        self._streams = [(i, s.interval, s.rules) for i, s in enumerate(streams) if s.counts(least)]
        self._come = [s.first - s.interval for s in streams]  # when the last block is there
        first = max(int(s.first) for s in streams) // t  # step of the first pass
        self._end = first - 1  # of the last one so far
        self._start = first * t + t - 1  # cycle of the decision for the first pass
        self._takes = [_NEVER] * max(lag for s in streams for lag, _ in s.rules)  # steps of each block's last pass

        self._latency = core_latency(params, timing_of(params.loop_latency).latency)
        self._chain, self._beats, self._interval = params.chain_rows, params.tile_beats, c
        self._lag, rest = divmod(params.lane_depth, params.lane_tile)
        self._read = self._beats - 1 - rest  # beat of a tile that frees the space of the tile `lag` after it
        self._last = 1 - c  # when the last result moves; the first may in cycle 1
        self._freed: list[int] = []  # first cycle with that space
        self.waits = [0] * len(CAUSES)
        self.cycles = 0

    def tile(self) -> None:
        """Go on by a tile."""
        t, tile = self._step, len(self._freed)
        now = self._blocks() if self._streams else self._end + sum(self._passes)
        room = max(now, self._freed[tile - self._lag] // t) if tile >= self._lag else now
        end = max(room, self._end + self._chain) if tile else room
        self.waits[2] += room - now
        self.waits[3] += end - room
        self._takes[-1] = self._end = end

        there = end * t + t - 1 + self._latency
        result = max(self._last + self._interval, there)
        read = max(self._last, there - 1) if self._read == 0 else result + (self._read - 1) * self._interval
        self._freed.append(int(read) + 1)
        self._last = result + (self._beats - 1) * self._interval
        self.cycles = int(self._last) - self._start + 1

    def _blocks(self) -> int:
        """Step of the tile's last pass, as far as A and W are concerned."""
        t, now, takes, come, waits = self._step, self._end, self._takes, self._come, self.waits
        for count in self._passes:
            now += 1
            for index, interval, rules in self._streams:
                there = come[index] + interval
                for lag, cycles in rules:
                    space = takes[-lag] * t + cycles
                    if space > there:
                        there = space
                come[index] = there
                ready = int(there) // t
                if ready > now:
                    waits[index] += ready - now
                    now = ready
            now += count - 1
            takes.append(now)
        return now
