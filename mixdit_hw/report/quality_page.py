"""The page of ``mixdit quality``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from . import page, plots
from .quality import conclusion, notes, rows

_LABELS = {"xlabel": "cycles of a denoising step", "ylabel": "Fréchet distance from float32's images"}
_COLOURS = {"told apart": "#cc3311", "not told apart": "#228833", "undecided": "#888888"}


def write_quality_page(path: Path, content: Mapping[str, Any], strips: Mapping[str, np.ndarray]) -> None:
    """Write one HTML file.

    Parameters
    ----------
    path
        Where to write it.
    content
        As ``quality.json`` has it.
    strips
        A few images of each candidate, (B, C, S, S) in [-1, 1], by name; of more channels the first is drawn.
    """
    entries = {entry["name"]: entry for entry in content["candidates"]}
    ordered = [row[0] for row in rows(content)[1:]]
    page.write_page(
        path,
        "quality.html.j2",
        content=content,
        table=rows(content),
        notes=notes(content),
        conclusion=conclusion(content),
        colours=_COLOURS,
        cost_plot=page.markup(plots.cost_points(_points(content), **_LABELS)),
        strips=page.markup(plots.image_grid({name: strips[name][:, :1] for name in ordered})),
        layer_plot=page.markup(
            plots.dot_rows(
                {
                    entry["name"]: [figure["value"] for figure in entry["layers"].values() if figure is not None]
                    for entry in (entries[name] for name in ordered)
                    if entry.get("layers")
                },
                xlabel="SQNR of each product, dB",
            )
        ),
    )


def draw_costs(content: Mapping[str, Any]) -> Figure:
    """Error against cost, as the page has it."""
    return plots.cost_figure(_points(content), **_LABELS)


def _points(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": entry["name"],
            "x": entry["cycles"],
            "y": entry["from_float32"]["value"],
            "margin": entry["from_float32"]["margin"],
            "colour": _COLOURS[entry["verdict"]],
        }
        for entry in content["candidates"]
        if "verdict" in entry
    ]
