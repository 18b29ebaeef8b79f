import pytest

from mixdit_hw.errors import ToolError
from mixdit_hw.report.timing import Timing, parse_report

REPORT = r"""OpenSTA 2.0.17 GITDIR-NOT Copyright (c) 2019, Parallax Software, Inc.
Startpoint: adder.kept3[1]\\DFFPOSX1
            (rising edge-triggered flip-flop clocked by clk)
Endpoint: adder.o[29]\\DFFPOSX1 (rising edge-triggered flip-flop clocked by clk)
Path Group: clk
Path Type: max

    Delay      Time   Description
-------------------------------------------------------------
   0.0000    0.0000   clock clk (rise edge)
   0.0000    0.0000   clock network delay (ideal)
   0.0000    0.0000 ^ adder.kept3[1]\\DFFPOSX1/CLK (DFFPOSX1)
   0.2212    0.2212 v adder.kept3[1]\\DFFPOSX1/Q (DFFPOSX1)
   0.1918    0.4130 ^ _7260_/Y (NAND3X1)
   0.0000    0.4130 ^ adder.o[29]\\DFFPOSX1/D (DFFPOSX1)
             0.4130   data arrival time

   1.0000    1.0000   clock clk (rise edge)
   1.0000    1.0000 ^ adder.o[29]\\DFFPOSX1/CLK (DFFPOSX1)
  -0.1754    0.8246   library setup time
             0.8246   data required time
-------------------------------------------------------------
            -0.4130   data arrival time
-------------------------------------------------------------
            -3.5187   slack (VIOLATED)


max_delay/setup group clk

                                      Required    Actual
Endpoint                                 Delay     Delay     Slack
------------------------------------------------------------------
adder.o[29]\\DFFPOSX1/D (DFFPOSX1)    0.8246    4.3433   -3.5187 (VIOLATED)
adder.o[30]\\DFFPOSX1/D (DFFPOSX1)    0.8246    4.3433   -3.5100 (VIOLATED)
errors[3]\\DFFPOSX1/D (DFFPOSX1)    0.8384    0.1591    0.6793 (MET)
_17_/D (DFFPOSX1)    0.8384    0.1591    -1.0000 (VIOLATED)

== Paths from and to ports, too
Warning: timing.tcl, 11 set_input_delay relative to a clock defined on the same port/pin not allowed.
Startpoint: i_words[222] (input port clocked by clk)
Endpoint: o[9]\\DFFPOSX1
          (rising edge-triggered flip-flop clocked by clk)
            -4.0000   slack (VIOLATED)
"""


def test_report():
    assert parse_report(REPORT, time_unit=1.0, version="2.0.17") == Timing(
        period=4.5187,
        start="adder.kept3[1]",
        end="adder.o[29]",
        port_period=5.0,
        port_start="i_words[222]",
        port_end="o[9]",
        cells=(("DFFPOSX1", 0.2212), ("NAND3X1", 0.1918)),
        stages={"adder.o": 4.5187, "_17_": 2.0, "errors": 0.3207},
        version="2.0.17",
    )


def test_time_unit():
    timing = parse_report(REPORT, time_unit=2.0, version="2.0.17")
    assert timing is not None
    assert (timing.period, timing.port_period) == (9.0374, 10.0)
    assert timing.cells[0] == ("DFFPOSX1", 0.4424)


def test_plain_values():
    timing = parse_report(REPORT, time_unit=1.0, version="2.0.17")
    assert timing is not None
    assert timing.to_dict()["cells"] == [["DFFPOSX1", 0.2212], ["NAND3X1", 0.1918]]
    assert list(timing.to_dict()["stages"]) == ["adder.o", "_17_", "errors"]


def test_no_paths():
    assert parse_report("No paths found.\n\nNo paths found.\n", time_unit=1.0, version="2") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "OpenSTA gave no path: its report cannot be read"),
        (
            "Error: netlist.v line 3, syntax error\nNo paths found.",
            "OpenSTA gave no path: Error: netlist.v line 3, syntax error",
        ),
        (REPORT[: REPORT.index("==")], "OpenSTA gave no path: its report cannot be read"),
        (REPORT.replace("Endpoint: adder", "Endpiont: adder"), "OpenSTA gave no path: its report cannot be read"),
    ],
)
def test_unreadable(text: str, message: str):
    with pytest.raises(ToolError, match=f"^{message}$"):
        parse_report(text, time_unit=1.0, version="2")
