"""``mixdit gemm``: multiply two matrices in MX formats, on the golden model and on a simulated design."""

from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from click.core import ParameterSource

import golden
from golden import MXTensor
from golden.dit import HEAD_PRODUCT
from golden.policy import PrecisionPolicy

from .. import options, progress
from ..errors import CheckError, InputError
from ..files import check_output, read_npy, write_npy
from ..mixes import Segment
from ..nonfinite import warn_nonfinite
from ..params import ROUNDINGS, Params
from ..perf.buffers import Buffering, buffering
from ..policy_file import read_policy
from ..sim.tools import ENGINES
from ..workloads import Gemm

_PRODUCT = "product"  # its name where no policy is given
_POLICY_SAYS = ("a_format", "w_format", "outliers", "outlier_w_format", "rounding", "subnormals", "nonfinite")
_BUFFER_BOUNDS = {"a": "the loading of A", "w": "the loading of W", "bus": "the bus"}


@click.command("gemm")
@click.argument("a", type=options.INPUT, metavar="A.npy")
@click.argument("w", type=options.INPUT, metavar="W.npy")
@click.option("-o", "--output", type=options.OUTPUT, required=True, metavar="C.npy", help="Where to write C = A @ W.")
@click.option("--a-format", type=options.FORMAT, default="mx6", show_default=True, help="Format of A (its inliers).")
@click.option("--w-format", type=options.FORMAT, default="mx6", show_default=True, help="Format of W.")
@click.option("--outliers", type=options.Amount(), help="Channels of A with the largest magnitudes, kept in MX9.")
@click.option(
    "--outlier-w-format", type=options.FORMAT, help="Format of the rows of W that meet outliers.  [default: --w-format]"
)
@click.option(
    "--policy",
    "policy_path",
    type=options.INPUT,
    metavar="FILE",
    help="JSON of a policy of precisions: formats, outliers, order and conversion of --layer, in place of options.",
)
@click.option("--layer", metavar="NAME", help="Product in --policy, such as blocks.0.mlp.fc1 or blocks.0.attn.qk.1.")
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default="verilator",
    show_default=True,
    help="The NumPy model alone, or a simulator whose result is compared with it.",
)
@click.option(
    "--system",
    is_flag=True,
    help="Simulate the whole accelerator: the product is a job in memory, and A is converted by the hardware.",
)
@click.option(
    "--build-dir",
    type=options.OUTPUT,
    default="sim_build",
    show_default=True,
    help="Compiled simulations, kept for the next run.",
)
@options.design_options
@options.conversion_options(of_design=True)
def command(
    a: Path,
    w: Path,
    output: Path,
    a_format: str,
    w_format: str,
    outliers: int | str | None,
    outlier_w_format: str | None,
    policy_path: Path | None,
    layer: str | None,
    conversion: dict[str, str],
    engine: str,
    system: bool,
    build_dir: Path,
    params: Params,
    design_name: str,
) -> None:
    """Compute C = A @ W: A (M x K) and W (K x N) are converted to MX blocks along K and multiplied bit for bit as in
    docs/numerics.md.

    With a simulator, the design multiplies them too; every element must equal the golden model's, or the command fails
    with the first one that differs.
    """
    if outlier_w_format is not None and outliers is None:
        raise click.UsageError("--outlier-w-format needs --outliers")
    _check_policy_usage(policy_path, layer)
    policy = PrecisionPolicy(
        inlier_format=a_format,
        weight_format=w_format,
        outlier_weight_format=outlier_w_format or w_format,
        exempt=(),
        rounding=conversion["rounding"],
        subnormals=conversion["subnormals"],
        nonfinite=conversion["nonfinite"],
    )
    name = layer or _PRODUCT
    if policy_path is not None:
        policy = read_policy(policy_path)
    if system:
        _check_system(engine, policy, name, policy_path, params, design_name)
    x, y = _read_operands(a, w)
    check_output(output)
    for source in (a, w, *([policy_path] if policy_path is not None else [])):
        if output.exists() and output.samefile(source):
            raise click.UsageError(f"--output must not be the input {source}")
    if policy_path is not None:
        used = _formats_of_layer(policy, name, x.shape[1], policy_path)
    else:
        used = {"--a-format": a_format, "--w-format": w_format}
        if outliers is not None:
            used |= {"--outliers": "mx9", "--outlier-w-format": outlier_w_format or w_format}
    if engine != "golden":
        for option, fmt in used.items():
            if fmt not in params.formats:
                has = ", ".join(params.formats)
                raise click.UsageError(f"{option} needs {fmt}, but the design ({design_name}) has only {has}")
    if outliers is not None:
        if isinstance(outliers, int) and outliers > x.shape[1]:
            raise click.UsageError(f"--outliers must be at most the K={x.shape[1]} channels of {a}, not {outliers}")
        policy = replace(policy, outliers={_PRODUCT: golden.select_outliers(x, outliers)})
        if not policy.outliers[_PRODUCT]:
            click.echo(f"warning: --outliers {outliers} is none of the K={x.shape[1]} channels", err=True)
    if policy.nonfinite == "nan":
        warn_nonfinite({str(a): x, str(w): y})
    stored_a, stored_w = policy.quantize_a(name, x), policy.quantize_w(name, y)

    (m, k), n = x.shape, y.shape[1]
    if policy_path is not None:
        click.echo(f"{'policy':<12}{policy_path}: {layer}")
    click.echo(f"{'C = A @ W':<12}{m} x {k} x {n}; A {_describe(stored_a)}; W {_describe(stored_w)}")
    result = golden.gemm(stored_a, stored_w)
    if system:
        result = _simulate_system(x, stored_a, stored_w, policy, name, result, engine, build_dir, params, design_name)
    elif engine != "golden":
        result = _simulate(stored_a, stored_w, result, engine, build_dir, params, design_name)
    write_npy(output, result)
    click.echo(f"{'wrote':<12}{output}")


def _check_policy_usage(policy: Path | None, layer: str | None) -> None:
    if (policy is None) != (layer is None):
        raise click.UsageError("--policy needs --layer" if layer is None else "--layer needs --policy")
    given = click.get_current_context().get_parameter_source
    for name in _POLICY_SAYS:
        if policy is not None and given(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"--policy and --{name.replace('_', '-')} exclude each other")


def _formats_of_layer(policy: PrecisionPolicy, name: str, k: int, path: Path) -> dict[str, str]:
    """What the layer needs each of its formats for; InputError where the policy has no formats for it."""
    try:
        segments = policy.segments(name, k)
    except ValueError as e:
        raise InputError(f"{path}: {e}") from None
    if segments is None:
        raise click.UsageError(f"--layer must not be exempt in {path}, as {name} is, which stays float32")
    if policy.outliers and name not in policy.outliers and HEAD_PRODUCT.fullmatch(name) is None:
        click.echo(f"warning: {path} names no outliers of {name}", err=True)
    return {f"{path}: {fmt} of {name}": fmt for a, w, _ in segments for fmt in (a, w)}


def _check_system(
    engine: str, policy: PrecisionPolicy, name: str, path: Path | None, params: Params, design_name: str
) -> None:
    """UsageError where the whole accelerator cannot be simulated so."""
    if engine not in ("verilator", "icarus"):
        raise click.UsageError(f"--system needs --engine verilator or icarus, not {engine}")
    for option, chosen in policy.options.items():
        designed = getattr(params, option)
        if designed not in ("runtime", chosen):
            what = f"--{option}" if path is None else f"{path} with {option}"
            raise click.UsageError(f"--system needs {what} {designed}, as the design ({design_name}) has it")
    if policy.order != "in-place" and policy.outliers.get(name):
        raise click.UsageError(f"--system converts A in place, not {policy.order}")


def _read_operands(a: Path, w: Path) -> tuple[np.ndarray, np.ndarray]:
    x, y = read_npy(a, ndim=2), read_npy(w, ndim=2)
    if x.shape[1] != y.shape[0]:
        raise click.UsageError(f"{a} is {x.shape[0]} x K={x.shape[1]}, but {w} is K={y.shape[0]} x {y.shape[1]}")
    return x, y


def _simulate(
    a: MXTensor, w: MXTensor, expected: np.ndarray, engine: str, build_dir: Path, params: Params, design_name: str
) -> np.ndarray:
    """The hardware's result, told and found equal to golden's."""
    from ..emit import emit_verilog
    from ..sim.compare import require_equal
    from ..sim.run import Simulator, simulate_gemm

    size = f"{params.rows} x {params.columns} engines, T = {params.interleave}"
    click.echo(f"{'design':<12}{design_name}: {size}, on {engine}")
    design = None if engine == "amaranth" else emit_verilog(params)
    simulator = Simulator(engine=engine, params=params, design=design, build_dir=build_dir)
    with progress.bar(f"result beats on {engine}") as tell:
        run = simulate_gemm(a, w, simulator, progress=tell)
    speed = f"{run.cycles / run.seconds:,.0f} cycles/s" if run.seconds > 0 else "at once"
    click.echo(f"{'cycles':<12}{run.cycles:,} in {run.seconds:.2f} s, {speed}; utilisation {run.utilisation:.1%}")
    equal = require_equal(a, w, run.result, expected, simulator)
    click.echo(f"{'equal':<12}{equal:,} of {expected.size:,} elements, bit for bit, to golden")
    return run.result


def _simulate_system(
    x: np.ndarray,
    a: MXTensor,
    w: MXTensor,
    policy: PrecisionPolicy,
    name: str,
    expected: np.ndarray,
    engine: str,
    build_dir: Path,
    params: Params,
    design_name: str,
) -> np.ndarray:
    """The accelerator's result, told and found equal to golden's."""
    from ..emit import emit_verilog
    from ..sim.compare import compare
    from ..sim.system import System, compile_system, simulate_product

    size = f"{params.rows} x {params.columns} engines, T = {params.interleave}, {params.axi_width}-bit bus"
    click.echo(f"{'design':<12}{design_name}: {size}, on {engine}")
    found = _buffering(a, w, x.shape[1], params)
    click.echo(f"{'buffers':<12}{_describe_buffers(found, params)}")
    if found.chunked and found.chunk < params.k_depth:
        most = params.most_outliers
        text = f"the design ({design_name}) takes at most {most} outlier channels in one pass"
        click.echo(f"warning: {text}; with more, A is read {_times(found.a_reads)}", err=True)
    a_format, rounding = a.segments[0].format.name, ROUNDINGS.index(policy.rounding)
    channels = () if HEAD_PRODUCT.fullmatch(name) else policy.outliers.get(name, ())
    with progress.line() as tell:
        say = tell or (lambda text: None)
        say("emitting the accelerator's Verilog")
        system = System(
            engine=engine,
            params=params,
            design=emit_verilog(params, "accelerator"),
            build_dir=build_dir,
            limit=10_000_000 + 10 * (found.engines + found.a + found.w + found.bus + expected.size),
        )
        say(f"building the simulation on {engine}")
        compile_system(system)
        say(f"simulating on {engine}")
        try:
            result, run = simulate_product(system, x, w, a_format=a_format, channels=channels, rounding=rounding)
        except ValueError as e:
            raise click.UsageError(f"--system: {e}") from None
    counters = run.counters[0]
    click.echo(f"{'cycles':<12}{counters['job_cycles']:,} of the job; {run.cycles:,} in {run.seconds:.2f} s")
    beats = f"{counters['read_beats']:,} read, {counters['write_beats']:,} written"
    click.echo(f"{'bus beats':<12}{beats}")
    difference = compare(result, expected)
    if difference is not None:
        raise CheckError(str(difference))
    click.echo(f"{'equal':<12}{expected.size:,} of {expected.size:,} elements, bit for bit, to golden")
    return result


def _buffering(a: MXTensor, w: MXTensor, k: int, params: Params) -> Buffering:
    """What the accelerator's buffers do for the operands."""
    pairs = zip(a.segments, w.segments, strict=True)
    segments = tuple(Segment(a=s.format.name, w=t.format.name, k=s.length) for s, t in pairs)
    gemm = Gemm(name="product", layer="product", m=a.shape[0], n=w.shape[1], k=k, segments=segments)
    return buffering(gemm, params)


def _describe_buffers(found: Buffering, params: Params) -> str:
    """How often the accelerator reads the operands, and whether that is hidden."""
    reads = f"A is read {_times(found.a_reads)}, W {_times(found.w_reads)}"
    if found.chunked:
        short = found.chunk < params.k_depth
        many = f"there are more than {params.most_outliers} outlier channels"
        reads += f", since {many if short else f'the K blocks do not fit a slot of {params.k_depth}'}"
    most = "reading is hidden" if found.overlaps else f"bound by {_BUFFER_BOUNDS[found.bound]}"
    return f"{reads}; {most}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _describe(t: MXTensor) -> str:
    return " + ".join(f"{s.length} channels in {s.format}" for s in t.segments)
