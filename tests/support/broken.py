"""Designs with a fault, to see that it is found: the real core inside a wrapper that spoils one of its streams."""

from mixdit_hw.params import Params
from mixdit_hw.sim.bench import COUNTERS, block_bytes

FAULTS = {
    # The first row's element 0 of every MX9 block changes its sign.
    "sign": {"a_blocks": "a_blocks ^ ((a_format == 2) << SIGN)"},
    # The core never hears of the fifth beat of A, nor of any after it.
    "hang": {"a_valid": "a_valid && count < 4", "a_ready": "inner_a_ready && count < 4"},
    # The last flag never comes.
    "last": {"c_last": "1'b0"},
    # A result changes while it waits.
    "unstable": {"c_words": "inner_c_words ^ time_"},
    # A result has an unknown bit; only a four-state simulator sees it.
    "unknown": {"c_words": "inner_c_words | (1'bx & (count > 4))"},
    # The first result beat is given twice.
    "extra": {"c_ready": "c_ready && (given || !c_valid)"},
}
_INPUTS = ("a_valid", "a_blocks", "a_format", "w_valid", "w_blocks", "w_format", "cmd_valid", "cmd_blocks")
_OUTPUTS = ("a_ready", "w_ready", "cmd_ready", "c_valid", "c_words", "c_last")


def break_design(design: str, params: Params, fault: str) -> str:
    """An emitted design with one of `FAULTS`."""
    block = 8 * block_bytes(params)
    widths = {
        "a_blocks": params.rows * block,
        "w_blocks": params.columns * block,
        "a_format": 2,
        "w_format": 2,
        "cmd_blocks": 16,
        "c_words": 32 * params.drain * params.columns,
    }

    def port(name: str) -> str:
        return f"[{widths[name] - 1}:0] {name}" if name in widths else name

    changed = FAULTS[fault]
    sign = 16 + params.magnitude_bits
    inputs = (*_INPUTS, "cmd_accumulate", "c_ready", "clear")
    lines = [
        f"module mixdit_core (input clk, input rst, {', '.join(f'input {port(n)}' for n in inputs)},",
        f"    {', '.join(f'output {port(n)}' for n in _OUTPUTS)},",
        f"    {', '.join(f'output [31:0] {n}' for n in COUNTERS)});",
        f"  localparam SIGN = {sign};",
        "  integer count = 0, time_ = 0;",
        "  reg given = 0;",
        *(f"  wire {port(n).replace(n, f'inner_{n}')};" for n in _OUTPUTS),
        *(f"  assign {n} = {changed.get(n, f'inner_{n}')};" for n in _OUTPUTS),
        "  always @(posedge clk) begin",
        "    time_ <= time_ + 1;",
        "    if (!rst && a_valid && a_ready) count <= count + 1;",
        "    if (c_valid && c_ready) given <= 1;",
        "  end",
        "  mixdit_core_inner inner (.clk(clk), .rst(rst),",
        *(f"    .{n}({changed.get(n, n)})," for n in inputs),
        *(f"    .{n}(inner_{n})," for n in _OUTPUTS),
        f"    {', '.join(f'.{n}({n})' for n in COUNTERS)});",
        "endmodule",
    ]
    return design.replace("module mixdit_core (", "module mixdit_core_inner (") + "\n".join(lines) + "\n"
