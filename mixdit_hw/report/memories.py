"""Memories that stay memories in a cell library: macros, which are counted and have no area here."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import ToolError

MEMORIES = ("cells", "macros")
CELL = "memory_macro"
MEMORIES_FILE = "memories.txt"
LEAST_ENTRIES = 16
LEAST_WIDTH = 8
_PARAMETERS = (
    *("MEMID", "WIDTH", "OFFSET", "SIZE", "ABITS", "INIT"),
    *("RD_PORTS", "RD_CLK_ENABLE", "RD_CLK_POLARITY", "RD_TRANSPARENCY_MASK", "RD_COLLISION_X_MASK"),
    *("RD_WIDE_CONTINUATION", "RD_CE_OVER_SRST", "RD_ARST_VALUE", "RD_SRST_VALUE", "RD_INIT_VALUE"),
    *("WR_PORTS", "WR_CLK_ENABLE", "WR_CLK_POLARITY", "WR_PRIORITY_MASK", "WR_WIDE_CONTINUATION"),
)
_MODULE = re.compile(r"^\s*module \\(\S+)", re.MULTILINE)
_PARAMETER = re.compile(r"^\s*parameter (?:signed )?\\(SIZE|WIDTH) (\d+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, order=True)
class Macro:
    """Memories of so many entries and bits of each, and how many of them there are."""

    entries: int
    width: int
    count: int

    @property
    def bits(self) -> int:
        """Of all of them."""
        return self.entries * self.width * self.count

    def __str__(self) -> str:
        return f"{self.count:,} of {self.entries:,} x {self.width:,}"


def macro_script() -> list[str]:
    """Yosys's commands, between ``synth``'s coarse and fine part, that keep memories of some size.

    They are listed in a file and then lose their parameters, which OpenSTA's Verilog does not know.
    """
    rules = (f"r:SIZE>={LEAST_ENTRIES}", f"r:WIDTH>={LEAST_WIDTH}", "r:WR_PORTS>0", "r:RD_CLK_ENABLE>0")
    return [
        f"select -set macros t:$mem_v2 {' '.join(f'{rule} %i' for rule in rules)}",
        f"chtype -set \\{CELL} @macros",
        f"setparam -unset INIT t:{CELL}",
        f"tee -q -o {MEMORIES_FILE} dump -m t:{CELL}",
        f"setparam {' '.join(f'-unset {name}' for name in _PARAMETERS)} t:{CELL}",
    ]


def parse_macros(text: str) -> dict[str, tuple[Macro, ...]]:
    """Macros of each module that has any, from what Yosys dumps; ToolError where that cannot be read."""
    found = {}
    _, *parts = _MODULE.split(text)  # name, contents, name, contents ...
    for module, contents in zip(parts[::2], parts[1::2], strict=True):
        counts: Counter[tuple[int, int]] = Counter()
        for cell in contents.split(f"cell \\{CELL} ")[1:]:
            values = {name: int(value) for name, value in _PARAMETER.findall(cell)}
            if len(values) < 2:
                raise ToolError(f"Yosys's memories cannot be read: no size and width of one in {module}")
            counts[values["SIZE"], values["WIDTH"]] += 1
        if counts:
            found[module] = tuple(Macro(entries=e, width=w, count=n) for (e, w), n in sorted(counts.items()))
    return found


def add_macros(parts: Iterable[tuple[int, Iterable[Macro]]]) -> tuple[Macro, ...]:
    """All macros of so many instances of each part."""
    counts: Counter[tuple[int, int]] = Counter()
    for instances, macros in parts:
        for macro in macros:
            counts[macro.entries, macro.width] += instances * macro.count
    return tuple(Macro(entries=e, width=w, count=n) for (e, w), n in sorted(counts.items()))
