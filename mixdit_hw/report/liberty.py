"""Reads of a liberty file what areas need: the cells with their areas, and which of them are registers.

Everything else in the file is for the mapper and the timing analyser, and is skipped.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..errors import InputError

Kind = Literal["logic", "register", "latch"]

_TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|\\\r?\n|"((?:[^"\\]|\\.)*)"|([(){};:,])|([^\s(){};:,"]+)', re.DOTALL)
_TIME_UNIT = re.compile(r"([0-9.]+) *([fpnu])s\Z")
_NANOSECONDS = {"f": 1e-6, "p": 1e-3, "n": 1.0, "u": 1e3}
_STATE_GROUPS: dict[str, Kind] = {
    "ff": "register",
    "ff_bank": "register",
    "statetable": "register",
    "latch": "latch",
    "latch_bank": "latch",
}


@dataclass(kw_only=True)
class LibraryCell:
    """One cell.

    Parameters
    ----------
    name
        Of the cell.
    area
        In the library's unit, mostly um2; None where the library does not say.
    kind
        ``register`` for flip-flops, ``latch``, or ``logic`` for all others.
    inputs, outputs
        Names of its pins; outputs with their functions.
    """

    name: str
    area: float | None = None
    kind: Kind = "logic"
    inputs: list[str] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def is_buffer(self) -> bool:
        """One input, and one output that equals it."""
        functions = [function.replace("(", "").replace(")", "").strip() for function in self.outputs.values()]
        return self.kind == "logic" and len(functions) == 1 and functions == self.inputs


@dataclass(kw_only=True)
class Library:
    """A library of cells.

    Parameters
    ----------
    name
        As the file says.
    what
        Name of the file in errors.
    cells
        By name.
    time_unit
        Nanoseconds of its time unit.
    digest
        SHA-256 of the file.
    data
        The file's bytes.
    """

    name: str
    what: str
    cells: dict[str, LibraryCell]
    time_unit: float
    digest: str
    data: bytes = field(repr=False)

    @property
    def driving_cell(self) -> str:
        """The smallest buffer, taken to drive the inputs: BUFX2 in OSU 0.18 um. InputError if there is none."""
        buffers = [(cell.area, cell.name) for cell in self.cells.values() if cell.is_buffer and cell.area]
        if not buffers:
            raise InputError(f"{self.what}: must have a buffer with an area")
        return min(buffers)[1]

    @property
    def register_area(self) -> float:
        """Area of the smallest flip-flop: 96 um2 in OSU 0.18 um. InputError if there is none."""
        areas = [cell.area for cell in self.cells.values() if cell.kind == "register" and cell.area]
        if not areas:
            raise InputError(f"{self.what}: must have a flip-flop with an area")
        return min(areas)


def read_library(path: Path) -> Library:
    """Read a liberty file; InputError where it cannot be read or is none."""
    try:
        data = path.read_bytes()
    except OSError as e:
        raise InputError(f"{path}: cannot be read: {e.strerror or e}") from None
    return parse_library(data, str(path))


def parse_library(data: bytes, what: str) -> Library:
    """Library of a liberty file's bytes; ``what`` names the file in errors.

    Raises
    ------
    InputError
        It is no liberty file, is cut off, has no cells, or has an area that is no number.
    """
    name, cells, time_unit = None, {}, 1.0
    groups: list[tuple[str, str]] = []
    for event, key, value in _statements(data.decode("utf-8", errors="replace")):
        inside = [group for group, _ in groups]
        if event == "open":
            groups.append((key, value))
            if not inside and key == "library":
                name = value
            elif inside == ["library"] and key == "cell":
                cells[value] = LibraryCell(name=value)
            elif inside == ["library", "cell"] and key in _STATE_GROUPS:
                cells[groups[1][1]].kind = _STATE_GROUPS[key]
        elif event == "close":
            if not groups:
                raise InputError(f"{what}: must be a liberty file, but a brace closes nothing")
            groups.pop()
        elif inside == ["library"] and key == "time_unit":
            time_unit = _nanoseconds(value, what)
        elif inside == ["library", "cell"] and key == "area":
            cells[groups[1][1]].area = _area(value, groups[1][1], what)
        elif inside == ["library", "cell", "pin"]:
            cell, pin = cells[groups[1][1]], groups[2][1]
            if key == "direction" and value == "input":
                cell.inputs.append(pin)
            elif key == "function":
                cell.outputs[pin] = value
    if name is None or not cells:
        raise InputError(f"{what}: must be a liberty file with a library of cells")
    if groups:
        raise InputError(f"{what}: ends inside of {' '.join(groups[-1])}")
    digest = hashlib.sha256(data).hexdigest()
    return Library(name=name, what=what, cells=cells, time_unit=time_unit, digest=digest, data=data)


def _statements(text: str) -> Iterator[tuple[Literal["open", "close", "attribute"], str, str]]:
    """Groups that open, with name and first argument, and close; and simple attributes with their first word."""
    tokens = [m[1] if m[1] is not None else m[2] or m[3] for m in _TOKEN.finditer(text) if m.lastindex]
    i, end = 0, len(tokens)
    while i < end:
        word = tokens[i]
        after = tokens[i + 1] if i + 1 < end else ""
        if word == "}":
            yield "close", "", ""
        elif after == ":" and i + 2 < end:
            yield "attribute", word, tokens[i + 2]
            i += 2
        elif after == "(":
            try:
                close = tokens.index(")", i + 2)
            except ValueError:
                return
            if close + 1 < end and tokens[close + 1] == "{":
                yield "open", word, tokens[i + 2] if close > i + 2 else ""
                close += 1
            i = close
        i += 1


def _area(text: str, cell: str, what: str) -> float:
    try:
        area = float(text)
    except ValueError:
        area = -1.0
    if not 0 <= area < float("inf"):
        raise InputError(f"{what}: area of {cell} must be a number from 0, not {text!r}")
    return area


def _nanoseconds(text: str, what: str) -> float:
    unit = _TIME_UNIT.match(text)
    if unit is None:
        raise InputError(f"{what}: time_unit must be such as 1ns, not {text!r}")
    return float(unit[1]) * _NANOSECONDS[unit[2]]
