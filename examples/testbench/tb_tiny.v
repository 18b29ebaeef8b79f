// One tile through the core of preset tiny, with the beats that vectors.py wrote.
//
//   python examples/testbench/vectors.py
//   iverilog -g2005 -o build/testbench/tb examples/testbench/tb_tiny.v rtl/tiny/mixdit_core.v
//   cd build/testbench && vvp tb

module tb_tiny;
  localparam A_BEATS = 16, W_BEATS = 4, C_BEATS = 8;

  reg clk = 0, rst = 1;
  always #5 clk = !clk;

  // Beats as the files hold them: blocks, then format; words, then last.
  reg [289:0] a [0:A_BEATS-1];
  reg [289:0] w [0:W_BEATS-1];
  reg [16:0] cmd [0:0];
  reg [64:0] c [0:C_BEATS-1];

  integer na = 0, nw = 0, ncmd = 0, nc = 0, errors = 0;
  wire a_ready, w_ready, cmd_ready, c_valid, c_last;
  wire [63:0] c_words;
  // A stream's payload stays until it is accepted, which is in a clock edge with valid and ready.
  wire a_valid = !rst && na < A_BEATS, w_valid = !rst && nw < W_BEATS, cmd_valid = !rst && ncmd < 1;

  mixdit_core core (
      .clk(clk), .rst(rst), .clear(1'b0),
      .a_valid(a_valid), .a_ready(a_ready), .a_blocks(a[na][287:0]), .a_format(a[na][289:288]),
      .w_valid(w_valid), .w_ready(w_ready), .w_blocks(w[nw][287:0]), .w_format(w[nw][289:288]),
      .cmd_valid(cmd_valid), .cmd_ready(cmd_ready), .cmd_blocks(cmd[0][15:0]), .cmd_accumulate(cmd[0][16]),
      .c_valid(c_valid), .c_ready(1'b1), .c_words(c_words), .c_last(c_last)
  );

  initial begin
    $readmemh("a.hex", a);
    $readmemh("w.hex", w);
    $readmemh("cmd.hex", cmd);
    $readmemh("c.hex", c);
    repeat (2) @(posedge clk);
    #1 rst = 0;
    repeat (1000) @(posedge clk);
    $display("FAIL: only %0d of %0d results", nc, C_BEATS);
    $finish;
  end

  always @(posedge clk) if (!rst) begin
    if (a_valid && a_ready) na <= #1 na + 1;
    if (w_valid && w_ready) nw <= #1 nw + 1;
    if (cmd_valid && cmd_ready) ncmd <= #1 ncmd + 1;
    if (c_valid) begin
      if ({c_last, c_words} !== c[nc]) begin
        $display("row %0d: %h, not %h", nc, {c_last, c_words}, c[nc]);
        errors = errors + 1;
      end
      nc = nc + 1;
      if (nc == C_BEATS) begin
        if (errors == 0) $display("PASS: %0d results", nc);
        else $display("FAIL: %0d of %0d results differ", errors, nc);
        $finish;
      end
    end
  end
endmodule
