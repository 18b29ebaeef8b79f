import hashlib
import re

import pytest

from mixdit_hw.errors import InputError
from mixdit_hw.report.liberty import parse_library, read_library

LIBRARY = """\
/* a comment with cell (NOT) { } */
library (tiny) {
  time_unit : "1ns";
  capacitive_load_unit (1,pf);
  lu_table_template (delay) { index_1 ("1, 2"); }  // more } of them
  cell (INVX1) {
    area : 16;
    pin (A) { direction : input; capacitance : 0.1; }
    pin (Y) { direction : output; function : "(!A)"; timing() { related_pin : "A"; values ( \\
        "1, 2"); } }
  }
  cell (BUFX4) { area : 32; pin(A) { direction : input; } pin(Y) { direction : output; function : "(A)"; } }
  cell (BUFX2) { area : 24; pin(A) { direction : input; } pin(Y) { direction : output; function : "A"; } }
  cell (BUFX0) { pin(A) { direction : input; } pin(Y) { direction : output; function : "A"; } }
  cell ("DFFX1") {
    area : 96.5;
    ff (IQ, IQN) { clocked_on : "CLK"; next_state : "D"; }
    pin (D) { direction : input; }
    pin (Q) { direction : output; function : "IQ"; }
  }
  cell (DFFX4) { area : 120; ff_bank (IQ, IQN, 4) { } }
  cell (LATCH) { area : 0; latch (IQ, IQN) { enable : "CLK"; } }
}
"""


def test_cells():
    library = parse_library(LIBRARY.encode(), "tiny.lib")
    assert library.name == "tiny"
    assert {name: (cell.area, cell.kind) for name, cell in library.cells.items()} == {
        "INVX1": (16.0, "logic"),
        "BUFX4": (32.0, "logic"),
        "BUFX2": (24.0, "logic"),
        "BUFX0": (None, "logic"),
        "DFFX1": (96.5, "register"),
        "DFFX4": (120.0, "register"),
        "LATCH": (0.0, "latch"),
    }
    assert library.time_unit == 1.0
    assert library.digest == hashlib.sha256(LIBRARY.encode()).hexdigest()
    assert library.data == LIBRARY.encode()


def test_driving_cell_is_the_smallest_buffer_with_an_area():
    assert parse_library(LIBRARY.encode(), "tiny.lib").driving_cell == "BUFX2"


def test_register_area_is_the_smallest_flip_flop():
    assert parse_library(LIBRARY.encode(), "tiny.lib").register_area == 96.5


@pytest.mark.parametrize(("unit", "factor"), [("1ns", 1.0), ("10ps", 1e-2), ("1 ps", 1e-3), ("1us", 1e3)])
def test_time_unit(unit: str, factor: float):
    assert parse_library(LIBRARY.replace("1ns", unit).encode(), "tiny.lib").time_unit == pytest.approx(
        factor, rel=1e-15
    )


def test_windows_line_ends_and_no_final_newline():
    text = LIBRARY.replace("\n", "\r\n").rstrip()
    assert parse_library(text.encode(), "a").cells == parse_library(LIBRARY.encode(), "b").cells


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.lib: must be a liberty file with a library of cells"),
        ("module top(); endmodule", "x.lib: must be a liberty file with a library of cells"),
        ("library (a) { }", "x.lib: must be a liberty file with a library of cells"),
        ("library (a) { cell (B) { area : 1; }", "x.lib: ends inside of library a"),
        ("library (a) { cell (B) { area : 1; ", "x.lib: ends inside of cell B"),
        ("} library (a) { }", "x.lib: must be a liberty file, but a brace closes nothing"),
        ("library (a) { cell (B) { area : big; } }", "x.lib: area of B must be a number from 0, not 'big'"),
        ("library (a) { cell (B) { area : -1; } }", "x.lib: area of B must be a number from 0, not '-1'"),
        ("library (a) { cell (B) { area : nan; } }", "x.lib: area of B must be a number from 0, not 'nan'"),
        ('library (a) { time_unit : "1"; cell (B) { } }', "x.lib: time_unit must be such as 1ns, not '1'"),
    ],
)
def test_bad_libraries(text: str, message: str):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        parse_library(text.encode(), "x.lib")


def test_bytes_that_are_no_text():
    with pytest.raises(InputError, match=r"^x.lib: must be a liberty file with a library of cells$"):
        parse_library(bytes(range(128, 256)), "x.lib")


def test_libraries_without_buffer_or_flip_flop():
    library = parse_library(b"library (a) { cell (B) { area : 1; } }", "x.lib")
    with pytest.raises(InputError, match=r"^x.lib: must have a buffer with an area$"):
        _ = library.driving_cell
    with pytest.raises(InputError, match=r"^x.lib: must have a flip-flop with an area$"):
        _ = library.register_area


def test_unreadable(tmp_path):
    with pytest.raises(
        InputError, match=f"^{re.escape(str(tmp_path))}/no.lib: cannot be read: No such file or directory$"
    ):
        read_library(tmp_path / "no.lib")
    with pytest.raises(InputError, match=f"^{re.escape(str(tmp_path))}: cannot be read: Is a directory$"):
        read_library(tmp_path)
