"""What a design can be synthesised for: Yosys's commands, and what its cells count as.

LUTs are counted as the device spends them: a carry cell of ECP5 is two LUT4, an ALU of Gowin one, and RAM in LUTs what
it takes of them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

RESOURCES: tuple[str, ...] = ("cells", "luts", "ffs", "dsps", "brams")


@dataclass(frozen=True, kw_only=True)
class Target:
    """One target.

    Parameters
    ----------
    name
        As the user types it.
    command
        Yosys's synthesis command, without ``-top``.
    before
        Commands before it.
    with_dsp, without_dsp
        Option that the command takes for multiplications in DSPs, and in logic.
    rules
        Regular expressions of whole cell types, each with the resource and how many of it such a cell takes; the first
        that matches counts.
    """

    name: str
    command: str
    before: tuple[str, ...] = ()
    with_dsp: str = ""
    without_dsp: str = ""
    rules: tuple[tuple[str, str, int], ...] = field(default=(), repr=False)

    @property
    def has_dsps(self) -> bool:
        """Whether multiplications can be in DSPs."""
        return bool(self.with_dsp or self.without_dsp)

    def script(self, top: str, *, dsp: bool) -> list[str]:
        """Yosys's commands from a design that has been read to mapped cells."""
        option = self.with_dsp if dsp else self.without_dsp
        return [*self.before, " ".join(filter(None, (self.command, option, f"-top {top}")))]

    def resources(self, cells: Mapping[str, int]) -> dict[str, int]:
        """How much of each of `RESOURCES` so many cells of each type take."""
        used = dict.fromkeys(RESOURCES, 0)
        for kind, count in cells.items():
            used["cells"] += count
            for pattern, resource, amount in self.rules:
                if re.fullmatch(pattern, kind):
                    used[resource] += amount * count
                    break
        return used


FPGA_TARGETS = {
    target.name: target
    for target in (
        Target(
            name="generic",
            command="synth -flatten",
            rules=((r"\$_\w*(?:FF|DLATCH|SR)\w*_", "ffs", 1),),
        ),
        Target(
            name="ice40",
            command="synth_ice40",
            with_dsp="-dsp",
            rules=(
                (r"SB_LUT4", "luts", 1),
                (r"SB_DFF\w*", "ffs", 1),
                (r"SB_MAC16", "dsps", 1),
                (r"SB_RAM40_4K\w*|SB_SPRAM256KA", "brams", 1),
            ),
        ),
        Target(
            name="ecp5",
            command="synth_ecp5 -abc9 -nowidelut",
            before=("scratchpad -copy abc9.script.flow3 abc9.script",),
            without_dsp="-nodsp",
            rules=(
                (r"LUT4", "luts", 1),
                (r"CCU2C", "luts", 2),
                (r"TRELLIS_DPR16X4", "luts", 4),
                (r"TRELLIS_FF", "ffs", 1),
                (r"MULT\w*D|ALU\w*B", "dsps", 1),
                (r"DP16KD|PDPW16KD", "brams", 1),
            ),
        ),
        Target(
            name="gowin",
            command="synth_gowin -noiopads",
            without_dsp="-nodsp",
            rules=(
                (r"LUT[1-4]|ALU", "luts", 1),
                (r"RAM16S\w*4", "luts", 4),
                (r"RAM16S\w*[12]", "luts", 2),
                (r"DFF\w*|DL\w*", "ffs", 1),
                (r"MULT\w*|PADD\w*", "dsps", 1),
                (r"SDPX?9?B?|DPX?9?B?|SPX?9?|p?ROMX?9?", "brams", 1),
            ),
        ),
        Target(
            name="xc7",
            command="synth_xilinx -family xc7 -flatten -noiopad -noclkbuf",
            without_dsp="-nodsp",
            rules=(
                (r"LUT[1-6]|SRL16E|SRLC32E|RAM(?:32|64)X1S", "luts", 1),
                (r"RAM(?:32|64)X1D|RAM128X1S", "luts", 2),
                (r"RAM32M|RAM64M|RAM128X1D|RAM256X1S", "luts", 4),
                (r"FD\w+|LD\w+", "ffs", 1),
                (r"DSP48E1", "dsps", 1),
                (r"RAMB(?:18|36)E1", "brams", 1),
            ),
        ),
    )
}
