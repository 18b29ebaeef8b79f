"""An emitted unit whose only members besides streams are flags, as Verilog between players and recorders.

The bench is plain Verilog with a clock of its own, the same for Verilator and Icarus; beats travel as the raw bits of
the streams' payloads. A recorder sees whether anything undefined or unstable comes out.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixdit_hw.emit.verilog import Design
from mixdit_hw.ports import Port
from mixdit_hw.sim.bench import FEEDER
from mixdit_hw.sim.tools import find_icarus, find_verilator
from tests.support.simulation import need_engine

SETTLE_CYCLES = 64  # watched after the last result, for results that nobody asked for
PATIENCE_CYCLES = 5000  # without any transfer
TIMEOUT_S = 240

_TOP = """\
`timescale 1ns/1ns
module bench;
  reg clk = 0, rst = 1, finished = 0, hung = 0;
  reg [63:0] results = 0, patience = 0, quiet = 0;
  integer settle = 0;
{body}
  {design} dut ({pins});
  always #1 clk = !clk;
  initial begin
    if (!$value$plusargs("results=%d", results)) results = 0;
    if (!$value$plusargs("patience=%d", patience)) patience = 0;
    repeat (4) @(posedge clk);
    rst <= 0;
    @(posedge finished);
    repeat (2) @(posedge clk);
    $display("ended {told}", {values});
    $finish;
  end
  always @(posedge clk)
    if (!rst) begin
      quiet <= ({moves}) ? 0 : quiet + 1;
      if (quiet > patience) hung <= 1;
      if ({taken} >= results) settle <= settle + 1;
      if (settle == {settle} || quiet > patience) finished <= 1;
    end
endmodule
"""


@dataclass(frozen=True, kw_only=True)
class Played:
    """What came of a run: raw payloads of the output streams, and the flags at the end."""

    beats: dict[str, list[int]]
    flags: dict[str, int]


class EmittedUnit:
    """A unit, compiled once for one simulator; `play` runs it.

    Parameters
    ----------
    engine
        ``verilator`` or ``icarus``.
    design
        The unit as Verilog.
    folder
        Empty folder for the build and its runs.
    """

    def __init__(self, engine: str, design: Design, folder: Path) -> None:
        self._streams: dict[str, list[Port]] = {}
        for port in design.top.ports:
            if port.stream and port.path[-1] == "payload":
                self._streams.setdefault(port.stream, []).append(port)
        self._flags = [port.name for port in design.top.ports if not port.stream]
        self._folder = folder
        self._environment: dict[str, str] | None = None
        (folder / "design.v").write_text("\n".join(design.modules.values()))
        (folder / "bench.v").write_text(_bench(design, self._streams, self._flags))
        sources = [str(FEEDER), "design.v", "bench.v"]
        if engine == "icarus":
            icarus = find_icarus()
            self._call(icarus.iverilog, "-g2012", "-s", "bench", "-o", "bench.vvp", *sources)
            self._command = [icarus.vvp, "-n", "bench.vvp"]
            return
        tools = find_verilator()
        self._environment = tools.environment()
        options = ["-Wno-fatal", "-Wno-lint", "-Wno-style", "--x-assign", "unique", "--x-initial", "unique"]
        top = ["--prefix", "Vtop", "--top-module", "bench", "-o", "bench", "-Mdir", "objects"]
        self._call(tools.verilator, "--main", "--exe", "--cc", "--timing", *options, *top, *sources)
        self._call(tools.make, "-C", "objects", "-f", "Vtop.mk", "-j", "2", *tools.make_settings())
        self._command = ["objects/bench", "+verilator+rand+reset+2"]

    def play(
        self, inputs: Mapping[str, Sequence[int]], results: Mapping[str, int], *, idle: int, stall: int, seed: int
    ) -> Played:
        """Play beats into the input streams, and return those of the output streams once that many have come.

        Sources are idle with probability ``idle``/256 in each cycle, sinks with ``stall``/256.
        """
        plusargs = [f"+results={sum(results.values())}", f"+patience={PATIENCE_CYCLES}"]
        for number, (name, beats) in enumerate(inputs.items(), 1):
            size = _bytes(self._streams[name])
            image = b"".join(beat.to_bytes(size, "big") for beat in beats)
            (self._folder / f"{name}.bin").write_bytes(image)
            plusargs += [f"+{name}_section={len(beats)}", f"+{name}_sections=1", f"+{name}_repeat=1"]
            plusargs += [f"+{name}_idle={idle}", f"+{name}_seed={1000 * seed + number}"]
        for number, name in enumerate(results, 1):
            plusargs += [f"+{name}_idle={stall}", f"+{name}_seed={2000 * seed + number}"]
        ended = re.search(r"^ended(.*)$", self._call(*self._command, *plusargs), re.MULTILINE)
        assert ended is not None, "the bench must come to its end"
        told = {key: int(value) for key, value in (pair.split("=") for pair in ended[1].split())}
        faults = {key: told.pop(key) for key in ("hung", "unknown", "unstable", "short_file", "untaken")}
        assert not any(faults.values()), faults
        return Played(beats={name: self._recorded(name) for name in results}, flags=told)

    def _recorded(self, name: str) -> list[int]:
        size = -(-_bytes(self._streams[name]) // 4) * 4
        record = np.fromfile(self._folder / f"{name}.bin", np.uint32).astype("<u4").tobytes()
        return [int.from_bytes(record[k : k + size], "little") for k in range(0, len(record), size)]

    def _bytes(self, name: str) -> int:
        return -(-sum(port.width for port in self._streams[name]) // 8)

    def _call(self, *command: str) -> str:
        result = subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        assert result.returncode == 0, (result.stdout + result.stderr)[-2000:]
        return result.stdout


def lint(folder: Path, name: str) -> str:
    """What Verilator's lint says of a design in a folder, with its waivers."""
    need_engine("verilator")
    tools = find_verilator()
    command = [tools.verilator, "--lint-only", "-Wall", "--quiet", "--top-module", name, f"{name}.vlt", f"{name}.v"]
    result = subprocess.run(
        command, cwd=folder, env=tools.environment(), capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )
    return result.stdout + result.stderr + (f"status {result.returncode}" if result.returncode else "")


def _bench(design: Design, streams: Mapping[str, list[Port]], flags: Sequence[str]) -> str:
    """Text of the top: the unit, players at its input streams, recorders at its output streams."""
    outputs = {name: ports for name, ports in streams.items() if ports[0].output}
    inputs = [name for name in streams if name not in outputs]
    body = [f"  wire {flag};" for flag in flags]
    pins = [".clk(clk)", ".rst(rst)", *(f".{flag}({flag})" for flag in flags)]
    for name, ports in streams.items():
        body += _recorder(name, ports) if name in outputs else _player(name, ports)
        pins += [f".{name}_valid({name}_valid)", f".{name}_ready({name}_ready)"]
        pins += [f".{port.name}({name}[{port.start + port.width - 1}:{port.start}])" for port in ports]
    told = {
        "hung": "hung",
        "unknown": " || ".join(f"{name}_unknown" for name in outputs),
        "unstable": " || ".join(f"{name}_unstable" for name in outputs),
        "short_file": " || ".join(f"{name}_short" for name in inputs),
        "untaken": " || ".join(f"{name}_taken != {name}_total" for name in inputs),
    } | {flag: flag for flag in flags}
    return _TOP.format(
        design=design.name,
        pins=", ".join(pins),
        body="\n".join(body),
        told=" ".join(f"{key}=%0d" for key in told),
        values=", ".join(f"({value})" for value in told.values()),
        moves=" || ".join(f"({name}_valid && {name}_ready)" for name in streams),
        taken=" + ".join(f"{name}_taken" for name in outputs),
        settle=SETTLE_CYCLES,
    )


def _player(name: str, ports: Sequence[Port]) -> list[str]:
    size = _bytes(ports)
    return [
        *_wires(name, 8 * size),
        f"  wire [63:0] {name}_total;",
        f"  wire {name}_short;",
        f'  mixdit_sim_player #(.NAME("{name}"), .BYTES({size})) u_{name} ({_ends(name)},',
        f"      .total({name}_total), .short_file({name}_short));",
    ]


def _recorder(name: str, ports: Sequence[Port]) -> list[str]:
    words = -(-_bytes(ports) // 4)
    used = sum(port.width for port in ports)
    padding = [f"  assign {name}[{32 * words - 1}:{used}] = 0;"] if used < 32 * words else []
    return [
        *_wires(name, 32 * words),
        *padding,
        f"  wire {name}_unknown, {name}_unstable;",
        f'  mixdit_sim_recorder #(.NAME("{name}"), .WORDS({words})) u_{name} ({_ends(name)},',
        f"      .close(finished), .unknown({name}_unknown), .unstable({name}_unstable));",
    ]


def _wires(name: str, width: int) -> list[str]:
    return [f"  wire {name}_valid, {name}_ready;", f"  wire [{width - 1}:0] {name};", f"  wire [63:0] {name}_taken;"]


def _ends(name: str) -> str:
    ends = f".clk(clk), .rst(rst), .valid({name}_valid), .ready({name}_ready)"
    return f"{ends}, .payload({name}), .taken({name}_taken)"


def _bytes(ports: Sequence[Port]) -> int:
    """Bytes of a payload."""
    return -(-sum(port.width for port in ports) // 8)
