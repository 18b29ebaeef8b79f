"""The rules of the simulation's buses in Verilog: lawful traffic raises no flag, each breach the flag that names it."""

import random
import subprocess
from functools import cache
from pathlib import Path

import pytest

from mixdit_hw.sim.system_bench import RULES
from mixdit_hw.sim.tools import find_icarus
from tests.support.axi_rules import AxiError, AxiRules
from tests.support.simulation import need_engine

# Inputs of the modules under test, from the lowest bit of a row; names with a bus of their own begin with it.
INPUTS = {
    **{name: 1 for name in ("rstn", "arvalid", "arready", "rvalid", "rready", "rlast")},
    **{name: 1 for name in ("awvalid", "awready", "wvalid", "wready", "wlast", "bvalid", "bready")},
    **{"arlen": 8, "awlen": 8, "rresp": 2, "bresp": 2, "size": 3, "burst": 2, "id": 1, "addr": 12, "data": 8},
}
FLAGS = ("r_wrong", "r_open", "w_wrong", "b_wrong", "w_open", "lb_wrong", "lr_wrong", "l_open")
FLAGS += ("unstable", "unknown", "early", "burst_wrong")
Row = dict[str, int | str]


def _ports(names: str) -> str:
    return ", ".join(f".{name}({name})" for name in names.split())


_LOWEST = dict(zip(INPUTS, [sum(list(INPUTS.values())[:i]) for i in range(len(INPUTS))], strict=True))
BENCH = f"""\
module bench;
  reg clk = 0;
  reg [{sum(INPUTS.values()) - 1}:0] rows[0:4095];
  reg [1023:0] path;
  integer count, i;
{chr(10).join(f"  reg [{bits - 1}:0] {name} = 0;" for name, bits in INPUTS.items())}
{chr(10).join(f"  wire {name};" for name in FLAGS)}
  mixdit_sim_reads reads ({_ports("clk rstn arvalid arready arlen rvalid rready rlast rresp")},
      .wrong(r_wrong), .open(r_open));
  mixdit_sim_writes writes ({_ports("clk rstn awvalid awready awlen wvalid wready wlast bvalid bready bresp")},
      .wrong(w_wrong), .answer_wrong(b_wrong), .open(w_open));
  mixdit_sim_lite lite ({_ports("clk rstn awvalid awready wvalid wready bvalid bready bresp")},
      {_ports("arvalid arready rvalid rready rresp")}, .b_wrong(lb_wrong), .r_wrong(lr_wrong), .open(l_open));
  mixdit_sim_stable #(.BITS(8)) stable (.clk(clk), .rstn(rstn), .valid(wvalid), .ready(wready), .payload(data),
      .unstable(unstable), .unknown(unknown), .early(early));
  mixdit_sim_burst #(.ADDRESS_BITS(12), .SIZE(3)) burst_rules (.clk(clk), .rstn(rstn), .valid(arvalid), .id(id),
      .address(addr), .length(arlen), .size(size), .burst(burst), .wrong(burst_wrong));
  initial begin
    if (!$value$plusargs("rows=%s", path) || !$value$plusargs("count=%d", count)) $finish;
    $readmemb(path, rows);
    for (i = 0; i < count; i = i + 1) begin
{chr(10).join(f"      {name} = rows[i][{_LOWEST[name]} +: {bits}];" for name, bits in INPUTS.items())}
      #1 clk = 1;
      #1 clk = 0;
    end
    $display("flags {" ".join(["%b"] * len(FLAGS))}", {", ".join(FLAGS)});
    $finish;
  end
endmodule
"""
LAWFUL: dict[str, int] = {"size": 3, "burst": 1}
AR: Row = {"arvalid": 1, "arready": 1, "arlen": 1}
AR0: Row = {"arvalid": 1, "arready": 1, "arlen": 0}
AW: Row = {"awvalid": 1, "awready": 1, "awlen": 1}
AW0: Row = {"awvalid": 1, "awready": 1, "awlen": 0}
R: Row = {"rvalid": 1, "rready": 1}
R_LAST: Row = {"rvalid": 1, "rready": 1, "rlast": 1}
W: Row = {"wvalid": 1, "wready": 1}
W_LAST: Row = {"wvalid": 1, "wready": 1, "wlast": 1}
B: Row = {"bvalid": 1, "bready": 1}
RESET: Row = {"rstn": 0}
# What makes the lite rules raise flags too is no breach there: its accesses have one beat.
CASES: dict[str, tuple[list[Row], set[str]]] = {
    "reads": ([AR, R, AR0, R_LAST, R_LAST], set()),
    "beat without address": ([R_LAST], {"r_wrong", "r_open"}),
    "beat in the address's cycle": ([AR0 | R_LAST], {"r_wrong"}),
    "beat too many": ([AR0, R_LAST, {}, R_LAST], {"r_wrong", "r_open"}),
    "rlast early": ([AR, R_LAST], {"r_wrong"}),
    "rlast late": ([AR0, R, R_LAST], {"r_wrong"}),
    "exclusive read": ([AR0, R_LAST | {"rresp": 1}], {"r_wrong"}),
    "read open": ([AR, R], {"r_open"}),
    "reset ends reads": ([AR, R, RESET, AR0, R_LAST], set()),
    "writes": ([AW, W, W_LAST, AW0 | W_LAST, B, B], set()),
    "data first": ([W, W_LAST, AW, B, W_LAST, AW0, B], set()),
    "wlast early": ([AW, W_LAST, {}, {}], {"w_wrong", "w_open"}),
    "wlast late": ([AW0, W, W_LAST, {}, {}], {"w_wrong", "w_open"}),
    "wlast missing": ([AW0, W, W], {"w_wrong", "w_open"}),
    "wlast early, data first": ([W_LAST, AW, {}, {}], {"w_wrong", "w_open"}),
    "wlast late, data first": ([W, W_LAST, AW0, {}, {}], {"w_wrong", "w_open"}),
    "wlast missing, data first": ([W, W, AW0, W], {"w_wrong", "w_open"}),
    "256 beats and more": ([W] * 257, {"w_wrong", "w_open"}),
    "answer before the last beat": ([AW, W, B, W_LAST], {"b_wrong"}),
    "answer with the last beat": ([AW0, W_LAST | B], {"b_wrong"}),
    "answer before the address": ([W_LAST, B, AW0], {"b_wrong"}),
    "two answers": ([AW0, W_LAST, B, B], {"b_wrong", "w_open"}),
    "exclusive write": ([AW0, W_LAST, B | {"bresp": 1}], {"b_wrong"}),
    "write without answer": ([AW0, W_LAST], {"w_open"}),
    "address without data": ([AW0], {"w_open"}),
    "reset ends writes": ([AW, W, RESET, AW0, W_LAST, B], set()),
    "withdrawn": ([W | {"wready": 0}, {}], {"unstable"}),
    "changed": ([AW0, W_LAST | {"wready": 0, "data": 3}, W_LAST | {"data": 2}, B], {"unstable"}),
    "withdrawn by reset": ([W | {"wready": 0}, RESET], set()),
    "offered during reset": ([RESET, RESET | W_LAST], {"early"}),
    "offered as reset begins": ([{}, RESET | W_LAST, RESET], set()),
    "unknown valid": ([{"wvalid": "x"}], {"unknown"}),
    "unknown payload": ([AW0, W_LAST | {"data": "x"}, B], {"unknown"}),
    "unknown without valid": ([{"data": "x"}], set()),
    "another size": ([AR0 | {"size": 2}, R_LAST], {"burst_wrong"}),
    "another kind": ([AR0 | {"burst": 2}, R_LAST], {"burst_wrong"}),
    "another identifier": ([AR0 | {"id": 1}, R_LAST], {"burst_wrong"}),
    "to the end of 4 KiB": ([AR | {"addr": 4084}, R, R_LAST], set()),
    "over 4 KiB": ([AR | {"addr": 4088}, R, R_LAST], {"burst_wrong"}),
}
LITE_CASES: dict[str, tuple[list[Row], set[str]]] = {
    "accesses": ([AW, W, AR, B, R, AW | W, AR, R, B], set()),
    "data first": ([W, AW, B], set()),
    "answer before data": ([AW, B, W], {"lb_wrong"}),
    "answer before address": ([W, B, AW], {"lb_wrong"}),
    "answer in the same cycle": ([AW | W | B], {"lb_wrong"}),
    "two answers to a write": ([AW | W, B, B], {"lb_wrong", "l_open"}),
    "two answers to a read": ([AR, R, R], {"lr_wrong", "l_open"}),
    "exclusive write": ([AW | W, B | {"bresp": 1}], {"lb_wrong"}),
    "exclusive read": ([AR, R | {"rresp": 1}], {"lr_wrong"}),
    "read without answer": ([AR], {"l_open"}),
    "write without answer": ([AW | W], {"l_open"}),
    "reset ends accesses": ([AR, AW, W, RESET, AR, R], set()),
}


@cache
def program(folder: Path) -> Path:
    icarus = find_icarus()
    (folder / "bench.v").write_text(BENCH)
    command = [icarus.iverilog, "-g2012", "-s", "bench", "-o", "bench.vvp", str(RULES), "bench.v"]
    subprocess.run(command, cwd=folder, check=True, timeout=60)
    return folder / "bench.vvp"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_engine("icarus")
    return tmp_path_factory.mktemp("bus_rules")


def flags_of(folder: Path, rows: list[Row]) -> set[str]:
    """The flags that these cycles, after a reset, raise."""
    path = program(folder)
    rows = [*[RESET] * 2, *rows, {}]
    lines = []
    for row in rows:
        whole = {"rstn": 1} | LAWFUL | row
        parts = []
        for name, bits in INPUTS.items():
            value = whole.get(name, 0)
            parts.append(value * bits if isinstance(value, str) else f"{value:0{bits}b}")
        lines.append("".join(reversed(parts)))
    (folder / "rows.txt").write_text("\n".join(lines) + "\n")
    command = [find_icarus().vvp, "-n", path.name, "+rows=rows.txt", f"+count={len(rows)}"]
    text = subprocess.run(command, cwd=folder, check=True, timeout=60, capture_output=True, text=True).stdout
    values = next(line for line in text.splitlines() if line.startswith("flags")).split()[1:]
    return {name for name, value in zip(FLAGS, values, strict=True) if value != "0"}


@pytest.mark.parametrize("name", CASES)
def test_cases(folder: Path, name: str) -> None:
    rows, wanted = CASES[name]
    found = flags_of(folder, rows)
    assert {flag for flag in found if flag not in ("lb_wrong", "lr_wrong", "l_open")} == wanted


@pytest.mark.parametrize("name", LITE_CASES)
def test_cases_of_registers(folder: Path, name: str) -> None:
    rows, wanted = LITE_CASES[name]
    assert {flag for flag in flags_of(folder, rows) if flag[0] == "l"} == wanted


def random_traffic(rng: random.Random, cycles: int) -> list[Row]:
    """Lawful reads and writes, in cycles that all channels move in or not."""
    reads: list[int] = []
    lengths, ready = [], {"aw": 0, "w": 0, "b": 0}
    addresses = [rng.choice((0, 1, 3)) for _ in range(cycles)]
    beat = read_beat = 0
    rows: list[Row] = []
    for cycle in range(cycles + 40 * cycles):
        going = cycle < cycles
        row: Row = {}
        if reads and rng.random() < 0.6:
            row |= R_LAST if read_beat == reads[0] else R
        if ready["b"] < min(ready["aw"], ready["w"]) and rng.random() < 0.5:
            row |= B
        if going and rng.random() < 0.3:
            row |= AR | {"arlen": rng.choice((0, 1, 2))}
        if (going or ready["aw"] < len(lengths)) and ready["aw"] < cycles and rng.random() < 0.3:
            row |= AW | {"awlen": addresses[ready["aw"]]}
        behind = going or beat or ready["w"] < ready["aw"]
        if behind and ready["w"] < ready["aw"] + 3 and rng.random() < 0.7:
            row |= W_LAST if beat == addresses[ready["w"]] else W
        rows.append(row)
        if "rvalid" in row:
            read_beat = 0 if "rlast" in row else read_beat + 1
            if "rlast" in row:
                reads.pop(0)
        if "arvalid" in row:
            reads.append(int(row["arlen"]))
        ready["b"] += "bvalid" in row
        if "awvalid" in row:
            ready["aw"] += 1
        if "wvalid" in row:
            if beat == 0:
                lengths.append(ready["w"])
            beat = 0 if "wlast" in row else beat + 1
            ready["w"] += "wlast" in row
        if not going and not reads and not beat and ready["aw"] == ready["w"] == ready["b"]:
            return rows
    raise AssertionError("the traffic does not end")


def test_random_traffic_like_the_rules_in_python(folder: Path) -> None:
    """Lawful traffic, and the same with one bit of one cycle wrong, are judged as `AxiRules` judges them."""
    rng = random.Random(1)
    verdicts = {True: 0, False: 0}
    for attempt in range(80):
        rows = [dict(row) for row in random_traffic(rng, 40)]
        if attempt >= 10:
            row = rows[rng.randrange(len(rows))]
            name = rng.choice([n for n in ("rlast", "wlast", "bvalid", "rvalid", "arvalid", "awvalid", "wvalid")])
            row[name] = 1 - int(row.get(name, 0))
            ready = name.replace("valid", "ready")
            if name.endswith("valid"):
                row[ready] = row[name]
        rules = AxiRules(64, 12)
        try:
            for row in [*rows, {}]:
                known = {"araddr": 0, "awaddr": 0, "arlen": 0, "awlen": 0, "wstrb": 0, "rresp": 0, "bresp": 0}
                known |= {name: 0 for name in ("rlast", "wlast", "rid", "bid")}
                known |= {f"{channel}{n}": LAWFUL[n] for channel in ("ar", "aw") for n in LAWFUL}
                rules.cycle(known | {key: int(value) for key, value in row.items()})
            rules.end()
            lawful = True
        except AxiError:
            lawful = False
        found = flags_of(folder, rows) & {"r_wrong", "r_open", "w_wrong", "b_wrong", "w_open"}
        assert (not found) == lawful, (attempt, found)
        verdicts[lawful] += 1
    assert min(verdicts.values()) >= 10
