import pytest

from mixdit_hw.report.targets import FPGA_TARGETS, RESOURCES


def resources(target: str, **cells: int) -> dict[str, int]:
    """What is used, without the zeros."""
    used = FPGA_TARGETS[target].resources(cells)
    assert tuple(used) == RESOURCES
    return {name: amount for name, amount in used.items() if amount}


def test_names():
    assert {name: target.name for name, target in FPGA_TARGETS.items()} == {
        name: name for name in ("generic", "ice40", "ecp5", "gowin", "xc7")
    }


def test_ecp5():
    cells = {"LUT4": 100, "CCU2C": 10, "TRELLIS_FF": 7, "MULT18X18D": 2, "DP16KD": 3, "TRELLIS_DPR16X4": 1, "PFUMX": 5}
    assert resources("ecp5", **cells) == {"cells": 128, "luts": 124, "ffs": 7, "dsps": 2, "brams": 3}


def test_ice40():
    cells = {"SB_LUT4": 9, "SB_CARRY": 8, "SB_DFFESR": 2, "SB_DFF": 1, "SB_MAC16": 3, "SB_RAM40_4K": 4}
    assert resources("ice40", **cells) == {"cells": 27, "luts": 9, "ffs": 3, "dsps": 3, "brams": 4}


def test_gowin():
    cells = {
        "LUT1": 1,
        "LUT4": 3,
        "ALU": 5,
        "MUX2_LUT5": 2,
        "DFFCE": 4,
        "MULT9X9": 1,
        "SDPB": 2,
        "RAM16SDP4": 1,
        "GND": 1,
    }
    assert resources("gowin", **cells) == {"cells": 20, "luts": 13, "ffs": 4, "dsps": 1, "brams": 2}


def test_xc7():
    cells = {
        "LUT2": 1,
        "LUT6": 3,
        "CARRY4": 9,
        "FDRE": 4,
        "DSP48E1": 1,
        "RAMB18E1": 2,
        "RAM32M": 1,
        "SRL16E": 2,
        "INV": 1,
    }
    assert resources("xc7", **cells) == {"cells": 24, "luts": 10, "ffs": 4, "dsps": 1, "brams": 2}


def test_generic():
    cells = {"$_AND_": 5, "$_SDFFE_PP0P_": 3, "$_DFF_P_": 2, "$_MUX_": 1, "$_DLATCH_P_": 1}
    assert resources("generic", **cells) == {"cells": 12, "ffs": 6}


@pytest.mark.parametrize(
    ("target", "dsp", "command"),
    [
        ("generic", True, "synth -flatten -top t"),
        ("generic", False, "synth -flatten -top t"),
        ("ice40", True, "synth_ice40 -dsp -top t"),
        ("ice40", False, "synth_ice40 -top t"),
        ("ecp5", True, "synth_ecp5 -abc9 -nowidelut -top t"),
        ("ecp5", False, "synth_ecp5 -abc9 -nowidelut -nodsp -top t"),
        ("gowin", False, "synth_gowin -noiopads -nodsp -top t"),
        ("xc7", False, "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -nodsp -top t"),
    ],
)
def test_scripts(target: str, dsp: bool, command: str):
    before = ["scratchpad -copy abc9.script.flow3 abc9.script"] if target == "ecp5" else []
    assert FPGA_TARGETS[target].script("t", dsp=dsp) == [*before, command]
