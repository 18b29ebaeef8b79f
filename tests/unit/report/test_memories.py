import pytest

from mixdit_hw.errors import ToolError
from mixdit_hw.report.memories import Macro, add_macros, macro_script, parse_macros

DUMP = r"""
module \mixdit_a

  attribute \src "a.v:165.15-165.21"
  cell \memory_macro \beats_1.memory
    parameter \MEMID "\\beats_1.memory"
    parameter signed \WIDTH 128
    parameter \OFFSET 0
    parameter \SIZE 64
    parameter \RD_INIT_VALUE 128'x
    connect \RD_CLK \clk
  end

  cell \memory_macro \b.memory
    parameter \SIZE 16
    parameter \WIDTH 8
  end
  cell \memory_macro $auto$1
    parameter \SIZE 64
    parameter \WIDTH 128
  end
end

module \mixdit_b
end
"""


def test_only_memories_of_some_size_that_are_written_and_read_by_the_clock():
    assert macro_script()[0] == (
        "select -set macros t:$mem_v2 r:SIZE>=16 %i r:WIDTH>=8 %i r:WR_PORTS>0 %i r:RD_CLK_ENABLE>0 %i"
    )
    assert macro_script()[1] == r"chtype -set \memory_macro @macros"


def test_macros_of_modules():
    assert parse_macros(DUMP) == {
        "mixdit_a": (Macro(entries=16, width=8, count=1), Macro(entries=64, width=128, count=2))
    }
    assert parse_macros("") == {}


def test_what_cannot_be_read():
    with pytest.raises(ToolError, match=r"^Yosys's memories cannot be read: no size and width of one in mixdit_a$"):
        parse_macros(DUMP.replace("SIZE 16", "SIZE x"))


def test_sum():
    small, large = Macro(entries=16, width=8, count=1), Macro(entries=64, width=128, count=2)
    assert add_macros([(3, (small, large)), (2, (large,))]) == (
        Macro(entries=16, width=8, count=3),
        Macro(entries=64, width=128, count=10),
    )
    assert (large.bits, str(large)) == (16384, "2 of 64 x 128")
