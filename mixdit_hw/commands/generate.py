"""``mixdit generate``: write a design's Verilog and the files that go with it."""

from pathlib import Path

import click

from .. import options
from ..emit import UNITS, generate
from ..params import Params


@click.command("generate")
@options.design_options
@click.option(
    "-o",
    "--output",
    type=options.OUTPUT,
    default="build/rtl",
    show_default=True,
    metavar="DIR",
    help="Folder to write to; made if need be.",
)
@click.option(
    "--unit",
    type=click.Choice(tuple(UNITS)),
    default="accelerator",
    show_default=True,
    help="What to generate: the accelerator, on AXI, or the core, on streams of blocks, or a part of them.",
)
def command(params: Params, design_name: str, output: Path, unit: str) -> None:
    """Generate Verilog with a JSON manifest, a FuseSoC core file, a file list and lint waivers.

    With the accelerator come its registers, as a C header and in CMSIS-SVD.

    The same design and tool versions give the same bytes.
    """
    for path in generate(params, output, unit):
        click.echo(f"{path}: {path.stat().st_size} bytes")
