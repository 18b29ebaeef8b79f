"""Emission changes no behaviour: a small design does under Icarus what it does in Amaranth's simulator."""

import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator

from mixdit_hw.emit.verilog import build_design
from mixdit_hw.sim.tools import find_icarus
from tests.support.simulation import need_engine
from tests.support.units import Toy

CYCLES = 400
BENCH = f"""\
module bench;
  reg clk = 0, rst, a_valid, a_clear, c_ready;
  reg [31:0] a_bytes;
  reg [1:0] a_select;
  wire a_ready, c_valid, busy;
  wire [63:0] c_sums;
  wire [7:0] c_one;
  mixdit_toy toy (.clk(clk), .rst(rst), .a_bytes(a_bytes), .a_select(a_select), .a_clear(a_clear), .a_valid(a_valid),
    .a_ready(a_ready), .c_sums(c_sums), .c_one(c_one), .c_valid(c_valid), .c_ready(c_ready), .busy(busy));
  reg [37:0] inputs [0:{CYCLES - 1}];
  integer i;
  initial begin
    $readmemh("inputs.hex", inputs);
    for (i = 0; i < {CYCLES}; i = i + 1) begin
      {{rst, c_ready, a_valid, a_clear, a_select, a_bytes}} = inputs[i];
      #1 if (c_valid) $display("%b %b %h %h", a_ready, busy, c_sums, c_one); else $display("%b %b", a_ready, busy);
      #1 clk = 1;
      #1 clk = 0;
    end
  end
endmodule
"""


def amaranth_lines(words: list[int]) -> list[str]:
    """What the toy gives in each cycle, for inputs in the bench's layout."""
    lines = []
    m = Module()
    m.domains.sync = domain = ClockDomain()
    m.submodules.toy = toy = Toy()

    async def bench(ctx: Any) -> None:
        for word in words:
            ctx.set(toy.a.payload.as_value(), word & (1 << 35) - 1)
            ctx.set(toy.a.valid, word >> 35 & 1)
            ctx.set(toy.c.ready, word >> 36 & 1)
            ctx.set(domain.rst, word >> 37)
            line = f"{ctx.get(toy.a.ready)} {ctx.get(toy.busy)}"
            if ctx.get(toy.c.valid):
                result = ctx.get(toy.c.payload.as_value())
                line += f" {result & (1 << 64) - 1:016x} {result >> 64:02x}"
            lines.append(line)
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return lines


@pytest.mark.parametrize("seed", [1, 2])
def test_toy_does_under_icarus_what_it_does_in_amaranth(seed: int, tmp_path: Path) -> None:
    need_engine("icarus")
    rng = random.Random(seed)
    words = [rng.getrandbits(37) | (rng.random() < 0.02) << 37 for _ in range(CYCLES)]
    (tmp_path / "inputs.hex").write_text("".join(f"{word:x}\n" for word in words))
    (tmp_path / "toy.v").write_text("\n".join(build_design(Toy()).modules.values()))
    (tmp_path / "bench.v").write_text(BENCH)

    def run(*command: str) -> str:
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
        assert result.stderr == ""
        return result.stdout

    tools = find_icarus()
    run(tools.iverilog, "-g2005", "-Wall", "-Wno-timescale", "-o", "toy.vvp", "bench.v", "toy.v")
    assert run(tools.vvp, "-n", "toy.vvp").splitlines() == amaranth_lines(words)
