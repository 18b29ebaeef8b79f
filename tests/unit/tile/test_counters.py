"""The counters against sums in Python."""

import random
from itertools import pairwise

import pytest

from mixdit_hw.tile import counters
from mixdit_hw.tile.counters import COUNTER_BITS, STEP_EVENTS, Counters
from tests.support.clocked import Clocked

OUTPUTS = ("cycles", *STEP_EVENTS)


def model(rows: list[dict[str, int]], width: int) -> list[dict[str, int]]:
    """Values of the counters after each row."""
    values, first, result = [], None, []
    for cycle, row in enumerate(rows):
        if not values or row.get("clear"):
            values, first = [dict.fromkeys(OUTPUTS, 0)], None
        if row.get("clear"):
            result.append(values[0])
            continue
        now = dict(values[0])
        if first is None and row["passes_event"]:
            first = cycle
        if first is not None:
            for name in STEP_EVENTS:
                now[name] = (now[name] + row[f"{name}_event"]) % (1 << width)
        if row["result_event"] and first is not None:
            now["cycles"] = (cycle - first + 1) % (1 << width)
        values = [now]
        result.append(now)
    return result


def random_rows(seed: int, cycles: int) -> list[dict[str, int]]:
    rng = random.Random(seed)
    rows = []
    for cycle in range(cycles):
        row = {f"{name}_event": int(rng.random() < 0.3) for name in STEP_EVENTS}
        row["passes_event"] = int(
            cycle % 50 > 10 and rng.random() < 0.3
        )  # what comes before a first pass does not count
        row |= {"result_event": int(rng.random() < 0.2), "clear": int(cycle % 150 == 149)}
        rows.append(row)
    return rows


def check(rows: list[dict[str, int]], width: int) -> None:
    out = Clocked(Counters()).run(rows, OUTPUTS, tail=Counters.latency)
    for cycle, want in enumerate(model(rows, width)):
        assert {name: out[name][cycle + Counters.latency] for name in OUTPUTS} == want, f"cycle {cycle}"


def test_random():
    check(random_rows(1, 600), COUNTER_BITS)


def test_clear_wins():
    """An event in the cycle of ``clear`` is lost; then nothing counts, not even a result, until a first pass comes."""
    busy = {f"{name}_event": 1 for name in STEP_EVENTS} | {"result_event": 1}
    rows = [busy, busy, busy | {"clear": 1}, busy | {"passes_event": 0}, busy]
    out = Clocked(Counters()).run(rows, OUTPUTS, tail=2)
    assert out["cycles"] == [0, 0, 1, 2, 0, 0, 1]
    assert out["passes"] == [0, 0, 1, 2, 0, 0, 1]
    assert out["wait_drain"] == [0, 0, 1, 2, 0, 0, 1]


def test_wrap(monkeypatch: pytest.MonkeyPatch):
    """Counters of 4 bits go round; those of 32 do it alike."""
    monkeypatch.setattr(counters, "COUNTER_BITS", 4)
    rows = [{"clear": 0, **row} for row in random_rows(2, 140)]
    values = model(rows, 4)
    for name in OUTPUTS:
        assert any(b[name] < a[name] for a, b in pairwise(values)), f"{name} does not go round"
    check(rows, 4)
