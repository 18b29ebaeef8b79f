"""Results of the performance model as text; they are the plain values that `perf.compare` gives."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .quantities import cycles, megabytes, milliseconds, number, speedup
from .table import align_table

BOUNDS = {
    "engines": "engines",
    "a": "stream A",
    "w": "stream W",
    "result": "stream C",
    "drain": "result chains",
    "memory": "memory",
    "start": "start",
}
PARTS = {
    "useful": "multiplications",
    "k_padding": "K and outlier padding",
    "padding": "M, N padding",
    "wait_a": "wait for A",
    "wait_w": "wait for W",
    "wait_result": "wait for C",
    "wait_drain": "wait for result chains",
    "start": "start and drain",
}
_LABEL = 12
_SLOWED = "not like with like: the memory slows ours, and the authors' schedule knows none"


def slows(memory: Mapping[str, Any]) -> bool:
    """Whether a memory, as JSON holds it, keeps a schedule waiting at all."""
    return memory["bandwidth"] is not None or memory["latency"] > 0 or max(memory[s] for s in ("a", "w", "c")) > 1


def result_lines(result: Mapping[str, Any], *, slowed: bool = False) -> Iterator[str]:
    """A table of the products, and what a step and an image take by all schedules.

    Parameters
    ----------
    result
        Of one model, or of a product.
    slowed
        Whether the memory is one that `slows` ours.
    """
    yield from align_table(list(_layer_rows(result)))
    yield ""
    if "ours" in result:
        ours = result["ours"]
        yield _labelled(
            "ours", f"{_times(ours, result)}; utilisation {ours['utilisation']:.1%}, useful {ours['useful']:.1%}"
        )
        lost = [
            f"{PARTS[part]} {n / ours['cycles']:.1%}" for part, n in ours["parts"].items() if part != "useful" and n
        ]
        yield _labelled("lost", ", ".join(lost) or "nothing")
        moved = ", ".join(f"{name.upper()} {megabytes(n)}" for name, n in ours["bytes"].items())
        step = "" if result["steps"] is None else " a step"
        yield _labelled("moved", f"{moved}{step}, {number(ours['bytes_per_cycle'], 1)} bytes per cycle")
        yield _labelled("events", _events(ours["events"]))
    if "authors" in result:
        authors = result["authors"]
        size = f"{authors['rows']} x {authors['columns']} engines"
        yield _labelled("authors", f"{_times(authors, result)} on {size}; utilisation {authors['utilisation']:.1%}")
        if "speedup" in authors:
            yield _labelled(
                "", f"ours is {speedup(authors['speedup'])} times as fast, at equal clock and {_multipliers(result)}"
            )
            if slowed:
                yield _labelled("", _SLOWED)
    yield from _gpu_lines(result)
    if result.get("other_work"):
        yield _labelled("beside", _other(result["other_work"]))


def overview_lines(results: Sequence[Mapping[str, Any]], *, slowed: bool = False) -> Iterator[str]:
    """A row for each model; ``slowed`` as in `result_lines`."""
    first = results[0]
    ours, authors = "ours" in first, "authors" in first
    head = ["model", "G MAC"]
    head += ["M cycles", "ms/step", "steps", "s/image", "utilisation", "useful"] if ours else []
    head += ["authors M", "utilisation"] if authors else []
    head += ["over authors"] if ours and authors else []
    assumed = [key for result in results for key in result["gpu"].get("assumed", {})]
    columns = list(dict.fromkeys(assumed))
    columns += ["measured"] if any("measured" in result["gpu"] for result in results) else []
    rows = [[*head, *(f"GPU {c}" for c in columns)]]
    for result in results:
        row = [result["name"], number(result["macs"] / 1e9, 1)]
        if ours:
            o = result["ours"]
            image = number(o["seconds_per_image"], 2)
            row += [number(o["cycles"] / 1e6, 2), number(1e3 * o["seconds_per_step"], 2), f"{result['steps']}", image]
            row += [f"{o['utilisation']:.1%}", f"{o['useful']:.1%}"]
        if authors:
            row += [number(result["authors"]["cycles"] / 1e6, 2), f"{result['authors']['utilisation']:.1%}"]
        if ours and authors:
            row += [speedup(result["authors"]["speedup"])]
        gpu = result["gpu"]
        times = gpu.get("assumed", {}) | ({"measured": gpu["measured"]} if "measured" in gpu else {})
        rows.append([*row, *(speedup(times[c]["speedup"]) if c in times else "-" for c in columns)])
    yield from align_table(rows)
    yield ""
    if ours and authors:
        yield authors_note(slowed)
    yield gpu_note(results, "ours" if ours else "the authors' array")


def authors_note(slowed: bool) -> str:
    """What the column of speed-ups over the authors' schedule means; ``slowed`` as in `result_lines`."""
    note = "Over authors: how many times as fast ours is as the authors' schedule, at equal clock"
    return f"{note}; {_SLOWED}." if slowed else f"{note}."


def gpu_note(results: Sequence[Mapping[str, Any]], faster: str) -> str:
    """What the columns of GPU speed-ups mean."""
    notes = {}
    for result in results:
        gpu = result["gpu"]
        if "measured" in gpu:
            notes[f"measured on {gpu['name']} ({gpu['software']})"] = None
        else:
            peak = f"{gpu['tflops']:.1f} TFLOPS (FP16, accumulated in {gpu['accumulation'].upper()})"
            notes[
                f"at that share of the {gpu['name']}'s {peak}, or at its roofline with {gpu['gb_per_s']:.0f} GB/s"
            ] = None
    text = f"GPU: how many times as fast {faster} is as a GPU " + "; ".join(notes) + "."
    ruled_out = [f"{r['name']} at {', '.join(shares)}" for r in results if (shares := _ruled_out(r["gpu"]))]
    return f"{text} Its roofline rules out {'; '.join(ruled_out)}." if ruled_out else text


def _ruled_out(gpu: Mapping[str, Any]) -> list[str]:
    """Assumed shares of a GPU's peak that would take less time than its roofline."""
    times = {key: found["seconds_per_step"] for key, found in gpu.get("assumed", {}).items()}
    return [key for key, seconds in times.items() if seconds < times["roofline"]]


def _layer_rows(result: Mapping[str, Any]) -> Iterator[list[str]]:
    ours, authors = "ours" in result, "authors" in result
    head = ["product", "M x K x N", "instances", "formats"]
    head += ["cycles", "share", "utilisation", "useful", "bound by"] if ours else []
    yield head + (["authors' cycles", "utilisation"] if authors else [])
    for layer in result["layers"]:
        shape = f"{layer['m']} x {layer['k']} x {layer['n']}"
        formats = " + ".join(f"{s['k']} {s['formats']}" for s in layer["segments"])
        row = [layer["name"], shape, f"{layer['instances']:,}", formats]
        if ours:
            cost = layer["ours"]
            bound = BOUNDS[cost["bound"]] + (", swapped" if cost["swapped"] else "")
            row += [f"{cost['cycles']:,}", f"{cost['cycles'] / result['ours']['cycles']:.1%}"]
            row += [f"{cost['utilisation']:.1%}", f"{cost['useful']:.1%}", bound]
        if authors:
            row += [f"{layer['authors']['cycles']:,}", f"{layer['authors']['utilisation']:.1%}"]
        yield row


def _times(part: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    text = f"{cycles(part['cycles'])} cycles, {milliseconds(part['seconds_per_step'])}"
    if result["steps"] is None:
        return text
    image = f"{number(part['seconds_per_image'], 2)} s for an image of {result['steps']} steps"
    return f"{text} a step of {result['samples']} samples, {image}"


def _multipliers(result: Mapping[str, Any]) -> str:
    """Multiplications per cycle of both schedules."""
    ours, theirs = result["ours"]["macs_per_cycle"], result["authors"]["macs_per_cycle"]
    return f"{ours:,} MX6 MAC per cycle each" if ours == theirs else f"{ours:,} MX6 MAC per cycle against {theirs:,}"


def _gpu_lines(result: Mapping[str, Any]) -> Iterator[str]:
    gpu = result["gpu"]
    if "measured" in gpu:
        found = gpu["measured"]
        took = f"{milliseconds(found['seconds_per_step'])} measured, {number(gpu['tflops'], 1)} TFLOPS"
        faster = f"{speedup(found['speedup'])} times as fast as {gpu['name']}"
        yield _labelled("GPU", f"{faster}: {took} ({gpu['software']})")
        return
    peak = (
        f"{gpu['tflops']:.1f} TFLOPS (FP16, accumulated in {gpu['accumulation'].upper()}), {gpu['gb_per_s']:.0f} GB/s"
    )
    yield _labelled("GPU", f"times as fast as an {gpu['name']} of {peak}:")
    for key, found in gpu["assumed"].items():
        at = "at its roofline" if key == "roofline" else f"if it reaches {key}"
        ruled_out = ", which its roofline rules out" if key in _ruled_out(gpu) else ""
        yield _labelled("", f"{speedup(found['speedup'])} {at} ({milliseconds(found['seconds_per_step'])}){ruled_out}")


def _events(events: Mapping[str, Any]) -> str:
    macs = ", ".join(f"{n:.4g} {pair}" for pair, n in events["macs"].items())
    bits = sum(events[key] for key in ("a_written", "a_read", "w_written", "w_read", "c_written", "c_read"))
    counts = f"{events['digit_products']:.4g} digit products, {events['accumulations']:.4g} FP32 additions"
    return f"MACs {macs}; {counts}, {bits:.4g} bits into and out of the core's memories"


def _other(work: Mapping[str, Any]) -> str:
    conversions = ", ".join(f"{n:.4g} to {fmt.upper()}" for fmt, n in work["conversions"].items())
    counts = f"{work['exponentials']:.4g} exponentials, {work['normalised']:.4g} elements normalised"
    return f"{counts}, {work['activated']:.4g} activated; blocks converted {conversions}"


def _labelled(label: str, text: str) -> str:
    return f"{label:<{_LABEL}}{text}"
