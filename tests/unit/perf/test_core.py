"""The core's cost: whole tiles, each at its passes or at the pace of the result chains."""

from typing import Any

import pytest

from mixdit_hw.params import Params
from mixdit_hw.perf.core import core_cost
from mixdit_hw.presets import PRESETS
from tests.support.errors import raises_exactly


def test_passes() -> None:
    """Every tile takes the digit passes of all its K blocks, however little of it is used."""
    cost = core_cost(PRESETS["base"], m=512, n=1152, passes=(1,) * 72 + (2,))
    assert cost.passes == 8 * 72 * 74
    assert core_cost(PRESETS["base"], m=449, n=1137, passes=(1,) * 72 + (2,)).passes == cost.passes
    assert cost.wait_drain == 0
    assert cost.cycles >= 4 * cost.passes


def test_short_tiles_wait_for_the_result_chains() -> None:
    cost = core_cost(Params(rows=16, columns=16, drain=2), m=256, n=256, passes=(1,) * 5)
    assert cost.passes == 4 * 16 * 5
    assert cost.wait_drain == 63 * 3


def test_start_and_drain_are_paid_once() -> None:
    """A second instance adds its steps only."""
    one, two = (core_cost(PRESETS["edge"], m=256, n=72, passes=(1,) * 16, instances=i) for i in (1, 2))
    assert two.cycles - one.cycles == 4 * one.passes


@pytest.mark.parametrize("name", ["m", "n", "instances", "passes"])
def test_errors(name: str) -> None:
    arguments: Any = {"m": 1, "n": 1, "instances": 1, "passes": (1,)} | {name: () if name == "passes" else 0}
    with raises_exactly(ValueError, f"{name} must be at least 1, not 0"):
        core_cost(Params(), **arguments)
