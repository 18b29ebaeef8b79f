"""Text of the simulation top: the accelerator, with every port within reach of cocotb, and checks of its buses."""

from pathlib import Path

from ..params import Params

TOP = "mixdit_system_bench"
RULES = Path(__file__).with_name("axi_rules.v")
CSR_ADDRESS_BITS = 12

CHANNELS = ("m_axi_ar", "m_axi_aw", "m_axi_w", "s_axil_b", "s_axil_r")  # that the accelerator drives

# Flags of the bench that must be 0 at the end, and what each says of the accelerator.
FLAGS = {
    **{f"{name}_unstable": f"it changed or took back what it had offered on {name}" for name in CHANNELS},
    **{f"{name}_unknown": f"it offered unknown bits on {name}" for name in CHANNELS},
    **{f"{name}_early": f"it offered something during reset on {name}" for name in CHANNELS},
    **{f"{name}_wrong": f"it asked for a burst that is not allowed on {name}" for name in CHANNELS[:2]},
    "m_axi_w_wrong": "its beats on m_axi_w are not those that it announced on m_axi_aw",
    "m_axi_r_wrong": "the memory's beats on m_axi_r are not those that it asked for on m_axi_ar",
    "m_axi_b_wrong": "the memory answered on m_axi_b what had not ended",
    "s_axil_b_wrong": "it answered on s_axil_b what had not been written",
    "s_axil_r_wrong": "it answered on s_axil_r what had not been read",
}
# Signals that must be 0 at the end of a program that left the accelerator at rest.
OPEN = {
    "m_axi_ar_open": "reads of memory are under way at the end",
    "m_axi_aw_open": "writes of memory are under way at the end",
    "s_axil_open": "accesses to registers are without answer at the end",
}


def _ports(prefix: str, names: str) -> str:
    """Connections of ports that have the names of a bus's signals without its prefix."""
    return ", ".join(f".{name}({prefix}_{name})" for name in names.split())


# Which answer belongs to what.
_TRAFFIC = f"""\
  mixdit_sim_reads u_m_axi_reads (
      .clk(aclk), .rstn(aresetn), {_ports("m_axi", "arvalid arready arlen")},
      {_ports("m_axi", "rvalid rready rlast rresp")},
      .wrong(m_axi_r_wrong), .open(m_axi_ar_open));
  mixdit_sim_writes u_m_axi_writes (
      .clk(aclk), .rstn(aresetn), {_ports("m_axi", "awvalid awready awlen wvalid wready wlast")},
      {_ports("m_axi", "bvalid bready bresp")},
      .wrong(m_axi_w_wrong), .answer_wrong(m_axi_b_wrong), .open(m_axi_aw_open));
  mixdit_sim_lite u_s_axil_traffic (
      .clk(aclk), .rstn(aresetn), {_ports("s_axil", "awvalid awready wvalid wready")},
      {_ports("s_axil", "bvalid bready bresp arvalid arready rvalid rready rresp")},
      .b_wrong(s_axil_b_wrong), .r_wrong(s_axil_r_wrong), .open(s_axil_open));"""


def bus_ports(params: Params) -> list[tuple[str, int, bool]]:
    """Ports of the accelerator but clock, reset and interrupt: name, bits, and whether it is an output."""
    width, address = params.axi_width, params.address_bits
    request = [("id", 1), ("addr", address), ("len", 8), ("size", 3), ("burst", 2), ("cache", 4), ("prot", 3)]
    channels = {
        "aw": (request, True),
        "w": ([("data", width), ("strb", width // 8), ("last", 1)], True),
        "b": ([("id", 1), ("resp", 2)], False),
        "ar": (request, True),
        "r": ([("id", 1), ("data", width), ("resp", 2), ("last", 1)], False),
    }
    lite_request = [("addr", CSR_ADDRESS_BITS), ("prot", 3)]
    lite = {
        "aw": (lite_request, False),
        "w": ([("data", 32), ("strb", 4)], False),
        "b": ([("resp", 2)], True),
        "ar": (lite_request, False),
        "r": ([("data", 32), ("resp", 2)], True),
    }
    return [
        port
        for prefix, bus in (("m_axi", channels), ("s_axil", lite))
        for channel, (payload, output) in bus.items()
        for port in (
            *((f"{prefix}_{channel}{name}", bits, output) for name, bits in payload),
            (f"{prefix}_{channel}valid", 1, output),
            (f"{prefix}_{channel}ready", 1, not output),
        )
    ]


def system_verilog(params: Params) -> str:
    """The simulation top for a design.

    Its signals have the names of the accelerator's ports; those that are inputs of it are 0 until they are written.
    ``cycles`` counts from the end of reset.
    """
    ports = bus_ports(params)
    declarations = "\n".join(
        f"  wire {_range(bits)}{name} /* verilator public_flat_rd */;"
        if output
        else f"  reg {_range(bits)}{name} /* verilator public_flat_rw */ = 0;"
        for name, bits, output in ports
    )
    connections = ",\n      ".join(f".{name}({name})" for name, _, _ in ports)
    flags = "\n".join(f"  wire {name} /* verilator public_flat_rd */;" for name in (*FLAGS, *OPEN))
    checks = "\n".join(_checks(params, channel) for channel in CHANNELS)
    return f"""\
// Simulation only: mixdit_accelerator, driven from outside.
module {TOP};
  reg aclk /* verilator public_flat_rw */ = 0;
  reg aresetn /* verilator public_flat_rw */ = 0;
  wire irq /* verilator public_flat_rd */;
{declarations}

  mixdit_accelerator u_accelerator (
      .aclk(aclk),
      .aresetn(aresetn),
      .irq(irq),
      {connections}
  );

{flags}
{checks}
{_TRAFFIC}

  reg [63:0] cycles /* verilator public_flat_rd */ = 0;
  always @(posedge aclk) cycles <= aresetn ? cycles + 1 : 0;
endmodule
"""


def _checks(params: Params, channel: str) -> str:
    payload = [(name, bits) for name, bits, _ in bus_ports(params) if name.startswith(channel)]
    payload = [(n, b) for n, b in payload if n not in (f"{channel}valid", f"{channel}ready")]
    if channel == "m_axi_w":
        # Bytes without a strobe may be anything.
        strobed = ", ".join(f"{{8{{m_axi_wstrb[{i}]}}}}" for i in reversed(range(params.axi_width // 8)))
        data = f"m_axi_wdata & {{{strobed}}}"
        payload = [(data if n == "m_axi_wdata" else n, b) for n, b in payload]
    wires = ", ".join(n for n, _ in payload)
    text = f"""\
  mixdit_sim_stable #(.BITS({sum(b for _, b in payload)})) u_{channel}_stable (
      .clk(aclk), .rstn(aresetn), .valid({channel}valid), .ready({channel}ready), .payload({{{wires}}}),
      .unstable({channel}_unstable), .unknown({channel}_unknown), .early({channel}_early));"""
    if channel in CHANNELS[:2]:
        size = (params.axi_width // 8).bit_length() - 1
        text += f"""
  mixdit_sim_burst #(.ADDRESS_BITS({params.address_bits}), .SIZE({size})) u_{channel}_burst (
      .clk(aclk), .rstn(aresetn), .valid({channel}valid), .id({channel}id), .address({channel}addr),
      .length({channel}len), .size({channel}size), .burst({channel}burst), .wrong({channel}_wrong));"""
    return text


def _range(bits: int) -> str:
    return "" if bits == 1 else f"[{bits - 1}:0] "
