"""What the counters and flags of a run mean, the same for every simulator."""

from ..errors import CheckError, ToolError
from ..params import Params
from .plan import Playback


def patience(params: Params) -> int:
    """Cycles without any transfer after which the design hangs: far more than its memories can occupy it."""
    entries = params.a_depth + params.w_depth * params.interleave + params.c_depth
    return 64 * entries + 10_000


def check_outcome(outcome: dict[str, float], playback: Playback) -> None:
    """Raise CheckError where a run's counters or flags say that its streams went wrong.

    The text tells the beats that were taken on each stream, so that a hang shows where it hangs.
    """
    counts = [f"{s} {outcome[f'{s}_taken']:.0f} of {outcome[f'{s}_total']:.0f}" for s in playback.streams]
    counts.append(f"c {outcome['c_taken']:.0f} of {playback.result_beats}")
    beats = f"after {outcome['cycles']:.0f} cycles, with beats {', '.join(counts)}"
    if outcome["short_file"]:
        raise ToolError(f"a stream image ended early {beats}")
    if outcome["unknown"]:
        raise CheckError(f"the hardware gave a result with unknown bits {beats}")
    if outcome["unstable"]:
        raise CheckError(f"the hardware changed a result before it was taken {beats}")
    if outcome["hung"]:
        raise CheckError(f"the hardware hangs {beats}")
    complete = all(outcome[f"{s}_taken"] == outcome[f"{s}_total"] for s in playback.streams)
    if not complete or outcome["c_taken"] != playback.result_beats:
        raise CheckError(f"the hardware took or gave a wrong number of beats {beats}")
