"""Plots of the report, as SVG text."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

_LEAST = 1e-9  # of a logarithmic scale
COLOURS = {"mx6": "#4477aa", "mixed": "#228833", "mx9": "#ccbb44", "float32": "#555555"}
PART_COLOURS = {
    "passes": "#228833",
    "wait_a": "#4477aa",
    "wait_w": "#66ccee",
    "wait_result": "#aa3377",
    "wait_drain": "#ee6677",
    "no_tile": "#ccbb44",
    "ends": "#bbbbbb",
}


@contextmanager
def _style() -> Iterator[None]:
    # A fixed salt and no date: equal figures give equal text.
    with matplotlib.rc_context({"svg.hashsalt": "mixdit", "svg.fonttype": "none", "font.size": 9}):
        yield


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    svg = text.getvalue()
    return svg[svg.index("<svg") :]  # without the XML prologue, which has no place inside a page


def image_grid(rows: Mapping[str, np.ndarray]) -> str:
    """Images (B, 1, S, S) in [-1, 1], a row for each name."""
    with _style():
        figure = Figure(figsize=(0.75 * len(next(iter(rows.values()))) + 1, 0.8 * len(rows)))
        axes = figure.subplots(len(rows), len(next(iter(rows.values()))), squeeze=False)
        for line, (name, images) in zip(axes, rows.items(), strict=True):
            for axis, image in zip(line, images, strict=True):
                axis.imshow(image[0], cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
                axis.set_xticks([])
                axis.set_yticks([])
            line[0].set_ylabel(name, rotation=0, ha="right", va="center")
        return _svg(figure)


def grouped_bars(
    groups: Sequence[str], series: Mapping[str, Sequence[float]], *, ylabel: str, form: str = "{:.1f}"
) -> str:
    """Bars side by side: one group for each name, one bar in it for each series."""
    with _style():
        figure = Figure(figsize=(1.2 + 1.5 * len(groups), 2.8))
        axis = figure.subplots()
        width = 0.8 / len(series)
        for i, (name, values) in enumerate(series.items()):
            x = np.arange(len(groups)) - 0.4 + width * (i + 0.5)
            bars = axis.bar(x, values, width * 0.92, label=name, color=COLOURS.get(name))
            axis.bar_label(bars, labels=[form.format(v) for v in values], fontsize=7, padding=1)
        axis.set_xticks(np.arange(len(groups)), groups)
        axis.set_ylabel(ylabel)
        axis.margins(y=0.15)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, ncols=len(series), loc="lower center", bbox_to_anchor=(0.5, 1.0))
        return _svg(figure)


def stacked_bars(
    groups: Sequence[str], series: Mapping[str, Sequence[float]], *, xlabel: str, colours: Mapping[str, str]
) -> str:
    """Horizontal bars of parts one after the other, the first group on top; series that are zero are left out."""
    with _style():
        figure = Figure(figsize=(7, 0.9 + 0.24 * len(groups)))
        axis = figure.subplots()
        left = np.zeros(len(groups))
        for name, values in series.items():
            if any(values):
                axis.barh(np.arange(len(groups)), values, left=left, height=0.75, label=name, color=colours[name])
                left += np.asarray(values)
        axis.set_yticks(np.arange(len(groups)), groups)
        axis.invert_yaxis()
        axis.set_xlabel(xlabel)
        axis.margins(x=0.01)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.45, 1.0), fontsize=8)
        return _svg(figure)


def channel_peaks(peaks: np.ndarray, outliers: Sequence[int]) -> str:
    """Largest magnitude of each channel, the outlier channels marked."""
    with _style():
        figure = Figure(figsize=(7, 2.2))
        axis = figure.subplots()
        colours = np.full(len(peaks), COLOURS["mx6"], object)
        colours[list(outliers)] = "#cc3311"
        axis.bar(np.arange(len(peaks)), peaks, width=1.0, color=list(colours))
        axis.set_xlabel("input channel (red: in MX9)")
        axis.set_ylabel("largest magnitude")
        axis.margins(x=0.01)
        axis.spines[["top", "right"]].set_visible(False)
        return _svg(figure)


def cost_points(points: Sequence[Mapping[str, Any]], *, xlabel: str, ylabel: str) -> str:
    """What `cost_figure` draws."""
    with _style():
        return _svg(cost_figure(points, xlabel=xlabel, ylabel=ylabel))


def write_png(figure: Figure, file: IO[bytes]) -> None:
    """Write a drawing as a picture."""
    with _style():
        figure.savefig(file, format="png", dpi=110, metadata={"Software": None}, bbox_inches="tight")


def cost_figure(points: Sequence[Mapping[str, Any]], *, xlabel: str, ylabel: str) -> Figure:
    """Named points with margins, the error in a logarithmic scale; those without a cost stand in a column of their own.

    A point has ``name``, ``x`` (or None), ``y``, ``margin`` and ``colour``.
    """
    figure = Figure(figsize=(8.5, 4.6))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(4, 1.3))
    placed = sorted((p for p in points if p["x"] is not None), key=lambda p: (p["x"], p["y"]))
    apart = sorted((p for p in points if p["x"] is None), key=lambda p: p["y"])
    for axis, group in ((left, placed), (right, apart)):
        for i, p in enumerate(group):
            x = p["x"] if axis is left else 0
            y = max(p["y"], _LEAST)  # a logarithm has no zero
            low = min(p["margin"], 0.9 * y)
            axis.errorbar(x, y, yerr=[[low], [p["margin"]]], fmt="o", ms=4, lw=1, capsize=2, color=p["colour"])
            above = i % 2 == 0
            place = (6, 5 if above else -10) if axis is left else (6, -3)
            axis.annotate(p["name"], (x, y), xytext=place, textcoords="offset points", fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    left.set_yscale("log")
    left.set_xlabel(xlabel)
    left.set_ylabel(ylabel)
    left.margins(x=0.1)
    right.set_xlim(-0.3, 1.5)
    right.set_xticks([])
    right.set_xlabel("formats of others")
    return figure


def dot_rows(rows: Mapping[str, Sequence[float]], *, xlabel: str) -> str:
    """A row of dots for each name, and a bar at their median; infinite values are left out."""
    with _style():
        figure = Figure(figsize=(7, 0.8 + 0.24 * len(rows)))
        axis = figure.subplots()
        for i, values in enumerate(rows.values()):
            finite = [v for v in values if np.isfinite(v)]
            axis.plot(finite, [i] * len(finite), "o", ms=3, alpha=0.5, color=COLOURS["mx6"], mew=0)
            if finite:
                axis.plot(float(np.median(finite)), i, "|", ms=12, mew=2, color="#cc3311")
        axis.set_yticks(np.arange(len(rows)), list(rows))
        axis.invert_yaxis()
        axis.set_xlabel(xlabel)
        axis.spines[["top", "right"]].set_visible(False)
        return _svg(figure)
