"""``mixdit quality``: what precisions do to a diffusion transformer's images, and what they cost."""

import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from golden.dit import DiTConfig

from .. import options, progress
from ..checkpoint import DIGITS
from ..errors import CheckError, InputError
from ..files import check_outputs, write_text
from ..params import Params

if TYPE_CHECKING:
    from ..quality.candidates import Candidate

REPORT, RESULTS, TABLE = "report.html", "quality.json", "quality.md"
_FORMAT = "mixdit-quality-1"


def _fractions(value: str) -> list[str]:
    amounts = [part.strip() for part in value.split(",") if part.strip()]
    for amount in amounts:
        if not amount.endswith("%"):
            raise ValueError(f"must be percentages such as 1%,5%, not {value!r}")
        options.Amount().convert(amount, None, None)
    return list(dict.fromkeys(amounts))


def _targets(value: str) -> list[float]:
    found = []
    for part in value.split(","):
        if part.strip():
            number = float(part)
            if not 0 <= number <= 100:
                raise ValueError(f"must be numbers of dB from 0 to 100, not {value!r}")
            found.append(number)
    return list(dict.fromkeys(found))


class _List(click.ParamType):
    """Values with commas between them; an empty text for none."""

    def __init__(self, name: str, parse: Any) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The values."""
        if isinstance(value, list):
            return value
        try:
            return self._parse(value)
        except (ValueError, click.BadParameter) as e:
            self.fail(str(e), param, ctx)


@click.command("quality")
@click.option("--samples", type=click.IntRange(40, 20_000), default=200, show_default=True, help="Of each precision.")
@click.option(
    "--checkpoint",
    type=options.INPUT,
    metavar="FILE",
    help="A DiT with its noise schedule.  [default: the example of handwritten digits]",
)
@click.option("--steps", type=click.IntRange(2, 1000), default=16, show_default=True, help="Steps of the sampler.")
@click.option("--guidance", type=click.FloatRange(0, 100), default=2.0, show_default=True, help="Classifier-free.")
@click.option("--guided-channels", type=click.IntRange(1), help="Channels that are guided.  [default: all]")
@click.option("--eta", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="0 is DDIM, 1 is DDPM.")
@click.option(
    "--clip",
    type=click.FloatRange(0, min_open=True),
    help="Bound of the clean image's values.  [default: 1 for the example, none for other checkpoints]",
)
@click.option("--seed", type=click.IntRange(0, 1 << 19), default=0, show_default=True, help="Of the first noise.")
@click.option(
    "--fractions",
    type=_List("P%,...", _fractions),
    default="1%,5%,10%,25%,50%",
    show_default=True,
    help="Shares of channels and heads in MX9, a policy for each; '' for none.",
)
@click.option(
    "--targets",
    type=_List("DB,...", _targets),
    default="32,36,40",
    show_default=True,
    help="Least SQNR of every product, a policy with the fewest outliers for each; '' for none.",
)
@click.option(
    "--policy",
    "policies",
    type=options.INPUT,
    multiple=True,
    metavar="FILE",
    help="Another one, as JSON, called as its file.",
)
@click.option(
    "--only",
    metavar="NAME,...",
    help="Leave out all others, but for float32 and mx4; may name mxfp8-e5m2 and mxfp6-e3m2, too.",
)
@options.design_options
@click.option(
    "--workers", type=click.IntRange(1, 256), help="Processes that sample.  [default: as many as there are cores]"
)
@click.option("-o", "--output", type=options.OUTPUT, default="build/quality", show_default=True, metavar="DIR")
@click.pass_obj
def command(
    command_line: str,
    samples: int,
    checkpoint: Path | None,
    steps: int,
    guidance: float,
    guided_channels: int | None,
    eta: float,
    clip: float | None,
    seed: int,
    fractions: list[str],
    targets: list[float],
    policies: tuple[Path, ...],
    only: str | None,
    params: Params,
    design_name: str,
    workers: int | None,
    output: Path,
) -> None:
    """Sample images in float32 and in many precisions, from the same noise, and tell which can be told from float32.

    Writes DIR/report.html, quality.json, quality.md and the policies. Samples are kept in DIR/samples: the same command
    goes on where it was stopped, and makes no sample twice. docs/quality.md explains the method.
    """
    from ..quality import run
    from ..quality.candidates import calibrated_candidates, calibrated_names, fixed_candidates
    from ..quality.features import Classifier
    from ..quality.summary import summarise
    from ..report.quality import quality_lines, quality_markdown
    from ..report.quality_page import write_quality_page

    for name, number in (("guidance", guidance), ("eta", eta), ("clip", clip or 0.0)):
        if not math.isfinite(number):
            raise click.UsageError(f"--{name} must be a finite number, not {number}")
    path = DIGITS if checkpoint is None else checkpoint
    example = path.exists() and path.samefile(DIGITS)
    given = {file: _read_policy(file) for file in policies}
    wanted = _wanted(only, calibrated_names(fractions, targets), [candidate.name for candidate in given.values()])
    model, schedule = run.load(path)
    for file, candidate in given.items():
        _check_policy(file, candidate, model.config)
    if guided_channels is not None and guided_channels > model.config.in_channels:
        raise click.UsageError(
            f"--guided-channels must be at most the {model.config.in_channels} of the model, not {guided_channels}"
        )
    check_outputs(output, (REPORT, RESULTS, TABLE))
    check_outputs(output / "samples", ("piece",))
    check_outputs(output / "policies", ("policy",))
    classifier = Classifier() if example else None
    if example and clip is None:
        clip = 1.0
    sampling = run.Sampling(
        checkpoint=path,
        samples=samples,
        steps=steps,
        guidance=guidance,
        guided_channels=guided_channels,
        eta=eta,
        clip=clip,
        seed=seed,
    )
    with progress.bar("calibrate") as tell:
        calibrated = calibrated_candidates(
            model,
            schedule,
            fractions=[f for f in fractions if wanted is None or calibrated_names([f], [])[0] in wanted],
            targets=[t for t in targets if wanted is None or calibrated_names([], [t])[0] in wanted],
            options=sampling.options,
            advance=tell,
        )
    candidates = _chosen([*fixed_candidates(), *calibrated, *given.values()], wanted)
    for candidate in candidates:
        if candidate.policy is not None:
            write_text(output / "policies" / f"{candidate.name}.json", candidate.policy.to_json())

    store = run.Store(output / "samples", sampling)
    tasks = list(store.tasks(candidates, reference=classifier is None))
    with progress.bar("sample") as tell:
        made = run.run_tasks(tasks, path, workers=workers or os.cpu_count() or 1, advance=tell)
    click.echo(f"{'sampled':<12}{made} of {len(tasks)} pieces, {len(tasks) - made} were there")
    with progress.bar("compare") as tell:
        summary = summarise(candidates, store, sampling, model.config, params, classifier, advance=tell)
    content = {
        "format": _FORMAT,
        "command": command_line,
        "checkpoint": {"file": path.name, "sha256": sampling.checkpoint_digest},
        "schedule": {"name": schedule.name, "steps": schedule.steps},
        "sampling": {"samples": samples, "seed": seed, **sampling.options, "clip": clip},
        "design": {"name": design_name, **params.to_dict()},
        **summary,
    }
    write_text(output / RESULTS, json.dumps(content, indent=2, allow_nan=False) + "\n")
    write_text(output / TABLE, quality_markdown(content))
    strips = {c.name: store.strip(c) for c in candidates}
    write_quality_page(output / REPORT, content, strips)
    click.echo("")
    for line in quality_lines(content):
        click.echo(line)
    click.echo(f"{'wrote':<12}{output / REPORT}")
    if not content["sees"]:
        raise CheckError(f"{content['control']} could not be told from float32, so that there is no verdict")


def _read_policy(path: Path) -> "Candidate":
    from ..policy_file import read_policy
    from ..quality.candidates import Candidate

    if not re.fullmatch(r"[\w.-]{1,60}", path.stem, re.ASCII):
        raise click.UsageError(
            f"--policy must have a file name of letters, digits, '.', '_' and '-', not {path.name!r}"
        )
    return Candidate(name=path.stem, about=f"the policy of {path.name}", policy=read_policy(path))


def _check_policy(path: Path, candidate: "Candidate", config: DiTConfig) -> None:
    assert candidate.policy is not None
    try:
        candidate.policy.check(config)
    except ValueError as e:
        raise InputError(f"{path}: {e}") from None


def _wanted(only: str | None, calibrated: Sequence[str], given: Sequence[str]) -> set[str] | None:
    """Names that are asked for, those of policies that are given among them; None for all."""
    from ..quality.candidates import BASE, CONTROL, fixed_candidates

    if only is None:
        return None
    known = [*(c.name for c in fixed_candidates()), *calibrated, *given]
    wanted = [part.strip() for part in only.split(",") if part.strip()]
    for name in wanted:
        if name not in known:
            raise click.UsageError(f"--only must name some of {', '.join(known)}, not {name!r}")
    return {BASE, CONTROL, *wanted, *given}


def _chosen(candidates: Sequence["Candidate"], wanted: set[str] | None) -> list["Candidate"]:
    """Those that are asked for, under names of their own."""
    from ..quality.candidates import EXTRA, Candidate, renamed

    named: list[Candidate] = []
    for candidate in candidates:
        if candidate.name not in EXTRA if wanted is None else candidate.name in wanted:
            named.append(renamed(candidate, [c.name for c in named]))
    return named
