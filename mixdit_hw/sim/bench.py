"""Text of the simulation top: the design between stream players and a recorder."""

from pathlib import Path

from ..params import Params

TOP = "mixdit_bench"
FEEDER = Path(__file__).with_name("feeder.v")
SETTLE_CYCLES = 64  # cycles watched after the last result, for results that nobody asked for
COMMAND_BYTES = 3
COUNTERS = ("cycles", "passes", "wait_a", "wait_w", "wait_result", "wait_drain")  # of the core, read at the end


def block_bytes(params: Params) -> int:
    """Bytes of a block on the core's streams: 18, 12 or 8."""
    return params.format_set[0].block_bytes  # the container is that of the widest format


def beat_bytes(params: Params) -> dict[str, int]:
    """Bytes of one beat in the images of the streams: the payload's bits, the last field rounded up to a byte."""
    size = block_bytes(params)
    return {"a": params.rows * size + 1, "w": params.columns * size + 1, "cmd": COMMAND_BYTES}


def result_words(params: Params) -> int:
    """32-bit words of a recorded result beat: the results, then one word with ``last``."""
    return params.drain * params.columns + 1


def bench_verilog(params: Params) -> str:
    """The simulation top for a design.

    ``finished`` rises when all ``+results`` beats have come and `SETTLE_CYCLES` more cycles have passed, when no stream
    has moved for ``+patience`` cycles (``hung``), or at a fault that a recorder or player saw. ``cycles`` counts from
    the end of reset to the last result beat expected.
    """
    size = beat_bytes(params)
    a, w, cmd = (8 * size[name] for name in ("a", "w", "cmd"))
    words = result_words(params)
    counters = "\n".join(f"  wire [31:0] core_{name} /* verilator public_flat_rd */;" for name in COUNTERS)
    counter_ports = ", ".join(f".{name}(core_{name})" for name in COUNTERS)
    return f"""\
// Simulation only: mixdit_core between the players and the recorder of feeder.v.
module {TOP};
  // Written from outside; until then in reset, so that no player starts early.
  reg clk /* verilator public_flat_rw */ = 0;
  reg rst /* verilator public_flat_rw */ = 1;
  wire a_valid, a_ready, w_valid, w_ready, cmd_valid, cmd_ready, c_valid, c_ready, c_last;
  wire [{a - 1}:0] a;
  wire [{w - 1}:0] w;
  wire [{cmd - 1}:0] cmd;
  wire [{32 * (words - 1) - 1}:0] c_words;

  wire [63:0] a_taken /* verilator public_flat_rd */, a_total /* verilator public_flat_rd */;
  wire [63:0] w_taken /* verilator public_flat_rd */, w_total /* verilator public_flat_rd */;
  wire [63:0] cmd_taken /* verilator public_flat_rd */, cmd_total /* verilator public_flat_rd */;
  wire [63:0] c_taken /* verilator public_flat_rd */;
  wire a_short, w_short, cmd_short;
  wire unknown /* verilator public_flat_rd */, unstable /* verilator public_flat_rd */;
  wire short_file /* verilator public_flat_rd */;
  assign short_file = a_short || w_short || cmd_short;
{counters}

  mixdit_sim_player #(.NAME("a"), .BYTES({size["a"]})) u_a (
      .clk(clk), .rst(rst), .valid(a_valid), .ready(a_ready), .payload(a),
      .taken(a_taken), .total(a_total), .short_file(a_short));
  mixdit_sim_player #(.NAME("w"), .BYTES({size["w"]})) u_w (
      .clk(clk), .rst(rst), .valid(w_valid), .ready(w_ready), .payload(w),
      .taken(w_taken), .total(w_total), .short_file(w_short));
  mixdit_sim_player #(.NAME("cmd"), .BYTES({size["cmd"]})) u_cmd (
      .clk(clk), .rst(rst), .valid(cmd_valid), .ready(cmd_ready), .payload(cmd),
      .taken(cmd_taken), .total(cmd_total), .short_file(cmd_short));
  mixdit_sim_recorder #(.NAME("c"), .WORDS({words})) u_c (
      .clk(clk), .rst(rst), .close(finished), .valid(c_valid), .ready(c_ready), .payload({{31'd0, c_last, c_words}}),
      .taken(c_taken), .unknown(unknown), .unstable(unstable));

  mixdit_core u_core (
      .clk(clk), .rst(rst),
      .a_valid(a_valid), .a_ready(a_ready), .a_blocks(a[{a - 9}:0]), .a_format(a[{a - 7}:{a - 8}]),
      .w_valid(w_valid), .w_ready(w_ready), .w_blocks(w[{w - 9}:0]), .w_format(w[{w - 7}:{w - 8}]),
      .cmd_valid(cmd_valid), .cmd_ready(cmd_ready), .cmd_blocks(cmd[15:0]), .cmd_accumulate(cmd[16]),
      .c_valid(c_valid), .c_ready(c_ready), .c_words(c_words), .c_last(c_last),
      .clear(1'b0), {counter_ports});

  reg [63:0] cycles /* verilator public_flat_rd */;
  reg finished /* verilator public_flat_rd */, hung /* verilator public_flat_rd */;
  reg [63:0] results, patience, quiet;
  integer settle;
  wire moves = (a_valid && a_ready) || (w_valid && w_ready) || (cmd_valid && cmd_ready) || (c_valid && c_ready);
  initial begin
    if (!$value$plusargs("results=%d", results)) results = 0;
    if (!$value$plusargs("patience=%d", patience)) patience = 0;
    cycles = 0;
    quiet = 0;
    settle = 0;
    finished = 0;
    hung = 0;
  end
  always @(posedge clk)
    if (!rst) begin
      quiet <= moves ? 0 : quiet + 1;
      if (c_taken < results) begin
        cycles <= cycles + 1;
        if (quiet > patience) begin
          hung <= 1;
          finished <= 1;
        end
      end else begin
        settle <= settle + 1;
        if (settle == {SETTLE_CYCLES}) finished <= 1;
      end
      if (unknown || unstable || short_file) finished <= 1;
    end
endmodule
"""
