"""Tiles and streams of a GEMM."""

import pytest

from mixdit_hw.params import Params
from mixdit_hw.sim.plan import Pace, Plan, Stalls, Stream
from tests.support.errors import raises_exactly

PARAMS = Params(rows=4, columns=2, interleave=4)  # tiles of 16 x 2


def test_tiles_cover_the_output() -> None:
    plan = Plan(params=PARAMS, m=17, n=5, blocks=7)
    assert (plan.m_tiles, plan.n_tiles, plan.result_beats) == (2, 3, 2 * 3 * 16)


def test_streams_repeat_what_the_order_needs_again() -> None:
    plan = Plan(params=PARAMS, m=17, n=5, blocks=7)
    assert plan.streams == {
        "a": Stream(section=7 * 4, sections=2, repeat=3),
        "w": Stream(section=7 * 3, sections=1, repeat=2),
        "cmd": Stream(section=1, sections=1, repeat=6),
    }
    assert plan.streams["a"].beats == 7 * 4 * 6


@pytest.mark.parametrize(
    ("blocks", "max_command", "commands"),
    [
        (1, 65535, [(1, False)]),
        (65535, 65535, [(65535, False)]),
        (65536, 65535, [(65535, True), (1, False)]),
        (7, 3, [(3, True), (3, True), (1, False)]),
        (6, 3, [(3, True), (3, False)]),
    ],
)
def test_long_tiles_take_several_commands(blocks: int, max_command: int, commands: list[tuple[int, bool]]) -> None:
    assert Plan(params=PARAMS, m=1, n=1, blocks=blocks, max_command=max_command).commands == commands


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"m": 0}, "m must be at least 1, not 0"),
        ({"n": 0}, "n must be at least 1, not 0"),
        ({"blocks": 0}, "blocks must be at least 1, not 0"),
        ({"max_command": 0}, "max_command must be 1 to 65535, not 0"),
        ({"max_command": 65536}, "max_command must be 1 to 65535, not 65536"),
    ],
)
def test_plan_out_of_range(change: dict[str, int], text: str) -> None:
    with raises_exactly(ValueError, text):
        Plan(**{"params": PARAMS, "m": 1, "n": 1, "blocks": 1, **change})


def test_stalls_differ_between_streams_and_seeds() -> None:
    seeds = {Stalls(seed=s).stream_seed(n) for s in (1, 2, 1 << 24) for n in range(4)}
    assert len(seeds) == 12
    assert min(seeds) > 0
    assert max(seeds) < 1 << 31


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"a": -0.1}, "a must be 0 to 0.99, not -0.1"),
        ({"c": 1.0}, "c must be 0 to 0.99, not 1.0"),
        ({"seed": 0}, "seed must be 1 to 16777216, not 0"),
    ],
)
def test_stalls_out_of_range(change: dict[str, float], text: str) -> None:
    with raises_exactly(ValueError, text):
        Stalls(**change)  # pyright: ignore[reportArgumentType]


def test_threshold_is_in_256ths() -> None:
    assert Stalls(a=0.25, c=0.99).threshold("a") == 64
    assert Stalls(a=0.25, c=0.99).threshold("c") == 253


def test_intervals_are_in_256ths() -> None:
    pace = Pace(a=1.5, w=4096)
    assert [pace.interval(stream) for stream in ("a", "w", "cmd", "c")] == [384, 1 << 20, 256, 256]


@pytest.mark.parametrize("value", [0.99, 4097, float("nan")])
def test_pace_out_of_range(value: float) -> None:
    with raises_exactly(ValueError, f"w must be 1 to 4096 cycles per beat, not {value!r}"):
        Pace(w=value)
