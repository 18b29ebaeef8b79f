import pytest

from mixdit_hw.errors import CheckError, InputError
from mixdit_hw.report.area import Area, area_of
from mixdit_hw.report.liberty import parse_library

LIBRARY = parse_library(
    b"""library (l) {
    cell (NAND) { area : 2.5; }
    cell (DFF) { area : 10; ff (Q, QN) { } }
    cell (LATCH) { area : 0; latch (Q, QN) { } }
    cell (BIG_LATCH) { area : 7; latch (Q, QN) { } }
    cell (FREE) { area : 0; }
    cell (UNKNOWN) { }
    cell (NO_DFF) { ff (Q, QN) { } }
    }""",
    "l.lib",
)


def test_logic_and_registers():
    area = area_of({"NAND": 4, "DFF": 3, "BIG_LATCH": 1}, LIBRARY)
    assert area == Area(logic=10.0, registers=37.0)
    assert area.total == 47.0


def test_nothing():
    assert area_of({}, LIBRARY) == Area(logic=0.0, registers=0.0)


def test_latch_without_area_counts_as_a_flip_flop():
    assert area_of({"LATCH": 2}, LIBRARY) == Area(logic=0.0, registers=20.0)


@pytest.mark.parametrize(("cell", "area"), [("FREE", "0.0"), ("UNKNOWN", "None"), ("NO_DFF", "None")])
def test_cells_without_area(cell: str, area: str):
    with pytest.raises(InputError, match=f"^l.lib: area of {cell} must be greater than 0, not {area}$"):
        area_of({"NAND": 1, cell: 1}, LIBRARY)


def test_unmapped_cells():
    with pytest.raises(CheckError, match=r"^3 cells \$_DLATCH_P_ could not be mapped: l.lib has no such cell$"):
        area_of({"NAND": 1, "$_DLATCH_P_": 3}, LIBRARY)
