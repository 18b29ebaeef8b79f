"""A stand-in for the accelerator, written by hand: it has the ports and registers, but its jobs only copy memory.

So the simulation bench and the driver can be tested without the hardware. A job copies M bursts of 16 beats of the bus
from A's address to C's, both multiples of a burst's bytes; W, N and K mean nothing. VERSION, READ_SLAVE, READ_DECODE,
WRITE_SLAVE and WRITE_DECODE are its faults.
"""

from mixdit_hw.host import OFFSETS
from mixdit_hw.params import Params
from mixdit_hw.sim.memory import Memory
from mixdit_hw.sim.model_transport import ModelTransport
from mixdit_hw.sim.system_bench import bus_ports

BURST_BEATS = 16


def burst_bytes(params: Params) -> int:
    """Bytes of a burst of the stand-in."""
    return BURST_BEATS * params.axi_width // 8


def stub_verilog(params: Params, *, defect: str = "") -> str:
    """The stand-in's Verilog.

    ``defect`` is one of ``unstable`` (write data changes while it waits), ``long`` (bursts of twice the beats),
    ``last`` (wlast is missing), ``hang`` (jobs never end).
    """
    width, address = params.axi_width, params.address_bits
    ports = ",\n".join(
        f"    {'output' if output else 'input'} [{bits - 1}:0] {name}" for name, bits, output in bus_ports(params)
    )
    model = ModelTransport(params, Memory(b""))
    names = ["ID", "VERSION", "CAP_ARRAY", "CAP_BUS", "CAP_BUFFERS", "CAP_OUTLIERS", *(f"DIGEST{i}" for i in range(8))]
    constants = "\n".join(f"      12'd{OFFSETS[n]}: csr = 32'd{model.read32(OFFSETS[n])};" for n in names)
    beats = 1024 // width
    size = (width // 8).bit_length() - 1
    step = burst_bytes(params)
    length = 2 * BURST_BEATS if defect == "long" else BURST_BEATS
    return f"""\
module mixdit_accelerator (
    input aclk,
    input aresetn,
    output irq,
{ports}
);
  localparam A = {address};
  // Registers.
  reg [63:0] job_address;
  reg [31:0] done_count, fault_count, tag, fault, fault_tag;
  reg [3:0] irq_status, irq_enable;
  reg halted, busy;
  reg [63:0] queue[0:15];
  reg [3:0] put, get;
  wire [3:0] waiting = put - get;
  assign irq = |(irq_status & irq_enable);
  reg bvalid, rvalid;
  reg [31:0] rdata, csr;
  wire write = s_axil_awvalid && s_axil_wvalid && !bvalid;
  wire read = s_axil_arvalid && !rvalid;
  assign s_axil_awready = write;
  assign s_axil_wready = write;
  assign s_axil_bvalid = bvalid;
  assign s_axil_bresp = 0;
  assign s_axil_arready = read;
  assign s_axil_rvalid = rvalid;
  assign s_axil_rdata = rdata;
  assign s_axil_rresp = 0;
  always @*
    case (s_axil_araddr)
{constants}
      12'd{OFFSETS["STATUS"]}: csr = {{20'd0, waiting, 6'd0, halted, busy}};
      12'd{OFFSETS["DONE_COUNT"]}: csr = done_count;
      12'd{OFFSETS["FAULT_COUNT"]}: csr = fault_count;
      12'd{OFFSETS["JOB_TAG"]}: csr = tag;
      12'd{OFFSETS["IRQ_STATUS"]}: csr = {{28'd0, irq_status}};
      12'd{OFFSETS["FAULT"]}: csr = fault;
      12'd{OFFSETS["FAULT_TAG"]}: csr = fault_tag;
      default: csr = 0;
    endcase

  // The copy.
  reg [2:0] state;  // 0 idle, 1 descriptor's address, 2 descriptor, 3 copy
  reg [1023:0] descriptor;
  reg [15:0] asked, told, sent, answered, bursts;
  reg [5:0] beat;
  reg [3:0] wbeat;
  reg [2:0] problem;
  reg [{width - 1}:0] fifo[0:63];
  reg [6:0] head, tail;
  reg arvalid, awvalid;
  reg [A-1:0] araddr, awaddr;
  wire [15:0] full = asked - sent;
  assign {{m_axi_arid, m_axi_awid, m_axi_arcache, m_axi_awcache, m_axi_arprot, m_axi_awprot}} = 0;
  assign m_axi_arvalid = arvalid;
  assign m_axi_araddr = araddr;
  assign m_axi_arlen = state == 3 ? 8'd{length - 1} : 8'd{beats - 1};
  assign m_axi_arsize = 3'd{size};
  assign m_axi_arburst = 1;
  assign m_axi_awvalid = awvalid;
  assign m_axi_awaddr = awaddr;
  assign m_axi_awlen = 8'd{BURST_BEATS - 1};
  assign m_axi_awsize = 3'd{size};
  assign m_axi_awburst = 1;
  assign m_axi_wvalid = head != tail;
  assign m_axi_wdata = fifo[tail[5:0]]{" ^ ticks" if defect == "unstable" else ""};
  assign m_axi_wstrb = ~0;
  assign m_axi_wlast = {"0" if defect == "last" else "wbeat == 15"};
  assign m_axi_rready = 1;
  assign m_axi_bready = 1;
  wire w = m_axi_wvalid && m_axi_wready;
  wire [2:0] wrong = problem;
  reg [7:0] ticks;
  wire [63:0] from = {{descriptor[14*32+:64]}}, to = {{descriptor[18*32+:64]}};
  wire version_wrong = descriptor[7:0] != 1;
  wire ends = state == 3 && ({"0" if defect == "hang" else "answered == bursts"} || version_wrong);
  always @(posedge aclk) begin
    ticks <= ticks + 1;
    if (s_axil_bready) bvalid <= 0;
    if (s_axil_rready) rvalid <= 0;
    if (write) begin
      bvalid <= 1;
      case (s_axil_awaddr)
        12'd{OFFSETS["JOB_ADDRESS_LO"]}: job_address[31:0] <= s_axil_wdata;
        12'd{OFFSETS["JOB_ADDRESS_HI"]}: job_address[63:32] <= s_axil_wdata;
        12'd{OFFSETS["DOORBELL"]}: begin
          queue[put] <= job_address;
          put <= put + 1;
        end
        12'd{OFFSETS["IRQ_STATUS"]}: irq_status <= irq_status & ~s_axil_wdata[3:0];
        12'd{OFFSETS["IRQ_ENABLE"]}: irq_enable <= s_axil_wdata[3:0];
        12'd{OFFSETS["FAULT_CLEAR"]}: halted <= 0;
        default: ;
      endcase
    end
    if (read) begin
      rvalid <= 1;
      rdata <= csr;
    end

    if (m_axi_arready) arvalid <= 0;
    if (m_axi_awready) awvalid <= 0;
    case (state)
      0:
      if (waiting != 0 && !halted) begin
        state <= 1;
        busy <= 1;
        get <= get + 1;
        arvalid <= 1;
        araddr <= queue[get][A-1:0];
        beat <= 0;
        problem <= 0;
      end
      1: begin
        if (m_axi_rvalid) begin
          descriptor <= {{m_axi_rdata, descriptor[1023:{width}]}};
          beat <= beat + 1;
          if (m_axi_rlast) state <= 2;
        end
      end
      2: begin
        state <= 3;
        bursts <= descriptor[2*32+:16];
        {{asked, told, sent, answered, head, tail, wbeat}} <= 0;
      end
      3: begin
        if (!version_wrong && asked != bursts && full <= 3 && (!arvalid || m_axi_arready)) begin
          arvalid <= 1;
          araddr <= from[A-1:0] + asked * {step};
          asked <= asked + 1;
        end
        if (!version_wrong && told != bursts && (!awvalid || m_axi_awready)) begin
          awvalid <= 1;
          awaddr <= to[A-1:0] + told * {step};
          told <= told + 1;
        end
        if (m_axi_rvalid) begin
          fifo[head[5:0]] <= m_axi_rdata;
          head <= head + 1;
          if (m_axi_rresp != 0 && problem == 0) problem <= m_axi_rresp - 1;
        end
        if (w) begin
          tail <= tail + 1;
          wbeat <= wbeat + 1;
          if (wbeat == 15) sent <= sent + 1;
        end
        if (m_axi_bvalid) begin
          answered <= answered + 1;
          if (m_axi_bresp != 0 && problem == 0) problem <= m_axi_bresp + 1;
        end
        if (ends) begin
          state <= 0;
          busy <= 0;
          if (version_wrong || wrong != 0) begin
            halted <= 1;
            fault <= version_wrong ? 1 : wrong + 7;
            fault_tag <= descriptor[63:32];
            fault_count <= fault_count + 1;
            irq_status[2] <= 1;
          end else begin
            done_count <= done_count + 1;
            tag <= descriptor[63:32];
            if (descriptor[8]) irq_status[0] <= 1;
            if (waiting == 0) irq_status[1] <= 1;
          end
        end
      end
      default: ;
    endcase
    if (!aresetn) begin
      {{bvalid, rvalid, put, get, busy, halted, irq_status, irq_enable, state, arvalid, awvalid, ticks}} <= 0;
      {{done_count, fault_count, tag, fault, fault_tag, job_address, head, tail}} <= 0;
    end
  end
endmodule
"""
