"""The performance model's page: tables and plots, one HTML file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import page, plots, quantities
from .perf import BOUNDS, PARTS, authors_note, gpu_note, slows

COLOURS = dict(
    zip(
        PARTS.values(),
        ("#228833", "#ccbb44", "#ee8866", "#aa3377", "#cc6699", "#663366", "#4477aa", "#bbbbbb"),
        strict=True,
    )
)


def write_perf_page(path: Path, content: Mapping[str, Any]) -> None:
    """Write the page of what ``mixdit perf`` found; OutputError where it cannot be written.

    Parameters
    ----------
    path
        Where to write.
    content
        The command's result, as its JSON holds it.
    """
    results = content["results"]
    faster = "ours" if "ours" in results[0] else "the authors' array"
    sections = [{"result": result, "plots": _layer_plots(result)} for result in results]
    page.write_page(
        path,
        "perf.html.j2",
        **content,
        product=results[0]["steps"] is None,
        sections=sections,
        bounds=BOUNDS,
        overview=_overview_plots(results, faster),
        authors_note=authors_note(slows(content["memory"])),
        gpu_note=gpu_note(results, faster),
        gpu_columns=list(dict.fromkeys(c for r in results for c in gpu_times(r))),
        gpu_times=gpu_times,
        quantities=quantities,
    )


def gpu_times(result: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Seconds and speed-up by what is assumed of the GPU, or measured."""
    gpu = result["gpu"]
    return {"measured": gpu["measured"]} if "measured" in gpu else gpu["assumed"]


def _overview_plots(results: Sequence[Mapping[str, Any]], faster: str) -> list[Any]:
    names = [result["name"] for result in results]
    schedules = [s for s in ("ours", "authors") if s in results[0]]
    gpus = list(dict.fromkeys(c for r in results for c in gpu_times(r)))

    def times(key: str, factor: float) -> dict[str, list[float]]:
        return {s: [factor * r[s][key] for r in results] for s in schedules}

    product = results[0]["steps"] is None
    label = "ms" if product else "ms per step"
    drawings = [plots.grouped_bars(names, times("seconds_per_step", 1e3), ylabel=label, form="{:.3g}")]
    if not product:
        seconds = times("seconds_per_image", 1.0)
        drawings.append(plots.grouped_bars(names, seconds, ylabel="s per image", form="{:.3g}"))
    speedups = {f"over GPU, {c}": [_speedup(r, c) for r in results] for c in gpus}
    if len(schedules) == 2:
        speedups = {"over authors": [r["authors"]["speedup"] for r in results], **speedups}
    drawings.append(plots.grouped_bars(names, speedups, ylabel=f"{faster}, times as fast", form="{:.3g}"))
    return [page.markup(drawing) for drawing in drawings]


def _speedup(result: Mapping[str, Any], column: str) -> float:
    found = gpu_times(result).get(column)
    return found["speedup"] if found else 0.0


def _layer_plots(result: Mapping[str, Any]) -> list[Any]:
    """Where the cycles go: of each product's own, and of the whole step where there is one."""
    if "ours" not in result:
        return []
    layers = result["layers"]
    names = [layer["name"] for layer in layers]
    drawings = []
    wholes = {"% of the product's cycles": None}
    if result["steps"] is not None:
        wholes["% of the step's cycles"] = result["ours"]["cycles"]
    for label, whole in wholes.items():
        series = {
            name: [100 * layer["ours"]["parts"][part] / (whole or layer["ours"]["cycles"]) for layer in layers]
            for part, name in PARTS.items()
        }
        drawings.append(page.markup(plots.stacked_bars(names, series, xlabel=label, colours=COLOURS)))
    return drawings
