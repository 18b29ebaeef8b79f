"""What the demo says of itself; tests/system/test_demo.py runs it."""

import pytest

from mixdit_hw.commands.demo import simulated, step


@pytest.mark.parametrize(
    ("engine", "text"),
    [
        ("verilator", "the emitted Verilog on verilator"),
        ("icarus", "the emitted Verilog on icarus"),
        ("amaranth", "the Amaranth source in Amaranth's simulator"),
    ],
)
def test_what_is_simulated(engine: str, text: str) -> None:
    assert simulated(engine) == text


def test_step_ends_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with step("count") as current:
        current.advance(1, 2)
        current.said = "two"
    out, err = capsys.readouterr()
    assert out == "count" + 19 * " " + "two (0.0 s)\n"
    assert err == ""
