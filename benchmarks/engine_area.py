"""Area, period and LUTs of the engine, the converters and the core of `small`, beside published figures.

    python benchmarks/engine_area.py [--json] [--orders N] [--no-core] [--check]

Text goes to standard output; with ``--json`` one JSON object instead. ``--no-core`` leaves out the core, which takes
most of the time; with ``--check`` the exit status is 1 if a figure misses its aim.

Areas and periods are those of one flow (``mixdit synth --target asic``): OSU 0.18 um typical,
``synth -flatten; dfflibmap; abc -liberty -constr -D 1``, all registers included, memories as flip-flops, no wires;
periods by OpenSTA. A period moves by some tenths of a ns with the order in which the mapper sees the cells;
``--orders`` tries that many random ones besides that of the emitted text. An engine does 16 MX6 multiplications per
cycle.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mixdit_hw.errors import MixditError
from mixdit_hw.params import Params
from mixdit_hw.presets import PRESETS
from mixdit_hw.report.asic import default_liberty
from mixdit_hw.report.liberty import read_library
from mixdit_hw.report.synth import Synthesis, synthesize
from mixdit_hw.report.table import align_table

MACS = 16  # MX6 multiplications per cycle and engine


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured figure.

    Parameters
    ----------
    subject, name
        Of what, and what it is.
    value, form
        How much (None if not measured), and how to print it.
    aim
        Greatest value that is wanted, or None.
    references
        Published figures of the same kind.
    """

    subject: str
    name: str
    value: float | None
    form: str
    aim: float | None = None
    references: str = ""

    @property
    def missed(self) -> bool:
        """Not measured, or above the aim."""
        return self.aim is not None and (self.value is None or self.value > self.aim)


def period(result: Synthesis) -> float | None:
    """Minimum period with paths between registers only: the engine's inputs are registers."""
    return None if result.timing is None else result.timing.period


def port_period(result: Synthesis) -> float | None:
    """Minimum period with paths from and to the ports: the converter has no registers at its ports."""
    return None if result.timing is None else max(result.timing.period, result.timing.port_period)


def cost(result: Synthesis, engines: int) -> float | None:
    """Area x period per MX6 multiplication of so many engines, in 10^6 um2 ns."""
    time = period(result)
    return None if time is None else result.total["area"] / engines * time / MACS / 1e6


def engine_figures(
    name: str, params: Params, run: Callable[..., Synthesis], orders: int, *, aims: bool = False
) -> Iterator[Figure]:
    """Figures of an engine, as a part of its cluster, which ``run`` synthesises; shared registers count in parts.

    Only with ``aims`` are they held to any.
    """
    engines = params.cluster_rows * params.cluster_columns
    mapped = run(target="asic")
    subject = f"engine of {name}"
    yield Figure(
        subject=subject,
        name="area, um2",
        value=mapped.total["area"] / engines,
        form=",.0f",
        references="DaCapo 191 187 (4 MX6 MAC/cycle)",
    )
    yield Figure(
        subject=subject,
        name="logic, um2",
        value=mapped.total["logic"] / engines,
        form=",.0f",
        aim=140_000 if aims else None,
        references="16 bare 4x4 multipliers 35 340, with signs and adder tree 72 873",
    )
    yield Figure(
        subject=subject,
        name="registers, um2",
        value=mapped.total["registers"] / engines,
        form=",.0f",
    )
    yield Figure(
        subject=subject,
        name="period, ns",
        value=period(mapped),
        form=".2f",
        aim=3.6 if aims else None,
        references="DaCapo 27.24",
    )
    yield Figure(
        subject=subject,
        name="area x period per MX6 MAC, M um2 ns",
        value=cost(mapped, engines),
        form=".4f",
        aim=0.045 if aims else None,
        references="DaCapo 1.30",
    )
    others = [run(target="asic", order=order) for order in range(1, orders + 1)]
    costs = [cost(result, engines) for result in (mapped, *others)]
    periods = [period(result) for result in (mapped, *others)]
    for what, values, form in (("period, ns", periods, ".2f"), ("area x period per MX6 MAC", costs, ".4f")):
        found = sorted(value for value in values if value is not None)
        for extreme, place in (("least", 0), ("greatest", -1)):
            if found[1:]:
                label = f"{extreme} {what}, of {len(found)} orders of cells"
                yield Figure(subject=subject, name=label, value=found[place], form=form)


def fpga_figures(
    name: str, params: Params, run: Callable[..., Synthesis], *, aim: float | None = None
) -> Iterator[Figure]:
    """What an engine takes of an ECP5 without DSPs, as a part of its cluster; ``aim`` in LUT4 per MX6 MAC."""
    engines = params.cluster_rows * params.cluster_columns
    subject = f"engine of {name} on ECP5"
    soft = run(target="ecp5")
    yield Figure(
        subject=subject,
        name="no DSP: LUT4 per MX6 MAC",
        value=soft.total["luts"] / engines / MACS,
        form=",.2f",
        aim=aim,
        references="DaCapo 934; MX-for-FPGA 150 (dot product of 5-bit integers only)",
    )
    yield Figure(
        subject=subject,
        name="no DSP: LUT4",
        value=soft.total["luts"] / engines,
        form=",.1f",
        aim=None if aim is None else aim * MACS,
        references="DaCapo 3738; MX-for-FPGA 2392 (dot product of 5-bit integers only)",
    )
    carries = 2 * soft.units[0].cells.get("CCU2C", 0) / engines
    yield Figure(subject=subject, name="no DSP: of these in carry cells, 2 each", value=carries, form=",.1f")
    yield Figure(subject=subject, name="no DSP: flip-flops", value=soft.total["ffs"] / engines, form=",.1f")


def dsp_figures(name: str, params: Params, target: str, run: Callable[..., Synthesis]) -> Iterator[Figure]:
    """What an engine takes of an FPGA, as a part of its cluster, with multipliers for several products or without."""
    engines = params.cluster_rows * params.cluster_columns
    used = run(target=target)
    subject = f"engine of {name} on {target}, multipliers={params.multipliers}"
    yield Figure(subject=subject, name="LUTs per MX6 MAC", value=used.total["luts"] / engines / MACS, form=",.2f")
    yield Figure(subject=subject, name="LUTs", value=used.total["luts"] / engines, form=",.1f")
    yield Figure(subject=subject, name="DSPs", value=used.total["dsps"] / engines, form=",.1f")


def converter_figures(name: str, run: Callable[..., Synthesis], *, aim: float, references: str) -> Iterator[Figure]:
    """Figures of a converter; ``run`` synthesises it."""
    subject = f"converter of {name}"
    mapped = run(target="asic")
    yield Figure(
        subject=subject,
        name="logic, um2",
        value=mapped.total["logic"],
        form=",.0f",
        aim=aim,
        references=references,
    )
    yield Figure(subject=subject, name="registers, um2", value=mapped.total["registers"], form=",.0f")
    yield Figure(
        subject=subject,
        name="period with ports, ns",
        value=port_period(mapped),
        form=".2f",
        aim=6.0,
        references="DaCapo 6.6",
    )


def core_figures(result: Synthesis) -> Iterator[Figure]:
    """Area of a core, and the share of each unit."""
    subject = "core of small"
    yield Figure(subject=subject, name="area, um2", value=result.total["area"], form=",.0f")
    yield Figure(subject=subject, name="period, ns", value=period(result), form=".2f")
    for unit in sorted(result.units, key=lambda u: -u.share):
        module = unit.module.removeprefix("mixdit_")
        yield Figure(
            subject=subject, name=f"{unit.instances} x {module}, % of area", value=100 * unit.share, form=".1f"
        )


def measure(*, core: bool, orders: int, build_dir: Path) -> tuple[list[Figure], dict[str, str]]:
    """All figures, and the versions of the tools."""
    library = read_library(default_liberty())
    tools: dict[str, str] = {}

    def runner(params: Params, unit: str) -> Callable[..., Synthesis]:
        def run(*, target: str, order: int | None = None) -> Synthesis:
            print(f"{unit} for {target} ...", file=sys.stderr, flush=True)
            options: dict[str, Any] = {"library": library, "order": order} if target == "asic" else {}
            flat = unit == "cluster"
            result = synthesize(params, unit, target=target, flat=flat, build_dir=build_dir, **options)
            tools.update(result.tools)
            return result

        return run

    base, small = PRESETS["base"], PRESETS["small"]
    short = base.replace(loop_latency=4, interleave=4, share_rows=2)
    figures = [*engine_figures("base", base, runner(base, "cluster"), orders, aims=True)]
    for name, params in (
        ("base, clusters of 2 x 2", base.replace(share_rows=2)),
        ("base, no registers shared", base.replace(share_rows=1, share_columns=1)),
        ("base, loop of 4 cycles", short),
        ("base, loop of 4 cycles, no registers shared", short.replace(share_rows=1, share_columns=1)),
    ):
        figures += engine_figures(name, params, runner(params, "cluster"), orders)
    for name, params, aim in (("base", base, 112), ("base, loop of 4 cycles", short, None)):
        chains = params.replace(tree="chains")
        figures += fpga_figures(f"{name}, tree of chains", chains, runner(chains, "cluster"), aim=aim)
    for target, multipliers in (
        *(("ecp5", name) for name in ("pairs", "quads")),
        *((target, name) for target in ("ice40", "gowin", "xc7") for name in ("logic", "pairs", "quads")),
    ):
        packed = base.replace(tree="chains", multipliers=multipliers)
        figures += dsp_figures("base, tree of chains", packed, target, runner(packed, "cluster"))
    dacapo = "DaCapo 67 826 (MX9, truncating, wrong for zero and subnormals)"
    share = "aim: 35 % of that of 16 elements per cycle"
    for formats, aim in ((("mx9", "mx6", "mx4"), 80_000), (("mx9",), 70_000)):
        params, name = base.replace(formats=formats), ", ".join(formats)
        figures += converter_figures(name, runner(params, "converter"), aim=aim, references=dacapo)
        narrow = runner(params, "narrow_converter")
        figures += converter_figures(f"{name}, 4 elements per cycle", narrow, aim=0.35 * aim, references=share)
    if core:
        figures += core_figures(runner(small, "core")(target="asic"))
    return figures, tools


def table(figures: list[Figure]) -> Iterator[str]:
    """Lines of text."""
    rows = [["", "measured", "aim", ""]]
    for f in figures:
        value = "not measured" if f.value is None else format(f.value, f.form)
        aim = "" if f.aim is None else f"<= {format(f.aim, f.form)}"
        rows.append([f"{f.subject}: {f.name}", value, aim, "missed" if f.missed else ""])
    lines = list(align_table(rows))
    width = max(map(len, lines)) + 2
    for line, references in zip(lines, ["references", *(f.references for f in figures)], strict=True):
        yield f"{line:<{width}}{references}".rstrip()


def main() -> int:
    """Print all figures; 1 if ``--check`` and one misses its aim."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--orders", type=int, default=4, help="random orders of cells to map the engine in")
    parser.add_argument("--no-core", dest="core", action="store_false", help="leave out the core of small")
    parser.add_argument("--check", action="store_true", help="exit status 1 if a figure misses its aim")
    parser.add_argument("--build-dir", type=Path, default=Path("build/synth"), help="scripts, netlists and logs")
    arguments = parser.parse_args()
    try:
        figures, tools = measure(core=arguments.core, orders=arguments.orders, build_dir=arguments.build_dir)
    except MixditError as e:
        print(f"engine_area: {e}", file=sys.stderr)
        return e.exit_status
    if arguments.json:
        print(json.dumps({"figures": [asdict(f) for f in figures], "tools": tools}, indent=2))
    else:
        print("\n".join(table(figures)))
        print("tools:", ", ".join(f"{name} {version}" for name, version in tools.items()))
    return 1 if arguments.check and any(f.missed for f in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
