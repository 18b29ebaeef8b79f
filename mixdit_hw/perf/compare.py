"""A step's cost beside the authors' schedule and the GPU, as plain values: what reports and JSON hold."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..mixes import Mix
from ..params import Params
from ..workloads import SAMPLES, Gemm, Model
from .arrays import authors_array
from .authors import MACS_PER_ENGINE, AuthorsCost, authors_cost
from .gpu import RTX_3090, UTILISATIONS, Gpu, Measured, assumed_seconds, roofline_seconds
from .memory import Memory
from .model import StepCost, step_cost

FORMAT = "mixdit-perf-1"
SCHEDULES = ("ours", "authors", "both")
ACCUMULATIONS = ("fp32", "fp16")


def describe(model: Model, mix: Mix) -> str:
    """A model and its precisions in a line."""
    text = f" and {model.text} text" if model.text else ""
    outliers = mix.outliers if mix.outlier_channels(model.mlp_ratio * model.hidden) else "no"
    wide = f"{outliers} outlier channels, {mix.heads} of {model.heads} heads in {mix.outlier.upper()}"
    shape = f"{model.depth} blocks of {model.hidden}, {model.heads} heads of {model.head_size}"
    return f"{shape}, {model.tokens}{text} tokens; {mix.inlier.upper()}, {wide}"


def compare(
    gemms: Sequence[Gemm],
    params: Params,
    *,
    name: str,
    clock: float,
    steps: int | None = None,
    memory: Memory | None = None,
    roles: str = "fixed",
    schedule: str = "both",
    authors: tuple[int, int] | None = None,
    gpu: Gpu = RTX_3090,
    accumulation: str = "fp32",
    measured: Measured | None = None,
) -> dict[str, Any]:
    """Cost of a step, by schedule, and its speed-ups.

    Parameters
    ----------
    gemms
        Products of the step.
    params
        The design.
    name
        What the products are; a measured file is searched for it.
    clock
        Hertz of both schedules.
    steps
        Denoising steps of an image; None where the products are none of a model.
    memory, roles
        As `step_cost`.
    schedule
        ``ours``, ``authors``, or ``both``.
    authors
        Rows and columns of the authors' engines; by default as many multiplications per cycle as the design's.
    gpu, accumulation
        The GPU, and in what it accumulates: ``fp32`` or ``fp16``.
    measured
        Measured seconds, which take the place of assumed utilisations for the models that they hold.

    Returns
    -------
    Plain values: cycles, seconds, shares from 0 to 1, bytes, speed-ups as ratios of times.
    """
    for option, value, choices in (
        ("schedule", schedule, SCHEDULES),
        ("accumulation", accumulation, ACCUMULATIONS),
    ):
        if value not in choices:
            raise ValueError(f"{option} must be one of {', '.join(choices)}, not {value!r}")
    if not clock > 0:
        raise ValueError(f"clock must be more than 0 Hz, not {clock!r}")
    result: dict[str, Any] = {
        "name": name,
        "samples": SAMPLES if steps is not None else 1,
        "steps": steps,
        "macs": sum(g.macs for g in gemms),
        "digit_macs": sum(g.digit_macs for g in gemms),
    }
    ours = step_cost(params, gemms, memory, roles=roles) if schedule != "authors" else None
    rows, columns = authors or authors_array(params)
    theirs = [authors_cost(g, rows=rows, columns=columns) for g in gemms] if schedule != "ours" else None
    result["layers"] = [
        _layer(g, ours.products[i] if ours else None, theirs[i] if theirs else None, rows * columns)
        for i, g in enumerate(gemms)
    ]
    if ours is not None:
        result["ours"] = _ours(ours, params, clock, steps)
    if theirs is not None:
        cycles, busy = sum(c.cycles for c in theirs), sum(c.busy for c in theirs)
        total = AuthorsCost(cycles=cycles, busy=busy)
        result["authors"] = {
            "rows": rows,
            "columns": columns,
            "macs_per_cycle": MACS_PER_ENGINE * rows * columns,
            "utilisation": total.utilisation(rows, columns),
            **_times(cycles, clock, steps),
        }
        if ours is not None:
            result["authors"]["speedup"] = cycles / ours.cycles
    chosen = result["ours" if ours is not None else "authors"]
    result["gpu"] = _gpu(gemms, gpu, accumulation, measured, name, chosen["seconds_per_step"])
    return result


def _times(cycles: int, clock: float, steps: int | None) -> dict[str, Any]:
    seconds = cycles / clock
    image = seconds * steps if steps is not None else None
    return {"cycles": cycles, "seconds_per_step": seconds, "seconds_per_image": image}


def _ours(cost: StepCost, params: Params, clock: float, steps: int | None) -> dict[str, Any]:
    moved = {name: sum(p.bytes[name] for p in cost.products) for name in ("a", "w", "c")}
    return {
        "macs_per_cycle": params.macs_per_cycle,
        "utilisation": cost.utilisation,
        "useful": cost.useful,
        **_times(cost.cycles, clock, steps),
        "parts": cost.parts,
        "bytes": moved,
        "bytes_per_cycle": sum(moved.values()) / cost.cycles,
        "events": asdict(cost.events),
    }


def _layer(gemm: Gemm, ours: Any, theirs: AuthorsCost | None, engines: int) -> dict[str, Any]:
    layer: dict[str, Any] = {
        "name": gemm.name,
        "layer": gemm.layer,
        "m": gemm.m,
        "k": gemm.k,
        "n": gemm.n,
        "instances": gemm.instances,
        "segments": [{"formats": s.pair, "k": s.k, "blocks": s.blocks, "passes": s.passes} for s in gemm.segments],
        "macs": gemm.macs,
    }
    if ours is not None:
        layer["ours"] = {
            "cycles": ours.cycles,
            "utilisation": ours.utilisation,
            "useful": ours.useful,
            "bound": ours.once.bound,
            "swapped": ours.swapped,
            "held": ours.once.traffic.order,
            "parts": ours.parts,
            "bytes": ours.bytes,
            "macs_per_byte": gemm.macs / sum(ours.bytes.values()),
        }
    if theirs is not None:
        layer["authors"] = {"cycles": theirs.cycles, "utilisation": theirs.busy / (engines * theirs.cycles)}
    return layer


def _gpu(
    gemms: Sequence[Gemm], gpu: Gpu, accumulation: str, measured: Measured | None, name: str, seconds: float
) -> dict[str, Any]:
    flops = gpu.flops if accumulation == "fp32" else gpu.fast_flops
    if measured is not None and name in measured.seconds:
        t = measured.seconds[name]
        return {
            "name": measured.device,
            "software": measured.software,
            "measured": {"seconds_per_step": t, "speedup": t / seconds},
            "tflops": 2 * sum(g.macs for g in gemms) / t / 1e12,
        }
    times = {f"{u:.0%}": assumed_seconds(gemms, u, flops) for u in UTILISATIONS}
    times["roofline"] = roofline_seconds(gemms, gpu, flops)
    return {
        "name": gpu.name,
        "accumulation": accumulation,
        "assumed": {key: {"seconds_per_step": t, "speedup": t / seconds} for key, t in times.items()},
        "tflops": flops / 1e12,
        "gb_per_s": gpu.bandwidth / 1e9,
    }
