"""The units on the bus as emitted Verilog: clean for Verilator's lint on every width."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mixdit_hw.bus.fetch import Fetcher
from mixdit_hw.bus.read import ReadArbiter
from mixdit_hw.bus.write import Writer
from mixdit_hw.emit import read_waivers
from mixdit_hw.emit.verilog import build_design
from mixdit_hw.params import AXI_WIDTHS, Params
from mixdit_hw.unit import Unit
from tests.support.emitted import lint


@pytest.mark.parametrize("width", AXI_WIDTHS)
@pytest.mark.parametrize("build", [Fetcher, lambda p: ReadArbiter(p, 1), lambda p: ReadArbiter(p, 4), Writer])
def test_lint_is_clean(build: Callable[[Params], Unit], width: int, tmp_path: Path) -> None:
    params = Params(axi_width=width, address_bits=64 if width == 64 else 40)
    design = build_design(build(params))
    (tmp_path / f"{design.name}.v").write_text(design.text(params))
    (tmp_path / f"{design.name}.vlt").write_text(read_waivers())
    assert lint(tmp_path, design.name) == ""
