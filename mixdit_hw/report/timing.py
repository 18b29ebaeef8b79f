"""Minimum clock period, between registers and with the ports, from OpenSTA."""

import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import ToolError
from ..sim.process import run_tool
from .asic import LIBERTY_FILE, NETLIST_FILE

SCRIPT_FILE = "timing.tcl"
REPORT_FILE = "timing.txt"
NOT_MEASURED = "not measured: opensta is missing (Debian's package opensta)"
NO_PATHS = "none: no path between registers"

_PORTS = "== Paths from and to ports, too"
# With a period of 1, the least possible one is 1 - slack. Every endpoint is reported once.
_SCRIPT = f"""\
read_liberty {LIBERTY_FILE}
read_verilog {NETLIST_FILE}
link_design {{top}}
create_clock -name clk -period 1 [get_ports clk]
set from [all_registers -clock_pins]
set to [all_registers -data_pins]
report_checks -path_delay max -from $from -to $to -digits 4
report_checks -path_delay max -from $from -to $to -digits 4 -group_count 1000000 -format end
puts "{_PORTS}"
set_input_delay 0 -clock clk [all_inputs]
set_output_delay 0 -clock clk [all_outputs]
report_checks -path_delay max -digits 4
"""
_POINT = re.compile(r"^ +(-?[\d.]+) +(-?[\d.]+) [v^] (\S+)/\w+ \((\w+)\)$", re.MULTILINE)
_ENDPOINT = re.compile(r"^(\S+)/\w+ \(\w+\) +-?[\d.]+ +-?[\d.]+ +(-?[\d.]+) \((?:MET|VIOLATED)\)$", re.MULTILINE)
_SLACK = re.compile(r"^ +(-?[\d.]+) +slack ", re.MULTILINE)
_TERMINAL = re.compile(r"^(Startpoint|Endpoint): (\S+)", re.MULTILINE)
_BIT = re.compile(r"(?:\[\d+\])+\Z")


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What bounds the clock.

    Parameters
    ----------
    period
        The minimum for paths from register to register, in ns.
    start, end
        Signals of the registers at the ends of the worst of these, with their bits.
    port_period, port_start, port_end
        The same with all inputs arriving at the clock's edge and all outputs wanted at it: what a unit that does not
        register its inputs takes, but for the registers that it then needs before it.
    cells
        Cells of the worst path with the delay of each in ns, the register that starts it first.
    stages
        Registers, without their bits, with the period that the worst path to each needs, the worst first.
    version
        Of OpenSTA.
    """

    period: float
    start: str
    end: str
    port_period: float
    port_start: str
    port_end: str
    cells: tuple[tuple[str, float], ...]
    stages: dict[str, float]
    version: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "cells": [list(cell) for cell in self.cells]}


def find_sta() -> str | None:
    """Path of OpenSTA, or None."""
    return shutil.which("sta")


def sta_version(program: str) -> str:
    """Its version; ToolError where it does not say."""
    try:
        result = subprocess.run([program, "-version"], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise ToolError(f"OpenSTA cannot be run: {e}") from None
    lines = result.stdout.split()
    if result.returncode != 0 or not lines:
        raise ToolError(f"OpenSTA failed with status {result.returncode}: {program} -version")
    return lines[0]


def measure_timing(program: str, top: str, folder: Path, *, time_unit: float, timeout: float) -> Timing | None:
    """Time the netlist in a folder (`asic.netlist_script`); None where it has no path between registers.

    Raises
    ------
    ToolError
        OpenSTA fails, is killed, takes too long, or gives no result.
    """
    version = sta_version(program)
    (folder / SCRIPT_FILE).write_text(_SCRIPT.format(top=top))
    report = folder / REPORT_FILE
    command = [program, "-exit", SCRIPT_FILE]
    run_tool(command, log=report, env=None, timeout=timeout, what="OpenSTA", cwd=folder.resolve())
    return parse_report(report.read_text(errors="replace"), time_unit=time_unit, version=version)


def parse_report(text: str, *, time_unit: float, version: str) -> Timing | None:
    """Result of OpenSTA's report of the worst path and of all endpoints; ``time_unit`` is that of the library in ns.

    Raises
    ------
    ToolError
        There is neither a path nor the message that there is none.
    """
    inner, _, ports = text.partition(_PORTS)
    problem = next((line for line in text.splitlines() if line.startswith("Error")), None)
    endpoints = _ENDPOINT.findall(inner)
    terminals, port_terminals = dict(_TERMINAL.findall(inner)), dict(_TERMINAL.findall(ports))
    port_slack = _SLACK.search(ports)
    if problem is None and not endpoints and "No paths found" in inner:
        return None
    if problem is not None or not endpoints or port_slack is None or not len(terminals) == len(port_terminals) == 2:
        raise ToolError(f"OpenSTA gave no path: {problem or 'its report cannot be read'}")

    def period(slack: str) -> float:
        return round((1 - float(slack)) * time_unit, 4)

    stages: dict[str, float] = {}
    for name, slack in endpoints:
        stage = _BIT.sub("", _signal(name))
        stages[stage] = max(stages.get(stage, 0.0), period(slack))
    stages = dict(sorted(stages.items(), key=lambda item: (-item[1], item[0])))
    points = _POINT.findall(inner.partition("data arrival time")[0])
    return Timing(
        period=max(stages.values()),
        start=_signal(terminals["Startpoint"]),
        end=_signal(terminals["Endpoint"]),
        port_period=period(port_slack[1]),
        port_start=_signal(port_terminals["Startpoint"]),
        port_end=_signal(port_terminals["Endpoint"]),
        # The first point is the clock pin and the last the data pin of the register that ends the path.
        cells=tuple((kind, round(float(delay) * time_unit, 4)) for delay, _, _, kind in points[1:-1]),
        stages=stages,
        version=version,
    )


def _signal(cell: str) -> str:
    r"""Signal that a register drives; the netlist calls its cell ``signal[3]\TYPE``."""
    return cell.partition("\\")[0]
