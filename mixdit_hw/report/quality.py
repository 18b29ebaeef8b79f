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
    "other noise",
    "p, other noise",
    "verdict, other noise",
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
        return [entry["name"], cycles, f"{entry['bits']:.1f}", *[""] * 9, real, "", "", right]
    apart, other, change = entry["from_float32"], entry["other_noise"], entry["distance_change"]
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
        f"{other['value']:.3f} ± {other['margin']:.3f}",
        f"{other['p_adjusted']:.3f}",
        entry["verdict_other_noise"],
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
    """What the comparison says, in a few sentences."""
    number = content["sampling"]["samples"]
    same = _sentences(content, "", f"With {number} images each, from the same noise as float32's")
    return f"{same} {_sentences(content, '_other_noise', f'With {number // 2} each, from other noise')}"


def _sentences(content: Mapping[str, Any], kind: str, introduction: str) -> str:
    entries = {entry["name"]: entry for entry in content["candidates"]}
    if not content["sees" + kind]:
        return f"{introduction}: undecided, since {content['control']}, which should be told from float32, was not."
    told = [name for name, entry in entries.items() if entry.get("verdict" + kind) == "told apart"]
    kept = [name for name, entry in entries.items() if entry.get("verdict" + kind) == "not told apart"]
    text = f"{introduction}, told from it: {', '.join(told)};"
    if not kept:
        return f"{text} that is all of them."
    text += f" not told: {', '.join(kept)}."
    best = content["best" + kind]
    if best is None:
        return f"{text} This hardware runs none of the latter."
    return f"{text} Of the latter the cheapest on this hardware is {best}, {entries[best]['cycles']:,} cycles a step."


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
        "other noise": "the same of half of the images against float32's from other noise, as FID compares; a "
        f"distance of {_range(content)} would have been told apart about 4 times out of 5",
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


def _range(content: Mapping[str, Any]) -> str:
    """Least and largest distance that could have been detected with other noise."""
    found = [entry["other_noise"]["detectable"] for entry in content["candidates"] if "verdict" in entry]
    return f"{min(found):.2f} to {max(found):.2f}"


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
