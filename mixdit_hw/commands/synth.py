"""``mixdit synth``: resources of an FPGA, or area and period in a cell library."""

from pathlib import Path

import click

from .. import options, progress
from ..emit import UNITS
from ..files import check_output, write_text
from ..params import Params
from ..report import synth
from ..report.asic import default_liberty
from ..report.liberty import read_library
from ..report.memories import LEAST_ENTRIES, LEAST_WIDTH, MEMORIES
from ..report.table import synthesis_lines
from ..report.targets import FPGA_TARGETS


@click.command("synth")
@click.option("--target", type=click.Choice(synth.TARGETS), required=True, help="What to synthesise for.")
@click.option(
    "--liberty",
    type=options.INPUT,
    metavar="FILE",
    help="Cell library of --target asic.  [default: OSU 0.18 um, where Debian's qflow-tech-osu018 is installed]",
)
@click.option(
    "--unit",
    type=click.Choice((*UNITS, "top")),
    default="core",
    show_default=True,
    help="Which unit of the design; top is the core.",
)
@click.option(
    "--dsp/--no-dsp",
    default=None,
    help="Let multipliers of pairs and quads be DSPs.  [default: --dsp for such designs; others multiply in LUTs]",
)
@click.option("--flat", is_flag=True, help="Dissolve the boundaries of units.")
@click.option(
    "--memories",
    type=click.Choice(MEMORIES),
    default="cells",
    show_default=True,
    help="Of asic: what memories become, flip-flops or, where they have at least "
    f"{LEAST_ENTRIES} entries of at least {LEAST_WIDTH} bits and clocked reads, macros, which are counted and have no "
    "area.",
)
@click.option("--timing/--no-timing", default=True, show_default=True, help="Measure the period, of asic.")
@click.option("-o", "--output", type=options.OUTPUT, metavar="FILE", help="Write the result as JSON.")
@click.option(
    "--build-dir",
    type=options.OUTPUT,
    default=synth.DEFAULT_BUILD_DIR,
    show_default=True,
    help="Scripts, netlists and logs.",
)
@options.design_options
def command(
    target: str,
    liberty: Path | None,
    unit: str,
    dsp: bool | None,
    flat: bool,
    memories: str,
    timing: bool,
    output: Path | None,
    build_dir: Path,
    params: Params,
    design_name: str,
) -> None:
    """Synthesise a design's generated Verilog with Yosys and tell its size, unit by unit.

    FPGA targets and generic gates: cells, LUTs, flip-flops, DSPs and RAM blocks. asic: area of logic and of registers,
    mapped by `synth -flatten; dfflibmap; abc -liberty -constr -D 1` with memories as flip-flops or as macros, and the
    minimum period between registers, where OpenSTA is installed.
    """
    if liberty is not None and target != "asic":
        raise click.UsageError(f"--liberty is for --target asic, not for {target}")
    has_dsps = target in FPGA_TARGETS and FPGA_TARGETS[target].has_dsps
    if dsp and not has_dsps:
        raise click.UsageError(f"--dsp is for FPGAs, not for {target}")
    if dsp and params.multipliers == "logic":
        raise click.UsageError("--dsp is for designs with multipliers=pairs or quads, not logic")
    if unit == "engine" and params.multipliers != "logic":
        raise click.UsageError(
            f"with multipliers={params.multipliers} they stand outside of engines: use --unit cluster"
        )
    if memories == "macros" and target != "asic":
        raise click.UsageError(f"--memories macros is for --target asic, not for {target}")
    unit = "core" if unit == "top" else unit
    library = read_library(liberty or default_liberty()) if target == "asic" else None
    if output is not None:
        check_output(output)
    with progress.line() as tell:
        result = synth.synthesize(
            params,
            unit,
            target=target,
            library=library,
            dsp=dsp,
            flat=flat,
            memories=memories,
            timing=timing,
            build_dir=build_dir,
            progress=tell,
        )
    dsps = f", {'DSPs allowed' if result.dsp else 'without DSPs'}" if has_dsps else ""
    click.echo(f"{'design':<12}{design_name}: {unit}, for {target}{dsps}\n")
    for line in synthesis_lines(result):
        click.echo(line)
    if output is not None:
        write_text(output, synth.to_json(result))
        click.echo(f"{'wrote':<12}{output}")
