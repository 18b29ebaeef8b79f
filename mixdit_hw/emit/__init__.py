"""Verilog of a design, and the files that go with it.

`emit_verilog` gives the text alone; `generate` writes it with its manifest, file lists and lint waivers. Both depend on
the parameters and the tools' versions only: equal ones give equal bytes.
"""

from .files import check_generate, generate, read_waivers
from .units import UNITS, emit_verilog

__all__ = ["UNITS", "check_generate", "emit_verilog", "generate", "read_waivers"]
