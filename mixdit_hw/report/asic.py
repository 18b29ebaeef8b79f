"""Mapping to a cell library, the same for all figures of area and delay.

``synth -flatten; dfflibmap; abc -liberty -constr -D 1``: the mapper sizes and buffers for speed, with inputs driven by
the library's smallest buffer (BUFX2 in OSU 0.18 um) and outputs loaded with 0.05 (pF there). Memories become
flip-flops, or those of some size macros (`memories`). Registers have no initial value in silicon, so none is given to
the mapper, which could otherwise drop logic by it; reset, and for registers without it the first data, make them
unnecessary.
"""

from pathlib import Path

from ..errors import ToolError
from .liberty import Library
from .memories import macro_script

DEFAULT_LIBERTY = Path("/usr/share/qflow/tech/osu018/osu018_stdcells.lib")
LIBERTY_FILE = "cells.lib"
CONSTRAINTS_FILE = "constraints"
NETLIST_FILE = "netlist.v"
_LOAD = 0.05


def default_liberty() -> Path:
    """OSU 0.18 um of Debian's package; ToolError where it is not installed."""
    if not DEFAULT_LIBERTY.is_file():
        raise ToolError("asic needs a cell library: install Debian's package qflow-tech-osu018 or give --liberty FILE")
    return DEFAULT_LIBERTY


def constraints(library: Library) -> str:
    """Text for ``abc -constr``."""
    return f"set_driving_cell {library.driving_cell}\nset_load {_LOAD}\n"


def map_script(top: str, order: int | None = None, *, macros: bool = False) -> list[str]:
    """Yosys's commands from a design that has been read to cells of the library.

    What the mapper makes of a design depends a little on the order in which it sees the cells, which follows from their
    names. A number as ``order`` gives them random names, so that several numbers show how much. With ``macros``,
    memories of some size stay memories.
    """
    synth = [f"synth -flatten -top {top}"]
    if macros:
        synth = [f"synth -flatten -top {top} -run begin:fine", *macro_script(), f"synth -top {top} -run fine:check"]
    return [
        "proc",
        "setattr -unset init w:*",
        *([] if order is None else ["flatten -noscopeinfo", f"rename -scramble-name -seed {order}"]),
        *synth,
        f"dfflibmap -liberty {LIBERTY_FILE}",
        f"abc -liberty {LIBERTY_FILE} -constr {CONSTRAINTS_FILE} -D 1",
    ]


def netlist_script() -> list[str]:
    """Yosys's commands from mapped cells to a flat netlist for OpenSTA, with registers named by their signals."""
    return [
        f"read_liberty -lib -ignore_miss_func {LIBERTY_FILE}",
        "setattr -mod -unset keep_hierarchy *",
        "flatten -noscopeinfo",
        "splitnets -ports",
        "opt_clean -purge",
        "rename -wire t:*",
        f"write_verilog -noattr -noexpr -nohex {NETLIST_FILE}",
    ]
