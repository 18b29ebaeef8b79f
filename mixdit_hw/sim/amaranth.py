"""Runs stream images through the hardware description itself, in Amaranth's simulator: slow, but without tools."""

import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from amaranth.hdl import Value
from amaranth.sim import Simulator

from ..params import Params
from .bench import COUNTERS, SETTLE_CYCLES, beat_bytes, result_words
from .images import read_beats
from .outcome import check_outcome, patience
from .plan import CYCLE, Pace, Playback, Stalls, Stream

_REPORT_CYCLES = 256


def run_amaranth(
    params: Params,
    playback: Playback,
    folder: Path,
    *,
    stalls: Stalls,
    pace: Pace,
    progress: Callable[[int], None] | None,
) -> dict[str, float]:
    """Play the images in a folder and record ``c.bin`` there, as `run_verilog` does; the same counters.

    Raises
    ------
    CheckError
        The design hangs, breaks the rules of a stream, or its beats do not add up.
    """
    from ..top import Core

    core = Core(params)
    outcome: dict[str, float] = dict.fromkeys(("cycles", "c_taken", "hung", "unknown", "unstable", "short_file"), 0)
    for name, stream in playback.streams.items():
        outcome |= {f"{name}_taken": 0, f"{name}_total": stream.beats}
    record = bytearray()
    limit = patience(params)
    rng = np.random.default_rng(stalls.seed)

    async def bench(ctx) -> None:  # pyright: ignore[reportMissingParameterType]
        players = {
            name: (getattr(core, name), _payloads(folder / f"{name}.bin", beat_bytes(params)[name], stream))
            for name, stream in playback.streams.items()
        }
        waiting: dict[str, bool] = dict.fromkeys(players, False)
        held: int | None = None
        credit = dict.fromkeys((*players, "c"), CYCLE - 1)  # as in feeder.v
        quiet = settle = 0
        c_bytes = 4 * (result_words(params) - 1)
        last_bit = 8 * c_bytes
        await ctx.tick()  # the first cycle without reset, which the players of feeder.v start in
        outcome["cycles"] = 1
        while settle < SETTLE_CYCLES and quiet <= limit and not outcome["unstable"]:
            idle = {s: rng.random() < getattr(stalls, s) or credit[s] < 0 for s in credit}
            for name, (port, payloads) in players.items():
                if not waiting[name] and not idle[name] and (payload := next(payloads, None)) is not None:
                    ctx.set(Value.cast(port.payload), payload)
                    waiting[name] = True
                ctx.set(port.valid, waiting[name])
            ready = not idle["c"]
            ctx.set(core.c.ready, ready)
            taken = [name for name, (port, _) in players.items() if waiting[name] and ctx.get(port.ready)]
            valid = ctx.get(core.c.valid)
            word = ctx.get(Value.cast(core.c.payload)) if valid else None
            if held is not None and word != held:
                outcome["unstable"] = 1
            held = word if valid and not ready else None
            counting = outcome["c_taken"] < playback.result_beats
            outcome["cycles"] += counting
            settle += not counting
            if word is not None and ready:
                record.extend((word & ((1 << last_bit) - 1)).to_bytes(c_bytes, "little"))
                record.extend((word >> last_bit).to_bytes(4, "little"))
                outcome["c_taken"] += 1
            for name in taken:
                waiting[name] = False
                outcome[f"{name}_taken"] += 1
            moved = [*taken, "c"] if valid and ready else taken
            for s in credit:
                credit[s] = min(credit[s] + CYCLE - pace.interval(s) * (s in moved), CYCLE - 1)
            quiet = 0 if moved else quiet + 1
            if progress is not None and outcome["cycles"] % _REPORT_CYCLES == 0:
                progress(int(outcome["c_taken"]))
            await ctx.tick()
        outcome.update({f"core_{name}": ctx.get(getattr(core, name)) for name in COUNTERS})
        outcome["hung"] = float(outcome["c_taken"] < playback.result_beats and not outcome["unstable"])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Amaranth's notes on its own internals are none of the user's business
        simulator = Simulator(core)
        simulator.add_clock(1e-6)
        simulator.add_testbench(bench)
        start = time.perf_counter()
        simulator.run()
    outcome["seconds"] = time.perf_counter() - start
    (folder / "c.bin").write_bytes(np.frombuffer(record, "<u4").astype("=u4").tobytes())
    check_outcome(outcome, playback)
    return outcome


def _payloads(path: Path, size: int, stream: Stream) -> Iterator[int]:
    """Payloads as integers, in the order in which a player plays them; bits above the payload's shape are 0."""
    beats = read_beats(path, size)
    for first in range(0, len(beats), stream.section):
        section = beats[first : first + stream.section]
        for _ in range(stream.repeat):
            for beat in section:
                yield int.from_bytes(beat.tobytes(), "little")
