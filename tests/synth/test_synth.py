"""The real tools on small units: what they report must hold together, whatever the figures are."""

import json
import re
from pathlib import Path

import pytest

from mixdit_hw.params import Params
from mixdit_hw.report.asic import DEFAULT_LIBERTY
from mixdit_hw.report.liberty import Library, read_library
from mixdit_hw.report.synth import Synthesis, synthesize
from mixdit_hw.report.timing import find_sta

# The smallest designs: one engine of one digit, one of two.
NARROW = Params(rows=1, columns=1, a_depth=16, w_depth=4, c_depth=4, formats=("mx6",))
WIDE = NARROW.replace(formats=("mx9", "mx6"))


@pytest.fixture(scope="module")
def library() -> Library:
    """OSU 0.18 um."""
    if not DEFAULT_LIBERTY.is_file():
        pytest.skip("NOT RUN: synthesis to cells: Debian's package qflow-tech-osu018 is missing")
    return read_library(DEFAULT_LIBERTY)


@pytest.fixture(scope="module")
def build_dir(tmp_path_factory) -> Path:
    """Of all tests here."""
    return tmp_path_factory.mktemp("synth")


@pytest.fixture(scope="module")
def mapped(library: Library, build_dir: Path) -> Synthesis:
    """The narrow engine in OSU 0.18 um."""
    return synthesize(NARROW, "engine", target="asic", library=library, build_dir=build_dir)


def test_library(library: Library):
    assert library.name == "osu018_stdcells"
    assert library.driving_cell == "BUFX2"
    assert library.register_area == 96.0
    assert library.cells["LATCH"].kind == "latch"
    assert library.cells["LATCH"].area == 0.0
    assert {cell.name for cell in library.cells.values() if cell.kind == "register"} == {
        "DFFNEGX1",
        "DFFPOSX1",
        "DFFSR",
    }


def test_area_is_that_of_yosys_itself(mapped: Synthesis, library: Library):
    # Flip-flops without reset only: all are DFFPOSX1.
    assert mapped.units[0].cells["DFFPOSX1"] * 96.0 == mapped.total["registers"] > 0
    netlist = (mapped.folder / "netlist.v").read_text() if mapped.timing is not None else None
    assert mapped.total["area"] == mapped.total["logic"] + mapped.total["registers"]
    if netlist is not None:
        found = [name for name in re.findall(r"^  (\w+) ", netlist, re.MULTILINE) if name in library.cells]
        assert sum(library.cells[name].area or 0 for name in found) == mapped.total["area"]
        assert len(found) == mapped.total["cells"]


def test_period(mapped: Synthesis):
    if find_sta() is None:
        pytest.skip("NOT RUN: period of synthesised units: opensta is missing")
    timing = mapped.timing
    assert timing is not None
    assert timing.version == mapped.tools["opensta"]
    # From the clock of the first register on, the delays of the path's cells and the setup time of the last one.
    delay = sum(delay for _, delay in timing.cells)
    assert delay < timing.period < delay + 0.5
    assert 1.0 < timing.period <= timing.port_period + 0.5
    assert max(timing.stages.values()) == timing.period
    assert re.sub(r"\[\d+\]$", "", timing.end) == next(iter(timing.stages))
    assert timing.cells[0][0] == "DFFPOSX1"


def test_result_is_kept_with_its_script(mapped: Synthesis):
    assert json.loads((mapped.folder / "result.json").read_text()) == mapped.to_dict()
    assert (mapped.folder / "script.ys").read_text().splitlines() == list(mapped.script)
    assert (mapped.folder / "yosys.log").stat().st_size > 0


def test_two_digits_take_more(mapped: Synthesis, library: Library, build_dir: Path):
    wide = synthesize(WIDE, "engine", target="asic", library=library, timing=False, build_dir=build_dir)
    assert wide.total["registers"] > mapped.total["registers"]
    assert wide.total["logic"] > mapped.total["logic"]


def test_units_of_an_array_are_those_alone(build_dir: Path):
    alone = synthesize(NARROW, "engine", target="generic", build_dir=build_dir)
    array = synthesize(NARROW.replace(columns=2), "array", target="generic", build_dir=build_dir)
    units = {unit.module: unit for unit in array.units}
    assert units["mixdit_engine"].instances == 2
    assert units["mixdit_engine"].each["ffs"] == alone.total["ffs"]
    assert units["mixdit_engine"].cells["$_DFF_P_"] == alone.units[0].cells["$_DFF_P_"]
    assert array.units[0].module == "mixdit_array"
    assert sum(unit.share for unit in array.units) == pytest.approx(1, abs=1e-12)
    assert sum(unit.instances * unit.each["ffs"] for unit in array.units) == array.total["ffs"]


PAIRS = NARROW.replace(columns=2, multipliers="pairs")
QUADS = PAIRS.replace(rows=2, c_depth=8, multipliers="quads")


@pytest.mark.parametrize("target", ["ecp5", "gowin", "ice40", "xc7"])
def test_fpgas(target: str, build_dir: Path):
    result = synthesize(NARROW, "engine", target=target, dsp=True, build_dir=build_dir)
    total = result.total
    assert total["luts"] > 200
    assert total["ffs"] > 200
    assert total["brams"] == 0
    # These products are sums of partial products, which Yosys puts into LUTs.
    assert total["dsps"] == 0
    assert result.timing is None


@pytest.mark.parametrize(
    ("target", "params"),
    [("ecp5", PAIRS), ("gowin", PAIRS), ("ice40", PAIRS), ("xc7", PAIRS), ("xc7", QUADS)],
    ids=lambda x: x.multipliers if isinstance(x, Params) else x,
)
def test_a_dsp_for_several_products(target: str, params: Params, build_dir: Path):
    """16 for the products of a cluster's engines, whatever their number."""
    result = synthesize(params, "cluster", target=target, build_dir=build_dir)
    assert result.dsp
    assert result.total["dsps"] == 16


def test_without_dsps(build_dir: Path):
    """The same in LUTs, where the user says so."""
    result = synthesize(PAIRS, "cluster", target="ecp5", dsp=False, build_dir=build_dir)
    assert result.total["dsps"] == 0
    assert not any(kind.startswith("MULT") for unit in result.units for kind in unit.cells)


def test_memories_stay_memories(library: Library, build_dir: Path):
    """The reader's two queues: what is around them is much the same, and their bits are in no register."""
    params = NARROW.replace(axi_width=64, read_depth=16)
    kept = synthesize(params, "fetcher", target="asic", library=library, memories="macros", build_dir=build_dir)
    cells = synthesize(params, "fetcher", target="asic", library=library, timing=False, build_dir=build_dir)
    assert any(macro.entries == 16 and macro.width == 64 for macro in kept.macros)
    bits = kept.total["memory_bits"]
    assert bits == sum(macro.bits for macro in kept.macros) >= 16 * 64
    assert kept.total["macros"] == sum(macro.count for macro in kept.macros)
    assert cells.total["registers"] >= kept.total["registers"] + 96.0 * bits
    assert not any(unit.macros for unit in cells.units)
    assert "memories" in kept.to_dict()
    if find_sta() is not None:
        assert kept.timing is not None


def test_small_memories_become_registers(library: Library, build_dir: Path):
    """The buffer of one bank, once with enough entries, and once with less."""
    for depth, entries in ((4, None), (16, 32)):
        params = NARROW.replace(k_depth=depth)
        options = {"target": "asic", "library": library, "timing": False, "build_dir": build_dir}
        (macro,) = synthesize(params, "w_buffer", memories="macros", **options).macros or (None,)
        assert entries == (macro and macro.entries)
