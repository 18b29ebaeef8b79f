"""Yosys's Verilog in the form that people write: ports in the module's head with their meaning, no long lists.

Works on the text that `yosys.verilog_from_rtlil` gives, line by line; what it does not know it leaves as it is.
"""

import re
import textwrap
from collections.abc import Iterator

from ..unit import UnitModule

_HEAD = re.compile(r"module (\w+)\((.*?)\);\n", re.DOTALL)
_NET = re.compile(r"  (input|output|inout|wire|reg) (?:(\[\d+:0\]) )?(\w+)( = [^;]*)?;")
_STORE = re.compile(r"    (\w+)\[(\d+)\] = (.*);")


def tidy(text: str, units: dict[str, UnitModule]) -> dict[str, str]:
    """Split Verilog text into modules, by name, each rewritten; ``units`` tells those that are units."""
    modules = {}
    for body in re.findall(r"^module .*?^endmodule$", text, re.MULTILINE | re.DOTALL):
        head = _HEAD.match(body)
        if head is None:
            raise ValueError(f"module must begin with a list of ports, not {body[:60]!r}")
        name, ports = head[1], [p.strip() for p in head[2].split(",") if p.strip()]
        lines = body[head.end() :].splitlines()
        modules[name] = "\n".join(_module(name, ports, lines, units.get(name)))
    return modules


def _module(name: str, ports: list[str], lines: list[str], unit: UnitModule | None) -> Iterator[str]:
    nets = {port: {"direction": "", "kind": "", "range": "", "init": ""} for port in ports}
    rest = []
    for line in lines:
        net = _NET.fullmatch(line)
        if net is None or net[3] not in nets:
            rest.append(line)
            continue
        found = nets[net[3]]
        found["direction" if net[1] in ("input", "output", "inout") else "kind"] = net[1]
        found["range"], found["init"] = net[2] or "", net[4] or found["init"]
    comments = _comments(unit) if unit else {}
    width = max((len(net["range"]) for net in nets.values()), default=0)
    if unit and unit.summary:
        yield f"// {unit.summary}"
    yield f"module {name} ("
    for i, (port, net) in enumerate(nets.items()):
        comma = "," if i < len(nets) - 1 else ""
        yield from comments.get(port, ())
        kind = f"{net['direction']:<6} {net['kind']:<4} "
        bits = f"{net['range']:<{width}} " if width else ""
        yield f"  {kind}{bits}{port}{net['init']}{comma}"
    yield ");"
    yield from _short_memories(rest)


def _comments(unit: UnitModule) -> dict[str, list[str]]:
    """Comment lines before ports: a meaning before the first port that has it, and the layout of what has fields.

    A stream's meaning stands before its first port; its valid and ready mean what they always do.
    """
    comments: dict[str, list[str]] = {}
    explained = {""}
    for port in unit.ports:
        lines = comments[port.name] = []
        is_flag = port.stream and port.path[-1] != "payload"
        member = unit.meanings.get(str(port.path[0]), "")
        for text in (member if port.stream else "", "" if is_flag else port.meaning):
            if text not in explained:
                lines += _wrapped(text, "  // ")
            explained.add(text)
        if not re.fullmatch(r"[us]\d+", port.layout):
            lines.append(f"  // {port.layout}")
        for name, text in port.fields.items() if port.whole else ():
            entry = f"{name}: {text}"
            if entry not in explained:
                lines += _wrapped(entry, "  //   ")
            explained.add(entry)
    return comments


def _wrapped(text: str, mark: str) -> list[str]:
    return textwrap.wrap(text, 114, initial_indent=mark, subsequent_indent=mark)


def _short_memories(lines: list[str]) -> Iterator[str]:
    """Replace the list of a memory's initial words, where all are equal, by a loop."""
    i = 0
    while i < len(lines):
        stores = []
        if lines[i] == "  initial begin":
            while store := _STORE.fullmatch(lines[i + 1 + len(stores)]):
                stores.append(store)
        words = {(store[1], store[3]) for store in stores}
        ends = i + 1 + len(stores)
        if len(words) == 1 and lines[ends] == "  end" and [int(s[2]) for s in stores] == [*range(len(stores))]:
            (memory, word) = words.pop()
            index = f"{memory}_i"
            yield f"  integer {index};"
            yield "  initial"
            yield f"    for ({index} = 0; {index} < {len(stores)}; {index} = {index} + 1) {memory}[{index}] = {word};"
            i = ends + 1
        else:
            yield lines[i]
            i += 1
