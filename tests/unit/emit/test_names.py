"""Plain names."""

import re

from hypothesis import given
from hypothesis import strategies as st

from mixdit_hw.emit.names import legal_names, legal_rtlil
from mixdit_hw.keywords import VERILOG_KEYWORDS
from mixdit_hw.unit import EmitPlatform
from tests.support.units import Toy


def test_plain_names_stay_and_others_take_what_is_free() -> None:
    assert legal_names(["a$1", "a", "end", "U$0", "1st", "_2_", "a_1", "$signal"]) == {
        "a$1": "a_2",
        "a": "a",
        "end": "end_1",
        "U$0": "U",
        "1st": "n1st",
        "_2_": "n2",
        "a_1": "a_1",
        "$signal": "signal",
    }


@given(st.lists(st.text("ab$._[]19", min_size=1, max_size=6) | st.sampled_from(["end", "reg"]), unique=True))
def test_any_names_become_plain_and_different(names: list[str]) -> None:
    legal = legal_names(names)
    assert list(legal) == names
    assert len(set(legal.values())) == len(names)
    assert all(re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) for name in legal.values())
    assert not VERILOG_KEYWORDS & set(legal.values())


def test_a_design_has_plain_names_only() -> None:
    platform = EmitPlatform()
    platform.module_of(Toy())
    text = legal_rtlil(platform.modules, platform.module_names())
    assert re.findall(r"^module .*", text, re.MULTILINE) == [
        "module \\mixdit_buffer_width35_depth3",
        "module \\mixdit_buffer_width35_depth3_fifo",
        "module \\mixdit_buffer_width72_depth5",
        "module \\mixdit_buffer_width72_depth5_fifo",
        "module \\mixdit_pick",
        "module \\mixdit_cell",
        "module \\mixdit_cell_square",
        "module \\mixdit_toy",
    ]
    assert all(re.fullmatch(r"\w+", name) for name in re.findall(r"\\([^\s\"\\]+)", text))


def test_ports_are_numbered_in_their_order() -> None:
    platform = EmitPlatform()
    platform.module_of(Toy())
    text = legal_rtlil(platform.modules, platform.module_names()).partition("module \\mixdit_toy\n")[2]
    ports = {int(n): name for n, name in re.findall(r"(?:in|out)put (\d+) +\\(\w+)", text)}
    assert [ports[i] for i in range(1, len(ports) + 1)] == [
        *("clk", "rst", "a_bytes", "a_select", "a_clear", "a_valid", "a_ready"),
        *("c_sums", "c_one", "c_valid", "c_ready", "busy"),
    ]
