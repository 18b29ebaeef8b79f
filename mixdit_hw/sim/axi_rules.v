// Simulation only: flags what a stream of a bus must not do. Sticky until reset.
module mixdit_sim_stable #(
    parameter BITS = 1
) (
    input clk,
    input rstn,
    input valid,
    input ready,
    input [BITS-1:0] payload,
    output reg unstable,  // valid was taken back, or the payload changed, before ready
    output reg unknown    // valid, or the payload of a transfer, had unknown bits
);
  reg waiting;
  reg [BITS-1:0] held;
  initial begin
    waiting = 0;
    unstable = 0;
    unknown = 0;
  end
  always @(posedge clk)
    if (!rstn) begin
      waiting <= 0;
      unstable <= 0;
      unknown <= 0;
    end else begin
      if (waiting && (valid !== 1'b1 || payload !== held)) unstable <= 1;
      if ((^valid) === 1'bx || (valid === 1'b1 && (^payload) === 1'bx)) unknown <= 1;
      waiting <= valid && !ready;
      held <= payload;
    end
endmodule

// An address channel: incrementing bursts of full width, aligned or not, that stay within 4 KiB.
module mixdit_sim_burst #(
    parameter ADDRESS_BITS = 32,
    parameter SIZE = 3
) (
    input clk,
    input rstn,
    input valid,
    input [ADDRESS_BITS-1:0] address,
    input [7:0] length,
    input [2:0] size,
    input [1:0] burst,
    output reg wrong
);
  wire [31:0] first = {20'd0, address[11:0]} >> SIZE << SIZE;
  wire [31:0] bytes = ({24'd0, length} + 32'd1) << SIZE;
  initial wrong = 0;
  always @(posedge clk)
    if (!rstn) wrong <= 0;
    else if (valid && (size != SIZE || burst != 2'd1 || first + bytes > 32'd4096)) wrong <= 1;
endmodule
