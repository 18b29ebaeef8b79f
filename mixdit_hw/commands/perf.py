"""``mixdit perf``: what a model or a product takes on a design, beside the authors' schedule and a GPU."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from golden.dit import DiTConfig
from golden.formats import FORMATS
from golden.policy import PrecisionPolicy

from .. import options
from ..checkpoint import load_dit
from ..errors import InputError
from ..files import check_output, read_text, write_text
from ..mixes import MIXES, ORDERS, Mix
from ..params import Params
from ..perf.arrays import array_of
from ..perf.compare import ACCUMULATIONS, FORMAT, SCHEDULES, compare, describe
from ..perf.gpu import Measured, parse_measured
from ..perf.memory import Memory
from ..perf.model import ROLES
from ..policy_file import read_policy
from ..policy_work import config_of, describe_policy, merge_blocks, policy_gemms
from ..report.perf import overview_lines, result_lines, slows
from ..workloads import ALIASES, MODELS, PAPER_MODELS, SCOPES, Gemm, get_model, other_work

GROUPS = {"all": tuple(MODELS), "paper": PAPER_MODELS}
_GPU_BYTES = 1 << 20
_LARGEST = 1 << 24  # M, K, N and counts
_MODEL_ONLY = ("mix", "heads", "scope", "steps")
_GEMM_ONLY = ("a_format", "w_format", "count")
_POLICY_SAYS = ("mix", "outliers", "heads", "order")
_CHECKPOINT_STEPS = 50  # as golden.diffusion.denoise takes


class Numbers(click.ParamType):
    """Whole numbers with something between them."""

    def __init__(self, name: str, between: str, count: int, largest: int) -> None:
        self.name = name
        self._between, self._count, self._largest = between, count, largest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The numbers."""
        parts = value.split(self._between)
        if len(parts) != self._count or not all(re.fullmatch("[0-9]{1,9}", part) for part in parts):
            self.fail(f"must be {self.name}, {self._count} whole numbers, not {value!r}", param, ctx)
        numbers = tuple(int(part) for part in parts)
        for number in numbers:
            if not 1 <= number <= self._largest:
                self.fail(f"must be of numbers from 1 to {self._largest}, not {number}", param, ctx)
        return numbers


class Parsed(click.ParamType):
    """A text that a function reads, which raises ValueError."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """What the function makes of it."""
        try:
            return self._parse(value)
        except ValueError as e:
            self.fail(str(e), param, ctx)


def _parse_clock(text: str) -> float:
    """Megahertz as hertz."""
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) or not float(text):
        raise ValueError(f"must be a number of MHz above 0 and below a million, not {text!r}")
    return 1e6 * float(text)


def _parse_model(text: str) -> tuple[str, ...]:
    """Names of the models."""
    try:
        return GROUPS.get(text.lower()) or (get_model(text).name,)
    except ValueError as e:
        raise ValueError(f"{e}; {' or '.join(GROUPS)} for several") from None


@click.command("perf")
@click.option(
    "--model",
    "models",
    type=Parsed("NAME", _parse_model),
    multiple=True,
    help=f"A denoising step of {', '.join(MODELS)}; {', '.join(ALIASES)} for short; all, or paper for the five of the "
    "MixDiT paper. May be repeated.",
)
@click.option("--gemm", type=Numbers("M,K,N", ",", 3, _LARGEST), help="One product, M x K by K x N.")
@click.option(
    "--policy",
    "policy_path",
    type=options.INPUT,
    metavar="FILE",
    help="JSON of a policy of precisions, each layer's own; in place of --mix, --outliers, --heads and --order.",
)
@click.option(
    "--checkpoint",
    type=options.INPUT,
    metavar="FILE",
    help="With --policy, instead of --model: the DiT of a safetensors file.",
)
@options.design_options
@click.option("--macs", type=click.IntRange(1), help="Instead: the squarest array of so many MX6 MAC per cycle.")
@click.option("--clock", type=Parsed("MHZ", _parse_clock), default="1000", show_default=True, help="Of both schedules.")
@click.option("--schedule", type=click.Choice(SCHEDULES), default="both", show_default=True, help="What to model.")
@click.option(
    "--authors",
    type=Numbers("RxC", "x", 2, 4096),
    help="The authors' array, 4 MX6 MAC per cycle and engine.  [default: as many multiplications as the design]",
)
@click.option(
    "--roles",
    type=click.Choice(ROLES),
    default="fixed",
    show_default=True,
    help="best: exchange a product's operands where that is faster.",
)
@click.option("--mix", type=click.Choice(("paper", *MIXES)), help="Precisions of models.  [default: paper]")
@click.option("--outliers", type=options.Amount(), help="Channels of A in MX9, of each linear layer or of the product.")
@click.option("--heads", type=click.IntRange(0, 1024), help="Heads of each attention in MX9.")
@click.option("--order", type=click.Choice(ORDERS), default="in-place", show_default=True, help="Stored order of K.")
@click.option(
    "--scope", type=click.Choice(SCOPES), help="Transformer blocks, or all of the network.  [default: blocks]"
)
@click.option(
    "--steps",
    type=click.IntRange(1, 100_000),
    help="Denoising steps of an image.  [default: as published; 50 of a checkpoint]",
)
@click.option("--a-format", type=options.FORMAT, help="Format of A (its inliers), of --gemm.  [default: mx6]")
@click.option("--w-format", type=options.FORMAT, help="Format of W, of --gemm.  [default: mx6]")
@click.option("--count", type=click.IntRange(1, _LARGEST), help="Products back to back, of --gemm.  [default: 1]")
@click.option(
    "--memory",
    type=Parsed("KEY=N,...", Memory.parse),
    default="buffer=2097152",
    show_default=True,
    help="bandwidth (bytes per cycle), latency (cycles), buffer (bytes), a, w, c (cycles per beat of a stream). It "
    "slows our schedule only; the authors' knows no memory.",
)
@click.option("--gpu", type=options.INPUT, metavar="FILE", help="JSON of benchmarks/gpu_baseline.py.")
@click.option(
    "--gpu-accumulation",
    type=click.Choice(ACCUMULATIONS),
    default="fp32",
    show_default=True,
    help="In what the GPU of assumed utilisation accumulates.",
)
@click.option("-o", "--output", type=options.OUTPUT, metavar="FILE", help="Write the result as JSON.")
@click.option("--html", type=options.OUTPUT, metavar="FILE", help="Write a page with plots.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.pass_obj
def command(
    command_line: str,
    models: tuple[tuple[str, ...], ...],
    gemm: tuple[int, ...] | None,
    policy_path: Path | None,
    checkpoint: Path | None,
    params: Params,
    design_name: str,
    macs: int | None,
    clock: float,
    output: Path | None,
    html: Path | None,
    as_json: bool,
    gpu: Path | None,
    memory: Memory,
    **asked: Any,
) -> None:
    """Model the cycles, the time and the bytes of a diffusion transformer's denoising step, or of one product.

    A closed form: no hardware is simulated. Speed-ups are those over the MixDiT authors' schedule at equal multipliers
    and clock, and over an RTX 3090 at several utilisations or over a measured GPU. docs/performance.md has the
    assumptions.
    """
    names = tuple(dict.fromkeys(name for group in models for name in group))
    _check_policy_usage(names, gemm, policy_path, checkpoint)
    _check_usage(names if checkpoint is None else (str(checkpoint),), gemm, macs, asked)
    if macs is not None:
        params, design_name = _array_of(macs), "squarest array"
    if output is not None and html is not None and output.resolve() == html.resolve():
        raise click.UsageError(f"--output and --html must be different files, not both {output}")
    policy = None if policy_path is None else read_policy(policy_path)
    subjects = {} if policy is None else _configs(names, checkpoint, asked["steps"])
    measured = None if gpu is None else _read_measured(gpu, tuple(subjects) or names)
    for path in (output, html):
        if path is not None:
            check_output(path)
    settings = {
        "clock": clock,
        "memory": memory,
        "roles": asked["roles"],
        "schedule": asked["schedule"],
        "authors": asked["authors"],
        "accumulation": asked["gpu_accumulation"],
        "measured": measured,
    }
    if gemm is not None:
        product = _product(gemm, asked)
        if asked["schedule"] != "authors":
            _check_formats([product], params, "the product")
        results = [compare([product], params, name="product", steps=None, **settings)]
    elif policy is not None:
        results = [
            _policy_result(name, config, steps, policy, str(policy_path), params, asked, settings)
            for name, (config, steps) in subjects.items()
        ]
    else:
        results = [_model_result(name, params, asked, settings) for name in names]
    content = {
        "format": FORMAT,
        "command": command_line,
        "design": {"name": design_name, **params.to_dict()},
        "clock_hz": clock,
        "memory": asdict(memory) | ({"bandwidth": None} if memory.bandwidth == float("inf") else {}),
        "results": results,
    }
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    if as_json:
        click.echo(text, nl=False)
    else:
        _print(content, params)
    for path, write in ((output, lambda p: write_text(p, text)), (html, lambda p: _write_page(p, content))):
        if path is not None:
            write(path)
            if not as_json:
                click.echo(f"{'wrote':<12}{path}")


def _check_policy_usage(
    names: tuple[str, ...], gemm: tuple[int, ...] | None, policy: Path | None, checkpoint: Path | None
) -> None:
    if policy is None:
        if checkpoint is not None:
            raise click.UsageError("--checkpoint needs --policy")
        return
    if gemm is not None:
        raise click.UsageError("--policy and --gemm exclude each other")
    if bool(names) == (checkpoint is not None):
        wrong = "--model and --checkpoint exclude each other" if names else "--policy needs --model or --checkpoint"
        raise click.UsageError(wrong)
    given = click.get_current_context().get_parameter_source
    for name in _POLICY_SAYS:
        if given(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"--policy and --{name} exclude each other")


def _configs(names: tuple[str, ...], checkpoint: Path | None, steps: int | None) -> dict[str, tuple[DiTConfig, int]]:
    """Geometry and steps of the DiTs whose policy is asked for, by name."""
    if checkpoint is not None:
        model, _ = load_dit(checkpoint)
        return {str(checkpoint): (model.config, steps or _CHECKPOINT_STEPS)}
    try:
        return {name: (config_of(MODELS[name]), steps or MODELS[name].steps) for name in names}
    except ValueError as e:
        raise click.UsageError(f"--policy: {e}") from None


def _check_usage(
    names: tuple[str, ...], gemm: tuple[int, ...] | None, macs: int | None, asked: Mapping[str, Any]
) -> None:
    if bool(names) == (gemm is not None):
        raise click.UsageError("give --model or --gemm" if gemm is None else "--model and --gemm exclude each other")
    used = click.get_current_context().params
    if macs is not None:
        for option in ("preset", "config", "settings"):
            if used[option]:
                raise click.UsageError(f"--macs and --{option.replace('settings', 'set')} exclude each other")
    for name in _MODEL_ONLY if gemm is not None else _GEMM_ONLY:
        if asked[name] is not None:
            kind = "--model, not for --gemm" if gemm is not None else "--gemm, not for --model"
            raise click.UsageError(f"--{name.replace('_', '-')} is for {kind}")
    given = click.get_current_context().get_parameter_source
    for name, schedule, other in (
        ("authors", "ours", "authors"),
        ("roles", "authors", "ours"),
        ("memory", "authors", "ours"),
    ):
        if asked["schedule"] == schedule and given(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name} is for the schedule {other}, not for --schedule {schedule}")
    if used["gpu"] is not None and given("gpu_accumulation") is not ParameterSource.DEFAULT:
        raise click.UsageError("--gpu-accumulation is for the GPU of assumed utilisation, not for --gpu")


def _array_of(macs: int) -> Params:
    try:
        return array_of(macs)
    except ValueError as e:
        raise click.BadParameter(str(e), param_hint="'--macs'") from None


def _read_measured(path: Path, names: tuple[str, ...]) -> Measured:
    text = read_text(path, _GPU_BYTES)
    try:
        measured = parse_measured(text)
    except ValueError as e:
        raise InputError(f"{path}: {e}") from None
    if not set(names) & set(measured.seconds):
        wanted = ", ".join(names) or "the product of --gemm, which cannot be measured"
        raise InputError(f"{path}: models must hold {wanted}, not only {', '.join(measured.seconds)}")
    return measured


def _product(shape: tuple[int, ...], asked: Mapping[str, Any]) -> Gemm:
    m, k, n = shape
    mix = Mix(
        outliers=asked["outliers"] or 0,
        inlier=asked["a_format"] or "mx6",
        weight=asked["w_format"] or "mx6",
        outlier_weight=asked["w_format"] or "mx6",
        order=asked["order"],
    )
    with _options_named():
        segments = mix.linear(k)
    return Gemm(name="product", layer="product", m=m, n=n, k=k, segments=segments, count=asked["count"] or 1)


@contextmanager
def _options_named() -> Iterator[None]:
    """Let an error about a value be one about the option of its name."""
    try:
        yield
    except ValueError as e:
        raise click.UsageError(f"--{e}") from None


def _check_formats(gemms: Sequence[Gemm], params: Params, name: str) -> None:
    needed = {fmt for g in gemms for s in g.segments for fmt in (s.a, s.w)}
    for fmt in FORMATS:
        if fmt in needed and fmt not in params.formats:
            raise click.UsageError(f"{name} needs {fmt}, but the design has only {', '.join(params.formats)}")


def _model_result(name: str, params: Params, asked: Mapping[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    model, scope = MODELS[name], asked["scope"] or "blocks"
    mix = MIXES.get(asked["mix"], model.mix)
    changes = {key: asked[key] for key in ("outliers", "heads", "order") if asked[key] is not None}
    mix = replace(mix, **changes)
    with _options_named():
        gemms = model.gemms(mix, scope=scope)
    if asked["schedule"] != "authors":
        _check_formats(gemms, params, name)
    result = compare(gemms, params, name=name, steps=asked["steps"] or model.steps, **settings)
    about = {"description": describe(model, mix), "scope": scope, "mix": asdict(mix)}
    return result | about | {"other_work": asdict(model.other_work(mix, scope=scope))}


def _policy_result(
    name: str,
    config: DiTConfig,
    steps: int,
    policy: PrecisionPolicy,
    path: str,
    params: Params,
    asked: Mapping[str, Any],
    settings: dict[str, Any],
) -> dict[str, Any]:
    scope = asked["scope"] or "blocks"
    try:
        gemms = merge_blocks(policy_gemms(config, policy, scope=scope))
    except ValueError as e:
        raise InputError(f"{path}: no policy of {name}: {e}") from None
    if asked["schedule"] != "authors":
        _check_formats(gemms, params, f"{path} for {name}")
    unnamed = [n for n in config.linear_layers() if n not in policy.outliers and not policy.is_exempt(n)]
    if policy.outliers and unnamed:
        more = f" and {len(unnamed) - 1} other layers" if len(unnamed) > 1 else ""
        click.echo(f"warning: {path} names no outliers of {unnamed[0]}{more} of {name}", err=True)
    result = compare(gemms, params, name=name, steps=steps, **settings)
    said = {key: value for key, value in policy.to_dict().items() if key not in ("outliers", "heads")}
    about = {"description": describe_policy(config, policy), "scope": scope, "policy": {"file": path, **said}}
    return result | about | {"other_work": asdict(other_work(gemms))}


def _print(content: Mapping[str, Any], params: Params) -> None:
    results = content["results"]
    clock = f"{content['clock_hz'] / 1e6:g} MHz"
    size = f"{params.rows} x {params.columns} engines, T = {params.interleave}"
    click.echo(
        f"{'design':<12}{content['design']['name']}: {size}, {params.macs_per_cycle:,} MX6 MAC per cycle, {clock}"
    )
    memory = content["memory"]
    bandwidth = "unlimited" if memory["bandwidth"] is None else f"{memory['bandwidth']:g} bytes per cycle"
    pace = ", ".join(f"{s.upper()} {memory[s]:g}" for s in ("a", "w", "c"))
    click.echo(
        f"{'memory':<12}{bandwidth}, latency {memory['latency']:,} cycles, buffer {memory['buffer']:,} bytes; "
        f"cycles per beat {pace}"
    )
    if "policy" in results[0]:
        policy = results[0]["policy"]
        about = "; ".join(f"{key}: {text}" for key, text in policy["about"].items())
        click.echo(f"{'policy':<12}{policy['file']}" + (f" ({about})" if about else ""))
    if len(results) > 1:
        click.echo("")
        for line in overview_lines(results, slowed=slows(memory)):
            click.echo(line)
        return
    (result,) = results
    if "description" in result:
        click.echo(f"{'model':<12}{result['name']}: {result['description']}")
    click.echo("")
    for line in result_lines(result, slowed=slows(memory)):
        click.echo(line)


def _write_page(path: Path, content: Mapping[str, Any]) -> None:
    from ..report.perf_page import write_perf_page

    write_perf_page(path, content)
