"""A synthesis as text."""

from collections.abc import Iterator, Sequence

from .synth import Synthesis

_LABEL = 12
_WORST_STAGES = 3


def synthesis_lines(result: Synthesis) -> Iterator[str]:
    """Lines of text: a row per unit, the total, the period and what was used."""
    columns = list(result.total)
    names = [column.replace("_", " ") for column in columns]
    rows = [
        [unit.module, f"{unit.instances:,}", *(f"{unit.each[c]:,.0f}" for c in columns), f"{unit.share:.1%}"]
        for unit in result.units
    ]
    rows.append(["total", "", *(f"{result.total[c]:,.0f}" for c in columns), ""])
    yield from align_table([["unit", "instances", *names, f"of {result.shared}"], *rows])
    if len(result.units) > 1:
        yield "A unit's row is one instance without the units in it; its share is that of all its instances."
    if result.target == "asic":
        yield ""
        yield _labelled("library", f"{result.library['name']}; areas in its unit (um2 mostly), all registers included")
        if result.memories == "macros":
            macros = ", ".join(map(str, result.macros)) or "none"
            yield _labelled("macros", f"not in the area, by entries x bits: {macros}")
        timing = result.timing
        if timing is None:
            yield _labelled("period", result.timing_note)
        else:
            yield _labelled("period", f"{timing.period:.2f} ns between registers: {timing.start} to {timing.end}")
            worst = [f"{name} {period:.2f}" for name, period in timing.stages.items()][:_WORST_STAGES]
            if timing.port_period > timing.period:
                ports = f"{timing.port_period:.2f} ns with the ports: {timing.port_start} to {timing.port_end}"
                yield _labelled("", ports)
            yield _labelled("slowest", f"paths to {', '.join(worst)} ns")
    yield _labelled("tools", ", ".join(f"{name} {version}" for name, version in result.tools.items()))
    yield _labelled("kept in", f"{result.folder}")


def align_table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows with their columns aligned: the first to the left, all others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        yield "  ".join(cells).rstrip()


def replace_between(text: str, begin: str, end: str, body: str) -> str:
    """A document with the body in place of what stands between two marks; ValueError where it has no marks."""
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise ValueError(f"no {begin.strip()} ... {end.strip()}")
    return before + begin + body + end + after


def _labelled(label: str, text: str) -> str:
    return f"{label:<{_LABEL}}{text}"
