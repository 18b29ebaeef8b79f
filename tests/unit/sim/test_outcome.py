"""What a run's counters say."""

import pytest

from mixdit_hw.errors import CheckError, ToolError
from mixdit_hw.params import Params
from mixdit_hw.sim.outcome import check_outcome, patience
from mixdit_hw.sim.plan import Plan
from tests.support.errors import raises_exactly

PLAN = Plan(params=Params(), m=1, n=1, blocks=2)
GOOD: dict[str, float] = {
    **{"a_taken": 8, "a_total": 8, "w_taken": 2, "w_total": 2, "cmd_taken": 1, "cmd_total": 1, "c_taken": 16},
    **{"cycles": 50, "hung": 0, "unknown": 0, "unstable": 0, "short_file": 0},
}


def test_a_good_run_passes() -> None:
    check_outcome(GOOD, PLAN)


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        ({"short_file": 1}, ToolError, "a stream image ended early"),
        ({"unknown": 1}, CheckError, "the hardware gave a result with unknown bits"),
        ({"unstable": 1}, CheckError, "the hardware changed a result before it was taken"),
        ({"hung": 1}, CheckError, "the hardware hangs"),
        ({"a_total": 9}, CheckError, "the hardware took or gave a wrong number of beats"),
        ({"c_taken": 17}, CheckError, "the hardware took or gave a wrong number of beats"),
    ],
)
def test_faults_are_named(change: dict[str, float], kind: type[Exception], text: str) -> None:
    outcome = {**GOOD, **change}
    a, c = outcome["a_total"], outcome["c_taken"]
    with raises_exactly(kind, f"{text} after 50 cycles, with beats a 8 of {a}, w 2 of 2, cmd 1 of 1, c {c} of 16"):
        check_outcome(outcome, PLAN)


def test_patience_exceeds_what_the_memories_hold() -> None:
    p = Params(a_depth=4096, w_depth=4096, interleave=16, c_depth=16384)
    passes = 4  # of MX9 by MX9
    assert patience(p) > 2 * (p.a_depth + p.w_depth * p.interleave) * passes + p.c_depth
