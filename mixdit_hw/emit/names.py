"""Plain Verilog names for Amaranth's RTLIL text.

Amaranth names a submodule by its dotted path, a repeated signal ``x$1``, and gives each field of a struct a wire
of its own (``x.field``) that nothing reads. Here modules get their final names, every public name becomes a plain
identifier that is no reserved word, wires of fields go, and a unit's ports get the numbers of their final order.
"""

import re
from collections.abc import Iterator

from ..keywords import VERILOG_KEYWORDS
from ..rtlil import module_name, split_modules
from ..unit import UnitModule

_UNPLAIN = re.compile(r"[^A-Za-z0-9_]")
_REPEATED = re.compile(r"\$\d+\Z")
_TOKEN = re.compile(r"\\([^\s\\\"]+)")
_MEMORY_ID = re.compile(r'(parameter \\MEMID "\\\\)(.*)(")')
_PORT = re.compile(r"(wire .*(?:input|output|inout) )(\d+)( +\\)(.*)")
_DROPPED_ATTRIBUTES = (r"attribute \src ", r"attribute \enum_")


def legal_names(names: list[str]) -> dict[str, str]:
    """Map names to plain identifiers, each its own: those that are plain keep theirs, others take what is free.

    The result depends on the names and their order only.
    """
    plain = {name: name for name in names if not _UNPLAIN.search(name) and _may_stand(name)}
    taken = set(plain)
    legal = {}
    for name in names:
        if name in plain:
            legal[name] = name
            continue
        candidate = stem = _stem(name)
        count = 0
        while candidate in taken or not _may_stand(candidate):
            count += 1
            candidate = f"{stem}_{count}"
        taken.add(candidate)
        legal[name] = candidate
    return legal


def legal_rtlil(units: list[UnitModule], unit_names: dict[UnitModule, str]) -> str:
    """RTLIL text of all units with plain names and no leftovers; modules and their contents keep their order."""
    modules = [(unit, lines) for unit in units for lines in split_modules(unit.rtlil)]
    locals_of = {module_name(lines): legal_names(_declared(lines)) for _, lines in modules}
    final = {unit.label: name for unit, name in unit_names.items()}
    module_names = {name: _final_name(name, final) for name in locals_of}
    if len(set(module_names.values())) < len(module_names):
        raise ValueError(f"modules must have names of their own, not {sorted(module_names.values())!r}")
    return "".join(f"{line}\n" for unit, lines in modules for line in _rewrite(unit, lines, locals_of, module_names))


def _final_name(name: str, final: dict[str, str]) -> str:
    label, *path = name.split(".")
    return "_".join((final[label], *map(_stem, path)))


def _stem(name: str) -> str:
    stem = _UNPLAIN.sub("_", _REPEATED.sub("", name)).strip("_") or "signal"
    return f"n{stem}" if stem[0].isdigit() else stem


def _may_stand(name: str) -> bool:
    # Names such as _12_ are those that Yosys makes up.
    return name not in VERILOG_KEYWORDS and not name[0].isdigit() and not name.startswith("_")


def _declared(lines: list[str]) -> list[str]:
    """Public names that a module declares, without the wires of struct fields."""
    names: dict[str, None] = {}
    for line in lines:
        if line.startswith(("wire ", "memory ", "cell ")):
            name = line.rsplit(" ", 1)[1]
            if name[0] == "\\" and not _is_field(name[1:], names):
                names[name[1:]] = None
    return list(names)


def _is_field(name: str, declared: dict[str, None] | dict[str, str]) -> bool:
    base = re.split(r"[.\[]", name, maxsplit=1)[0]
    return base != name and name not in declared and base in declared


def _rewrite(
    unit: UnitModule, lines: list[str], locals_of: dict[str, dict[str, str]], module_names: dict[str, str]
) -> Iterator[str]:
    module = module_name(lines)
    local = locals_of[module]
    order = [*unit.clocking, *(port.name for port in unit.ports)]
    number = {name: i for i, name in enumerate(order, 1)} if module == unit.label else {}
    in_cell = False
    cell_ports: dict[str, str] = {}
    attributes: list[str] = []

    def rename(text: str, names: dict[str, str] = local) -> str:
        return _TOKEN.sub(lambda token: f"\\{names.get(token[1], token[1])}", text)

    yield f"module \\{module_names[module]}"
    for line in lines[1:]:
        word = line.split(" ", 1)[0]
        if word == "attribute":
            if not line.startswith(_DROPPED_ATTRIBUTES):
                attributes.append(line)
            continue
        if word == "cell":
            _, kind, name = line.split(" ")
            in_cell, cell_ports = True, locals_of.get(kind[1:], {})
            line = f"cell {rename(kind, module_names)} {rename(name)}"
        elif word == "end":
            in_cell = False
        elif word == "connect":
            _, target, source = line.split(" ", 2)
            if not in_cell and _is_field(target[1:], local):
                continue
            line = f"connect {rename(target, cell_ports if in_cell else local)} {rename(source)}"
        elif word == "parameter":
            line = _MEMORY_ID.sub(lambda memory: f"{memory[1]}{local[memory[2]]}{memory[3]}", line)
        elif word == "wire" and _is_field(line.rsplit(" ", 1)[1][1:], local):
            attributes.clear()
            continue
        else:
            line = rename(line)
            if port := _PORT.match(line):
                # Yosys takes 0 for "no port".
                line = f"{port[1]}{number.get(port[4], int(port[2]) + 1)}{port[3]}{port[4]}"
        yield from attributes
        attributes.clear()
        yield line
