"""The core file by which FuseSoC finds a design."""

import hashlib
import json
from importlib.metadata import version

from ..params import Params
from ..presets import PRESETS
from .registers import HEADER, SVD
from .verilog import Design

_TEMPLATE = """\
CAPI=2:

name: mixdit:hw:{name}_{tag}:{version}
description: {description}

filesets:
  rtl:
    files:
      - {name}.v: {{file_type: verilogSource}}
  waivers:
    files:
      - {name}.vlt: {{file_type: vlt}}
{programs}
targets:
  default:
    filesets: [{filesets}]
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

_PROGRAMS = f"""\
  registers:
    files:
      - {HEADER}: {{file_type: cSource, is_include_file: true}}
      - {SVD}: {{file_type: user}}
"""


def core_file(design: Design, params: Params) -> str:
    """Text of the core file; files and modules keep their names, but the core's name is the design's own."""
    return _TEMPLATE.format(
        name=design.name,
        tag=design_tag(design, params),
        version=version("mixdit-hw"),
        description=json.dumps(design.top.summary),
        programs=_PROGRAMS if design.top.unit_name == "accelerator" else "",
        filesets="rtl, registers" if design.top.unit_name == "accelerator" else "rtl",
    )


def design_tag(design: Design, params: Params) -> str:
    """What tells a design from others with the same top: its preset's name, or else eight digits of a digest.

    The digest is of those parameters that the top's hardware depends on, so equal hardware has equal digits.
    """
    for name, preset in PRESETS.items():
        if params == preset:
            return name
    return hashlib.sha256(json.dumps(design.top.key).encode()).hexdigest()[:8]
