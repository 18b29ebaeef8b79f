import json

import pytest

from mixdit_hw.errors import ToolError
from mixdit_hw.report.stat import ModuleCells, count_instances, parse_stat


def stat(**modules: dict[str, int]) -> str:
    return json.dumps(
        {
            "creator": "Yosys",
            "modules": {f"\\{name}": {"num_cells": 1, "num_cells_by_type": cells} for name, cells in modules.items()},
            "design": {"num_cells_by_type": {}},
        }
    )


def test_cells_and_children():
    modules = parse_stat(stat(top={"$scopeinfo": 4, "DFF": 2, "leaf": 3}, leaf={"NAND": 5}))
    assert modules == {
        "top": ModuleCells(cells={"DFF": 2}, children={"leaf": 3}),  # type: ignore[arg-type]
        "leaf": ModuleCells(cells={"NAND": 5}, children={}),  # type: ignore[arg-type]
    }


def test_children_that_are_counted_apart():
    text = json.dumps(
        {
            "modules": {
                "\\top": {"num_cells_by_type": {"DFF": 2}, "num_submodules_by_type": {"leaf": 3}},
                "\\leaf": {"num_cells_by_type": {"NAND": 5}},
            }
        }
    )
    assert parse_stat(text)["top"] == ModuleCells(cells={"DFF": 2}, children={"leaf": 3})  # type: ignore[arg-type]


def test_instances_multiply_and_parents_come_first():
    modules = parse_stat(stat(top={"b": 2, "a": 3}, a={"b": 5, "c": 1}, b={"c": 7}, c={"INV": 1}, unused={"INV": 1}))
    found = count_instances(modules, "top")
    assert found == {"top": 1, "a": 3, "b": 2 + 3 * 5, "c": 3 + 7 * 17}
    order = list(found)
    assert order[0] == "top"
    assert order.index("a") < order.index("b") < order.index("c")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "TypeError"),
        ("{}", "KeyError"),
        ('{"modules": {"a": {}}}', "KeyError"),
        ('{"modules": []}', "AttributeError"),
    ],
)
def test_other_text(text: str, problem: str):
    with pytest.raises(ToolError, match=f"^Yosys's statistic cannot be read: {problem}: "):
        parse_stat(text)
