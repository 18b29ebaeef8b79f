"""Cells of each module, from Yosys's ``stat -json``."""

import json
from collections import Counter
from dataclasses import dataclass

from ..errors import ToolError

_NO_CELLS = ("$scopeinfo",)  # notes of the flattening, no hardware


@dataclass(frozen=True, kw_only=True)
class ModuleCells:
    """What one module holds itself: cells by type, and instances of other modules by name."""

    cells: Counter[str]
    children: Counter[str]


def parse_stat(text: str) -> dict[str, ModuleCells]:
    """Modules by name; ToolError where the text is not what Yosys writes."""
    try:
        found = {
            name.removeprefix("\\"): {
                **module["num_cells_by_type"],
                **module.get("num_submodules_by_type", {}),
            }
            for name, module in json.loads(text)["modules"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise ToolError(f"Yosys's statistic cannot be read: {type(e).__name__}: {e}") from None
    modules = {}
    for name, counts in found.items():
        cells, children = Counter[str](), Counter[str]()
        for kind, count in counts.items():
            if kind.removeprefix("\\") in found:
                children[kind.removeprefix("\\")] += count
            elif kind not in _NO_CELLS:
                cells[kind] += count
        modules[name] = ModuleCells(cells=cells, children=children)
    return modules


def count_instances(modules: dict[str, ModuleCells], top: str) -> dict[str, int]:
    """How often the design has each module, parents before children; modules that it does not have are left out."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name not in order:
            for child in sorted(modules[name].children):
                visit(child)
            order.append(name)

    visit(top)
    total = Counter({top: 1})
    for name in reversed(order):
        for child, count in modules[name].children.items():
            total[child] += count * total[name]
    return {name: total[name] for name in reversed(order)}
