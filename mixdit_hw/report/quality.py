"""The result of ``mixdit quality`` as text and as Markdown."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .table import align_table

_HEADINGS = (
    "precision",
    "cycles a step",
    "bits",
    "images, dB",
    "worst layer, dB",
    "from float32",
    "detectable",
    "p",
    "verdict",
    "from reference",
    "change",
    "detectable change",
    "right",
)


def rows(content: Mapping[str, Any]) -> list[list[str]]:
    """A heading and a row for each candidate, float32 first, then the cheapest."""
    return [list(_HEADINGS), *(_row(entry) for entry in sorted(content["candidates"], key=_order))]


def _order(entry: Mapping[str, Any]) -> tuple[float, float]:
    if "verdict" not in entry:
        return (-1, 0)
    return (math.inf if entry["cycles"] is None else entry["cycles"], entry["bits"])


def _row(entry: Mapping[str, Any]) -> list[str]:
    cycles = "" if entry["cycles"] is None else f"{entry['cycles']:,}"
    share = entry["accuracy"]
    right = "" if share is None else f"{100 * share['value']:.1f} ± {100 * share['margin']:.1f} %"
    own = entry["distance"]
    if "verdict" not in entry:  # float32
        real = f"{own['value']:.3f} ± {own['margin']:.3f}"
        return [entry["name"], cycles, f"{entry['bits']:.1f}", "", "", "", "", "", "", real, "", "", right]
    apart, change = entry["from_float32"], entry["distance_change"]
    name, worst = worst_layer(entry)
    return [
        entry["name"],
        cycles,
        f"{entry['bits']:.1f}",
        _interval(entry["sqnr"], 1),
        f"{worst:.1f} ({name})" if name else "",
        f"{apart['value']:.4f} ± {apart['margin']:.4f}",
        f"{apart['detectable']:.4f}",
        f"{apart['p_adjusted']:.3f}",
        entry["verdict"],
        f"{own['value']:.3f}",
        f"{change['value']:+.3f} ± {change['margin']:.3f}",
        f"{change['detectable']:.3f}",
        right,
    ]


def worst_layer(entry: Mapping[str, Any]) -> tuple[str, float]:
    """Name, without ``blocks.``, and SQNR in dB of the product with the lowest one."""
    layers = {name: figure["value"] for name, figure in entry["layers"].items() if figure is not None}
    if not layers:
        return "", math.nan
    name = min(layers, key=lambda n: layers[n])
    return name.removeprefix("blocks."), layers[name]


def _interval(estimate: Mapping[str, float] | None, digits: int) -> str:
    if estimate is None:
        return "exact"
    return f"{estimate['value']:.{digits}f} ± {estimate['margin']:.{digits}f}"


def conclusion(content: Mapping[str, Any]) -> str:
    """One sentence: what the comparison says."""
    entries = {entry["name"]: entry for entry in content["candidates"]}
    if not content["sees"]:
        name = content["control"]
        return f"Undecided: {name}, which should be told from float32, could not be; more samples are needed."
    told = [name for name, entry in entries.items() if entry.get("verdict") == "told apart"]
    kept = [name for name, entry in entries.items() if entry.get("verdict") == "not told apart"]
    text = f"With {content['sampling']['samples']} images each, told from float32: {', '.join(told)}. "
    if not kept:
        return text + "So all of them can be told from it."
    text += f"Not told from it: {', '.join(kept)}. "
    if content["best"] is None:
        return text + "This hardware runs none of the latter."
    best = entries[content["best"]]
    return text + f"Of the latter the cheapest on this hardware is {content['best']}, {best['cycles']:,} cycles a step."


def notes(content: Mapping[str, Any]) -> Sequence[str]:
    """What the columns mean."""
    sampling, design = content["sampling"], content["design"]["name"]
    made = ", ".join((f"{sampling['steps']} steps", f"guidance {sampling['guidance']:g}", f"eta {sampling['eta']:g}"))
    guided = " with guidance" if sampling["guidance"] != 1 else ""
    columns = {
        "cycles a step": f"attention and MLP in a denoising step of one image{guided}, on the design {design}; "
        "none for formats that it does not have",
        "bits": "of an operand's element, mean over all multiplications",
        "images": "signal to noise against float32's images",
        "worst layer": "signal to noise of the worst of all products, on the same operands",
        "from float32": "Fréchet distance between a precision's images and float32's",
        "detectable": "a true distance that would have been told apart about 4 times out of 5",
        "p": "of the paired test, after Holm over all precisions",
        "from reference": f"Fréchet distance to {content['reference']}",
        "change": "of that, against float32's",
        "detectable change": "the smallest true one that would have been found 4 times out of 5",
        "right": "images that the classifier takes for their label",
    }
    return (
        f"{sampling['samples']} images of each precision ({made}), the same noise and labels for all.",
        f"Features: {content['features']}. Intervals are of 95 %.",
        *(f"{name}: {meaning}." for name, meaning in columns.items()),
    )


def quality_lines(content: Mapping[str, Any]) -> Iterator[str]:
    """Lines of text."""
    yield from align_table(rows(content))
    yield ""
    yield from notes(content)
    yield ""
    yield conclusion(content)


def quality_markdown(content: Mapping[str, Any]) -> str:
    """A table in Markdown, with what its columns mean and the conclusion."""
    heading, *body = rows(content)
    lines = [f"| {' | '.join(heading)} |", f"|---|{'---:|' * (len(heading) - 1)}"]
    lines += [f"| {' | '.join(row)} |" for row in body]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes(content)), "", conclusion(content)]) + "\n"
