"""Reading RTLIL text."""

from mixdit_hw.rtlil import drop_unused_clocking, module_name, split_modules

TEXT = """\
attribute \\top 1
module \\unit0

  wire width 1 input 1  \\clk

  wire width 1 input 2  \\rst

  cell \\unit0.inner \\inner
    connect \\clk \\clk [0]
    connect \\rst \\rst [0]
  end

end

attribute \\generator "Amaranth"
module \\unit0.inner

  wire width 1 input 0  \\clk

  wire width 1 input 1  \\rst

  cell $dff $1
    connect \\CLK \\clk [0]
  end

end
"""


def test_modules_are_split_without_attributes() -> None:
    modules = split_modules(TEXT)
    assert [module_name(lines) for lines in modules] == ["unit0", "unit0.inner"]
    assert [(lines[0], lines[-1]) for lines in modules] == [
        ("module \\unit0", "end"),
        ("module \\unit0.inner", "end"),
    ]


def test_unused_reset_goes_from_module_and_parent() -> None:
    text, clocking = drop_unused_clocking(TEXT)
    assert clocking == ("clk",)
    assert "\\rst" not in text
    assert text.count("input") == 2
    assert "connect \\clk \\clk [0]" in text


def test_used_reset_stays() -> None:
    text, clocking = drop_unused_clocking(TEXT.replace("\\CLK \\clk", "\\D \\rst"))
    assert clocking == ("rst",)
    assert "\\clk" not in text


def test_reading_twice_changes_nothing() -> None:
    text, clocking = drop_unused_clocking(TEXT)
    assert drop_unused_clocking(text) == (text, clocking)
