"""Area of mapped cells, split into logic and registers."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import CheckError, InputError
from .liberty import Library


@dataclass(frozen=True, kw_only=True)
class Area:
    """Area of some cells in the library's unit (um2 mostly): all but registers and latches, and those."""

    logic: float
    registers: float

    @property
    def total(self) -> float:
        """Both."""
        return self.logic + self.registers


def area_of(cells: Mapping[str, int], library: Library) -> Area:
    """Area of so many cells of each type.

    A latch without an area counts as the smallest flip-flop (the latch of OSU 0.18 um says 0, and counts 96 um2).

    Raises
    ------
    CheckError
        A cell is not of the library: it could not be mapped.
    InputError
        The library has no area for a cell, or 0.
    """
    logic = registers = 0.0
    for name, count in sorted(cells.items()):
        cell = library.cells.get(name)
        if cell is None:
            raise CheckError(f"{count} cells {name} could not be mapped: {library.what} has no such cell")
        area = cell.area
        if not area and cell.kind == "latch":
            area = library.register_area
        if not area:
            raise InputError(f"{library.what}: area of {name} must be greater than 0, not {area}")
        if cell.kind == "logic":
            logic += count * area
        else:
            registers += count * area
    return Area(logic=logic, registers=registers)
