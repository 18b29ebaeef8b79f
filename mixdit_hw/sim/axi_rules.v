// Simulation only: flags what a bus must not do. Flags stay, over later resets too.

// A channel: what is offered stays until it is taken, and nothing is offered during reset.
module mixdit_sim_stable #(
    parameter BITS = 1
) (
    input clk,
    input rstn,
    input valid,
    input ready,
    input [BITS-1:0] payload,
    output reg unstable,  // valid was taken back, or the payload changed, before ready
    output reg unknown,   // valid, or the payload of a transfer, had unknown bits
    output reg early      // valid during reset, from its second cycle on
);
  reg waiting, resetting;
  reg [BITS-1:0] held;
  initial begin
    waiting = 0;
    resetting = 0;
    unstable = 0;
    unknown = 0;
    early = 0;
  end
  always @(posedge clk) begin
    waiting   <= rstn && valid && !ready;
    held      <= payload;
    resetting <= !rstn;
    if (!rstn) begin
      if (resetting && valid !== 1'b0) early <= 1;
    end else begin
      if (waiting && (valid !== 1'b1 || payload !== held)) unstable <= 1;
      if ((^valid) === 1'bx || (valid === 1'b1 && (^payload) === 1'bx)) unknown <= 1;
    end
  end
endmodule

// An address channel: incrementing bursts of full width and of one identifier, aligned or not, within 4 KiB.
module mixdit_sim_burst #(
    parameter ADDRESS_BITS = 32,
    parameter SIZE = 3
) (
    input clk,
    input rstn,
    input valid,
    input id,
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
    if (rstn && valid && (id != 0 || size != SIZE || burst != 2'd1 || first + bytes > 32'd4096)) wrong <= 1;
endmodule

// Reads: beats only after their address, as many as it asks for. At most 1023 bursts under way.
module mixdit_sim_reads (
    input clk,
    input rstn,
    input arvalid,
    input arready,
    input [7:0] arlen,
    input rvalid,
    input rready,
    input rlast,
    input [1:0] rresp,
    output reg wrong,
    output open  // bursts are under way
);
  reg [7:0] length[0:1023];
  reg [31:0] asked, ended;
  reg [7:0] beat;
  assign open = asked != ended;
  initial begin
    asked = 0;
    ended = 0;
    beat = 0;
    wrong = 0;
  end
  always @(posedge clk)
    if (!rstn) begin
      asked <= 0;
      ended <= 0;
      beat  <= 0;
    end else begin
      if (arvalid && arready) begin
        length[asked[9:0]] <= arlen;
        asked <= asked + 1;
      end
      if (rvalid && (!open || rlast != (beat == length[ended[9:0]]) || rresp == 2'd1)) wrong <= 1;
      if (rvalid && rready) begin
        beat <= rlast ? 0 : beat + 1;
        if (rlast) ended <= ended + 1;
      end
    end
endmodule

// Writes: as many beats as the address says, whichever comes first, and one answer when both are there. Neither may be
// more than 1023 bursts ahead.
module mixdit_sim_writes (
    input clk,
    input rstn,
    input awvalid,
    input awready,
    input [7:0] awlen,
    input wvalid,
    input wready,
    input wlast,
    input bvalid,
    input bready,
    input [1:0] bresp,
    output reg wrong,  // beats
    output reg answer_wrong,
    output open  // bursts are under way
);
  reg [7:0] length[0:1023], counted[0:1023];
  reg [31:0] asked, sent, matched, answered;
  reg [8:0] beat;
  wire known = (asked != sent) && !(asked - sent >> 31);  // the address of the beats at hand has been taken
  wire match = asked != matched && sent != matched;
  assign open = asked != answered || sent != answered || beat != 0;
  initial begin
    asked = 0;
    sent = 0;
    matched = 0;
    answered = 0;
    beat = 0;
    wrong = 0;
    answer_wrong = 0;
  end
  always @(posedge clk)
    if (!rstn) begin
      asked <= 0;
      sent <= 0;
      matched <= 0;
      answered <= 0;
      beat <= 0;
    end else begin
      if (awvalid && awready) begin
        length[asked[9:0]] <= awlen;
        asked <= asked + 1;
      end
      if (wvalid && wready) begin
        if (wlast) begin
          counted[sent[9:0]] <= beat[7:0];
          sent <= sent + 1;
        end
        beat <= wlast ? 0 : beat + 1;
      end
      if (wvalid && beat > 255) wrong <= 1;
      if (wvalid && known && (beat > length[sent[9:0]] || wlast != (beat == length[sent[9:0]]))) wrong <= 1;
      if (match) begin
        matched <= matched + 1;
        if (length[matched[9:0]] != counted[matched[9:0]]) wrong <= 1;
      end
      if (bvalid && (asked == answered || sent == answered || bresp == 2'd1)) answer_wrong <= 1;
      if (bvalid && bready) answered <= answered + 1;
    end
endmodule

// AXI4-Lite: one answer to each access, when all of it is there.
module mixdit_sim_lite (
    input clk,
    input rstn,
    input awvalid,
    input awready,
    input wvalid,
    input wready,
    input bvalid,
    input bready,
    input [1:0] bresp,
    input arvalid,
    input arready,
    input rvalid,
    input rready,
    input [1:0] rresp,
    output reg b_wrong,
    output reg r_wrong,
    output open  // accesses are under way
);
  reg [31:0] aw, w, b, ar, r;
  assign open = aw != b || w != b || ar != r;
  initial begin
    aw = 0;
    w = 0;
    b = 0;
    ar = 0;
    r = 0;
    b_wrong = 0;
    r_wrong = 0;
  end
  always @(posedge clk)
    if (!rstn) begin
      aw <= 0;
      w  <= 0;
      b  <= 0;
      ar <= 0;
      r  <= 0;
    end else begin
      if (bvalid && (aw == b || w == b || bresp == 2'd1)) b_wrong <= 1;
      if (rvalid && (ar == r || rresp == 2'd1)) r_wrong <= 1;
      if (awvalid && awready) aw <= aw + 1;
      if (wvalid && wready) w <= w + 1;
      if (bvalid && bready) b <= b + 1;
      if (arvalid && arready) ar <= ar + 1;
      if (rvalid && rready) r <= r + 1;
    end
endmodule
