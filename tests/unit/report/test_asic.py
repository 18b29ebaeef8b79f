import pytest

from mixdit_hw.errors import ToolError
from mixdit_hw.report import asic
from mixdit_hw.report.asic import constraints, default_liberty, map_script, netlist_script
from mixdit_hw.report.liberty import parse_library
from mixdit_hw.report.memories import macro_script


def test_default_liberty(tmp_path, monkeypatch):
    monkeypatch.setattr(asic, "DEFAULT_LIBERTY", tmp_path / "a.lib")
    message = "asic needs a cell library: install Debian's package qflow-tech-osu018 or give --liberty FILE"
    with pytest.raises(ToolError, match=f"^{message}$"):
        default_liberty()
    (tmp_path / "a.lib").touch()
    assert default_liberty() == tmp_path / "a.lib"


def test_constraints():
    buffer = b'cell (BUFX2) { area : 3; pin (A) { direction : input; } pin (Y) { function : "A"; } }'
    assert constraints(parse_library(b"library (l) { " + buffer + b" }", "l")) == (
        "set_driving_cell BUFX2\nset_load 0.05\n"
    )


def test_mapping():
    assert map_script("top") == [
        "proc",
        "setattr -unset init w:*",
        "synth -flatten -top top",
        "dfflibmap -liberty cells.lib",
        "abc -liberty cells.lib -constr constraints -D 1",
    ]


def test_mapping_in_another_order():
    script = map_script("top", 7)
    assert script[2:4] == ["flatten -noscopeinfo", "rename -scramble-name -seed 7"]
    assert script[:2] + script[4:] == map_script("top")


def test_mapping_with_macros():
    script = map_script("top", macros=True)
    coarse = script.index("synth -flatten -top top -run begin:fine")
    fine = script.index("synth -top top -run fine:check")
    assert script[coarse + 1 : fine] == macro_script()
    assert [*script[:coarse], "synth -flatten -top top", *script[fine + 1 :]] == map_script("top")


def test_netlist_is_flat_and_in_the_verilog_that_opensta_reads():
    script = netlist_script()
    assert script.index("flatten -noscopeinfo") < script.index("splitnets -ports") < script.index("opt_clean -purge")
    assert script[-1] == "write_verilog -noattr -noexpr -nohex netlist.v"
