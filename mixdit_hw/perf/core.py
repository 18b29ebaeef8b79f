"""Cycles of a matrix product on the core whose operands are always there and whose results are always taken.

`core_cost` equals the core's own counters to the cycle: it follows the rules by which the sequencer decides every step.
In steps of T cycles from the decision for the first pass, with s_k the step in which K block k starts and t_k the one
of its last pass, f_j the step in which tile j ends and u_j the step that its results would end in if they had left
without delay, a pass enters in the step after the one before, but no earlier than

- s_k >= t_(k-l) + d for the space of A's and W's memories (`_operand_rules`): an entry is free when the last feeder has
  gone past it;
- f_j >= f_(j-1) + chain_rows for the result chains (``draining`` in tile/sequencer.py);
- f_j >= u_(j-q) + ceil((L - 1 + R*T/drain - r) / T) for the result lanes (``space`` there), where q tiles and r entries
  are lane_depth, and u_j = max(f_j, u_(j-1) + R/drain), since the reader takes a beat in each cycle.

With L the latency of the core, the last tile's last beat comes T*u + L - 1 + R*T/drain cycles after the decision for
the first pass. All other delays are constant and do not matter: the first blocks are there from the first decision on.

The rules are linear in (max, +), so tiles repeat after a while: where none of them ever holds a pass up the sum of the
passes is all there is, and otherwise tiles are walked through until the state comes back, and the rest is multiplied.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from ..dot.timing import timing_of
from ..latency import CONTROL_DELAY, QUEUE_LATENCY, SEQUENCER_LATENCY, core_latency
from ..params import Params, power_of_two_from

CAUSES = ("a", "w", "result", "drain")  # what a step can wait for, as the counters wait_* have it
_Rule = tuple[int, int]  # (lag, steps): a block starts so many steps after the last pass of the block `lag` before it


@dataclass(frozen=True, kw_only=True)
class CoreCost:
    """What the core's counters say of one product.

    Parameters
    ----------
    cycles
        Clock cycles from the decision for the first pass to the last result beat, both included.
    passes
        Steps, of T cycles each, in which a digit pass entered.
    wait_a, wait_w, wait_result, wait_drain
        Steps that waited for A, for W, for space for results, for the result chains.
    """

    cycles: int
    passes: int
    wait_a: int = 0
    wait_w: int = 0
    wait_result: int = 0
    wait_drain: int = 0


def core_cost(params: Params, *, m: int, n: int, passes: Sequence[int], instances: int = 1) -> CoreCost:
    """Cost of C (M x N) = A W on one core, equal to its counters while no stream stalls.

    Parameters
    ----------
    params
        The design.
    m, n
        Rows and columns of the output.
    passes
        Digit passes of each K block in stored order: 1 for MX6 by MX6, 2 for MX9 by MX6, 4 for MX9 by MX9.
    instances
        Products of this kind back to back.

    Raises
    ------
    ValueError
        A number is less than 1, or there is no K block.
    """
    for name, value in (("m", m), ("n", n), ("instances", instances), ("passes", min(passes, default=0))):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    tiles = -(-m // params.tile_rows) * -(-n // params.columns) * instances
    return _cost(_Array.of(params), tuple(passes), tiles)


def full_rate_c_depth(params: Params, steps: int) -> int:
    """Least ``c_depth`` with which tiles of so many digit passes never wait for space for their results.

    A tile's space is reserved when its last pass is decided, and free L - 1 + R*T/drain cycles later: the longer
    the skew down to the last result chain, the more tiles are on their way.

    Parameters
    ----------
    params
        The design; its own ``c_depth`` does not matter.
    steps
        Digit passes of a tile, at least R/drain; fewer wait for the reader, whatever the depth.

    Raises
    ------
    ValueError
        ``steps`` is less than R/drain, or ``c_depth`` cannot be so large.
    """
    if steps < params.rows // params.drain:
        raise ValueError(f"steps must be at least rows/drain={params.rows // params.drain}, not {steps}")
    depth = power_of_two_from(max(4, params.tile_beats))
    while _Array.of(params.replace(c_depth=depth)).waits_for_lanes(steps):
        depth *= 2
    return depth


@dataclass(frozen=True, kw_only=True)
class _Array:
    """What of a design counts here.

    Parameters
    ----------
    interleave
        T, cycles of a step.
    tail
        Cycles from a tile's last decision to its last beat if it left without delay, both included.
    a, w
        Rules that keep the memories from overflowing.
    chain
        Steps from one tile's end to the next, for the result chains.
    reader
        Likewise for the reader: R/drain.
    lane_lag, lane_steps
        A tile ends so many steps after the u of the tile ``lane_lag`` before it.
    """

    interleave: int
    tail: int
    a: tuple[_Rule, ...]
    w: tuple[_Rule, ...]
    chain: int
    reader: int
    lane_lag: int
    lane_steps: int

    @classmethod
    def of(cls, params: Params) -> "_Array":
        latency = core_latency(params, timing_of(params.loop_latency).latency)
        lag, rest = divmod(params.lane_depth, params.lane_tile)
        t = params.interleave
        return cls(
            interleave=t,
            tail=latency + params.tile_beats,
            a=_operand_rules(params.a_depth, t, t, params.row_skew),
            w=_operand_rules(params.w_depth, 1, t, params.column_skew),
            chain=params.chain_rows,
            reader=params.rows // params.drain,
            lane_lag=lag,
            lane_steps=-(-(latency - 1 + params.tile_beats - rest) // t),
        )

    def shortest(self, passes: int) -> int:
        """Steps from one tile's end to the next for tiles of so many passes, if they wait for the chains only."""
        return max(passes, self.chain)

    def waits_for_lanes(self, passes: int) -> bool:
        """Whether they do find the lanes full, although the reader keeps pace.

        That counts as such even where the chains make the tile wait as long.
        """
        return self.lane_steps > (self.lane_lag - 1) * self.shortest(passes) + passes


def room_rules(depth: int, entries: int, interleave: int, skew: int) -> list[tuple[int, int, int]]:
    """What keeps a memory of so many entries, of which a K block takes ``entries``, from overflowing.

    Entry i of block k is written where an entry of block k - l stood, l = 1 + floor((depth - 1 - i) / entries), once
    the last feeder has the address of the block after that: T cycles of the step that asked for it, those from the
    decision to the first feeder's control, and the skew. After it come entries - 1 - i more of its block before the
    block counts as there. Of the entries with one l, the first is the last to be in time.

    Returns
    -------
    list
        Of l, of the cycles from the decision for the last pass of block k - l to the first in which the entry may be
        written, and of the beats after it.
    """
    free = interleave + SEQUENCER_LATENCY + CONTROL_DELAY + skew
    rules = {1 + (depth - 1 - i) // entries: (free, entries - 1 - i) for i in reversed(range(entries))}
    return [(lag, *rule) for lag, rule in rules.items()]


def _operand_rules(depth: int, entries: int, interleave: int, skew: int) -> tuple[_Rule, ...]:
    """The same in steps while a beat comes in every cycle, without the rules that never count."""
    rules = (
        (lag, -(-(free + after + QUEUE_LATENCY) // interleave))
        for lag, free, after in room_rules(depth, entries, interleave, skew)
    )
    # A block takes a step at least, so that a rule of no more steps than its lag never counts.
    return tuple((lag, steps) for lag, steps in rules if steps > lag)


@lru_cache(maxsize=4096)
def _cost(array: _Array, passes: tuple[int, ...], tiles: int) -> CoreCost:
    """Cost of so many tiles one after the other."""
    total = sum(passes)
    shortest = array.shortest(total)
    a = tuple(rule for rule in array.a if _counts(rule, passes))
    w = tuple(rule for rule in array.w if _counts(rule, passes))
    if not (a or w or array.reader > shortest or array.waits_for_lanes(total)):
        last, waits = tiles * total - 1, (0, 0, 0, (tiles - 1) * (shortest - total))
        last += waits[3]
    else:
        last, waits = _walk(array, a, w, passes, tiles)
    return CoreCost(
        cycles=last * array.interleave + array.tail,
        passes=tiles * total,
        wait_a=waits[0],
        wait_w=waits[1],
        wait_result=waits[2],
        wait_drain=waits[3],
    )


def _counts(rule: _Rule, passes: tuple[int, ...]) -> bool:
    """Whether some block has to wait for that rule even if nothing else holds passes up.

    From a block's last pass to the start of the ``lag``-th one after it lie the passes of the blocks between, and one
    step; the blocks are cyclic, tile after tile.
    """
    lag, steps = rule
    rounds, between = divmod(lag - 1, len(passes))
    sums = [0, *accumulate(passes * 2)]
    least = min(sums[i + between] - sums[i] for i in range(len(passes)))
    return rounds * sums[len(passes)] + least + 1 < steps


class _State:
    """The rules' memory at the end of a tile.

    Parameters
    ----------
    blocks
        Last passes that the rules for A and W look back on.
    tiles
        Tiles that the rule for the lanes looks back on.
    """

    def __init__(self, blocks: int, tiles: int) -> None:
        self.blocks, self.tiles = blocks, tiles
        self.takes: list[int] = []  # t of every block
        self.finished: list[int] = []  # u of every tile
        self.end = -1  # f of the last tile
        self.waits: tuple[int, int, int, int] = (0, 0, 0, 0)

    def lead(self) -> int:
        """Steps by which results lag behind the array."""
        return self.finished[-1] - self.end

    def relative(self) -> tuple[list[int], list[int]] | None:
        """All that later tiles depend on, counted from the end of this tile; None before there is enough of it."""
        if len(self.takes) < self.blocks or len(self.finished) < self.tiles:
            return None
        takes = [t - self.end for t in self.takes[len(self.takes) - self.blocks :]]
        return takes, [u - self.end for u in self.finished[len(self.finished) - self.tiles :]]


def _walk(
    array: _Array, a: tuple[_Rule, ...], w: tuple[_Rule, ...], passes: tuple[int, ...], tiles: int
) -> tuple[int, tuple[int, int, int, int]]:
    """Step of the last tile's u, and steps waited for A, W, result space and result chains.

    Tile by tile until the state equals an earlier one (kept after 1, 2, 4, 8, ... tiles: Brent's algorithm), from where
    on all repeats.
    """
    state = _State(max((lag for lag, _ in a + w), default=0), array.lane_lag)
    kept, kept_lead, kept_at, kept_end, kept_waits, next_kept = None, 0, 0, 0, state.waits, 1
    done = 0
    while done < tiles:
        _tile(state, array, a, w, passes)
        done += 1
        lead = state.lead()
        if kept is not None and lead == kept_lead and state.relative() == kept:
            period = done - kept_at
            rounds, rest = divmod(tiles - done, period)
            steps = rounds * (state.end - kept_end)
            gained = tuple(rounds * (now - then) for now, then in zip(state.waits, kept_waits, strict=True))
            for _ in range(rest):
                _tile(state, array, a, w, passes)
            ww = tuple(x + y for x, y in zip(state.waits, gained, strict=True))
            return state.finished[-1] + steps, (ww[0], ww[1], ww[2], ww[3])
        if done == next_kept:
            kept, kept_lead, kept_at, kept_end, kept_waits = state.relative(), lead, done, state.end, state.waits
            next_kept *= 2
    return state.finished[-1], state.waits


def _tile(state: _State, array: _Array, a: tuple[_Rule, ...], w: tuple[_Rule, ...], passes: tuple[int, ...]) -> None:
    """Go on by a tile."""
    takes, finished = state.takes, state.finished
    wait_a, wait_w, wait_result, wait_drain = state.waits
    now = state.end  # the last pass so far
    if a or w:
        for count in passes:
            ready = start = now + 1
            block = len(takes)
            for lag, steps in a:
                if lag <= block:
                    ready = max(ready, takes[block - lag] + steps)
            wait_a += ready - start
            start = ready
            for lag, steps in w:
                if lag <= block:
                    ready = max(ready, takes[block - lag] + steps)
            wait_w += ready - start
            now = ready + count - 1
            takes.append(now)
    else:
        now += sum(passes)
    tile = len(finished)
    room = max(now, finished[tile - array.lane_lag] + array.lane_steps) if tile >= array.lane_lag else now
    end = max(room, state.end + array.chain) if tile else room
    if takes:
        takes[-1] = end
    state.waits = wait_a, wait_w, wait_result + room - now, wait_drain + end - room
    state.end = end
    finished.append(max(end, finished[-1] + array.reader) if tile else end)
