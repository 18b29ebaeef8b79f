// Simulation only: plays stream images into the design and records what comes out, so that no Python runs per cycle.
//
// A player reads NAME.bin: SECTIONS sections of SECTION beats of BYTES bytes, the most significant byte first. Every
// section is played REPEAT times before the next one. A recorder writes c.bin: each accepted beat as native 32-bit
// words, the least significant first. Both insert idle cycles at pseudo-random places, with probability IDLE/256, and
// move a beat no earlier than INTERVAL/256 cycles after the one before.
// The upper-case numbers come from the command line, e.g. +a_section=12 +a_sections=1 +a_repeat=3 +a_idle=0 +a_seed=1
// +a_interval=256.

module mixdit_sim_idle #(
    parameter NAME = "x"
) (
    input  wire clk,
    input  wire rst,
    input  wire moves,  // a beat moves in this cycle
    output wire idle    // none may in the next one
);
  // Marsaglia's 32-bit xorshift: any seed but 0 gives the full period.
  integer probability, seed;
  reg [31:0] state, a, b;
  initial begin
    if (!$value$plusargs({NAME, "_idle=%d"}, probability)) probability = 0;
    if (!$value$plusargs({NAME, "_seed=%d"}, seed)) seed = 1;
    state = seed;
  end
  always @(posedge clk) if (!rst) begin
    a = state ^ (state << 13);
    b = a ^ (a >> 17);
    state <= b ^ (b << 5);
  end

  // A cycle earns 256 and a beat costs INTERVAL, for which the credit may not be negative. What is not used is lost, but
  // for less than a cycle's: so beat k moves floor(k*INTERVAL/256) cycles after the first, if none is kept waiting.
  integer interval, credit;
  wire signed [31:0] earned = credit + 256 - (moves === 1'b1 ? interval : 0);
  initial begin
    if (!$value$plusargs({NAME, "_interval=%d"}, interval)) interval = 256;
    credit = 255;
  end
  always @(posedge clk) if (!rst) credit <= earned > 255 ? 255 : earned;

  assign idle = {24'd0, state[31:24]} < probability || earned < 0;
endmodule

module mixdit_sim_player #(
    parameter NAME = "x",
    parameter BYTES = 1
) (
    input wire clk,
    input wire rst,
    output reg valid,
    input wire ready,
    output reg [8*BYTES-1:0] payload,
    output reg [63:0] taken,  // beats accepted by the design
    output reg [63:0] total,  // beats to play
    output reg short_file
);
  integer file, got, start;
  reg [63:0] section, sections, repeats, beat, pass, left;
  reg [8*BYTES-1:0] data;
  wire idle;
  mixdit_sim_idle #(.NAME(NAME)) u_idle (.clk(clk), .rst(rst), .moves(valid && ready), .idle(idle));

  initial begin
    if (!$value$plusargs({NAME, "_section=%d"}, section)) section = 0;
    if (!$value$plusargs({NAME, "_sections=%d"}, sections)) sections = 0;
    if (!$value$plusargs({NAME, "_repeat=%d"}, repeats)) repeats = 0;
    total = section * sections * repeats;
    left = total;
    start = 0;
    beat = 0;
    pass = 1;
    taken = 0;
    valid = 0;
    payload = {8 * BYTES{1'bx}};
    short_file = 0;
    file = $fopen({NAME, ".bin"}, "rb");
    if (file == 0) short_file = 1;
  end

  always @(posedge clk)
    if (rst) valid <= 0;
    else begin
      if (valid && ready) taken <= taken + 1;
      if (!valid || ready) begin
        if (left != 0 && !idle && !short_file) begin
          got = $fread(data, file);
          if (got != BYTES) short_file <= 1;
          payload <= data;
          valid <= 1;
          left <= left - 1;
          if (beat + 1 != section) beat <= beat + 1;
          else begin
            beat <= 0;
            if (pass == repeats) begin
              pass <= 1;
              start = start + section * BYTES;
            end else begin
              pass <= pass + 1;
              got = $fseek(file, start, 0);  // from the beginning: Verilator takes offsets as unsigned
            end
          end
        end else begin
          valid <= 0;
          payload <= {8 * BYTES{1'bx}};  // nothing may depend on the payload while valid is low
        end
      end
    end
endmodule

module mixdit_sim_recorder #(
    parameter NAME = "x",
    parameter WORDS = 1
) (
    input wire clk,
    input wire rst,
    input wire close,  // flushes the file
    input wire valid,
    output reg ready,
    input wire [32*WORDS-1:0] payload,
    output reg [63:0] taken,
    output reg unknown,  // an accepted beat held X or Z (four-state simulators)
    output reg unstable  // valid or payload changed before the beat was accepted
);
  integer file;
  reg waiting;
  reg [32*WORDS-1:0] waited;
  wire idle;
  mixdit_sim_idle #(.NAME(NAME)) u_idle (.clk(clk), .rst(rst), .moves(valid && ready), .idle(idle));

  initial begin
    ready = 0;
    taken = 0;
    unknown = 0;
    unstable = 0;
    waiting = 0;
    waited = 0;
    file = $fopen({NAME, ".bin"}, "wb");
  end

  always @(posedge clk)
    if (rst) ready <= 0;
    else begin
      ready <= !idle;
      if (valid !== 1'b0 && ready) begin
        if (valid !== 1'b1 || ^payload === 1'bx) unknown <= 1;
        $fwrite(file, "%u", payload);
        taken <= taken + 1;
      end
      waiting <= valid && !ready;
      waited <= payload;
      if (waiting && (!valid || payload != waited)) unstable <= 1;
      if (close) $fflush(file);
    end
endmodule
