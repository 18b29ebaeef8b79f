"""All figures beside their aims and references, as one table: that of the README.

    python benchmarks/figures.py [--only PART ...] [--kept] [--write] [--check]

Runs the other benchmarks, keeps what each found in ``build/bench/PART.json``, and prints the table in Markdown. With
``--only`` just these parts are run and the others come from their files, with ``--kept`` all do: a run that was stopped
goes on where it was. With ``--write`` the table also replaces that of README.md; with ``--check`` the exit status is 1
if a figure misses its aim. All parts take about an hour on two cores.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixdit_hw.emit import emit_verilog
from mixdit_hw.files import write_text
from mixdit_hw.params import MULTIPLIERS
from mixdit_hw.presets import PRESETS
from mixdit_hw.report.table import replace_between

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
RESULTS = Path("build/bench")
BEGIN, END = "<!-- figures: written by benchmarks/figures.py -->\n", "<!-- end of figures -->\n"
# What a part measures, so that old figures are not taken for new ones: units of designs, and sources.
BASE = PRESETS["base"]
VERILOG = {
    "engine": (
        *((BASE, unit) for unit in ("cluster", "converter", "narrow_converter")),
        *((BASE.replace(tree="chains", multipliers=name), "cluster") for name in MULTIPLIERS),
    ),
    "utilisation": ((PRESETS["edge"], "core"), (BASE, "core")),
    "system": (
        *((PRESETS["edge"].replace(axi_width=width), "accelerator") for width in (512, 128)),
        *((PRESETS[name], "accelerator") for name in ("small", "base", "tiny")),
    ),
    "design": ((PRESETS["small"], "core"), (BASE, "core")),
}
SOURCES = {
    "performance": (
        "mixdit_hw/perf/*.py",
        *(f"mixdit_hw/{name}.py" for name in ("mixes", "workloads", "params", "latency")),
    ),
    "golden": ("golden/*.py",),
    "sampling": ("golden/*.py",),
}
PARTS = {
    "engine": ("engine_area.py", "--orders", "4", "--no-core"),
    "utilisation": ("utilisation.py", "--curve"),
    "system": ("system.py",),
    "performance": ("performance.py",),
    "design": ("design.py", "--large"),
    "golden": ("golden_speed.py",),
    "sampling": ("sampling_speed.py",),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was measured, how much it is, what it should be, whether it is not, and what others have."""

    what: str
    measured: str
    aim: str = ""
    missed: bool = False
    reference: str = ""

    def cells(self) -> str:
        """The row in Markdown."""
        aim = f"{self.aim}: **missed**" if self.missed else self.aim
        return f"| {self.what} | {self.measured} | {aim} | {self.reference} |"


def number(value: float, form: str) -> str:
    """Formatted, with spaces between thousands."""
    return format(value, form).replace(",", " ")


def subject(part: str) -> str:
    """Digest of what a part measures: Verilog, or sources."""
    texts = [emit_verilog(params, unit) for params, unit in VERILOG.get(part, ())]
    for pattern in SOURCES.get(part, ()):
        texts += [path.read_text(encoding="utf-8") for path in sorted(HERE.parent.glob(pattern))]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def run(part: str) -> Any:
    """Run a benchmark, keep what it found, and return it."""
    script, *options = PARTS[part]
    print(f"{part}: {script} {' '.join(options)}", file=sys.stderr, flush=True)
    environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
    command = [sys.executable, str(HERE / script), *options, "--json"]
    measured = subject(part)
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=False)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        raise SystemExit(f"figures: {script} printed no JSON; its exit status is {done.returncode}") from None
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_text(RESULTS / f"{part}.json", json.dumps({"subject": measured, "found": found}, indent=2) + "\n")
    return found


def kept(part: str) -> Any:
    """What a benchmark found before, on what there is now."""
    path = RESULTS / f"{part}.json"
    try:
        content = json.loads(path.read_text())
        if content["subject"] != subject(part):
            raise ValueError("it measured another version")
        return content["found"]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise SystemExit(f"figures: cannot take {part} from {path}: {e}; run it with --only {part}") from None


def engine_rows(found: dict[str, Any]) -> Iterator[Row]:
    """Area, period and LUTs of engine and converters, OSU 0.18 um."""
    figures = {(f["subject"], f["name"]): f for f in found["figures"]}

    def row(what: str, subject: str, name: str, *, form: str, unit: str, reference: str = "", extra: str = "") -> Row:
        f = figures[subject, name]
        aim = "" if f["aim"] is None else f"<= {number(f['aim'], form)}"
        if f["value"] is None:
            return Row(what=what, measured="not measured", aim=aim, missed=bool(aim), reference=reference)
        measured = number(f["value"], form) + unit + extra
        missed = f["aim"] is not None and f["value"] > f["aim"]
        return Row(what=what, measured=measured, aim=aim, missed=missed, reference=reference)

    base, cost = "engine of base", "area x period per MX6 MAC"
    ends = [f for f in found["figures"] if f["subject"] == base and re.match(rf"(least|greatest) {cost}", f["name"])]
    spread = ""
    if ends and (orders := re.search(r"of (\d+) orders", ends[0]["name"])):
        spread = f" ({' to '.join(format(f['value'], '.4f') for f in ends)} over {orders[1]} orders of the cells)"
    area = figures[base, "area, um2"]["value"]
    what = "dot engine of `base`, 16 MX6 multiplications per cycle, in its cluster; OSU 0.18 um: "
    dacapo = "DaCapo's engine, the paper's base, in the same flow: "
    yield row(
        f"{what}logic without registers",
        base,
        "logic, um2",
        form=",.0f",
        unit=" um2",
        extra=f" of {number(area, ',.0f')}",
        reference=f"{dacapo}191 187 um2 in all, 4 multiplications per cycle",
    )
    yield row("the same: period", base, "period, ns", form=".2f", unit=" ns", reference="DaCapo 27.2 ns")
    yield row(
        "area x period per MX6 multiplication and cycle",
        base,
        "area x period per MX6 MAC, M um2 ns",
        form=".4f",
        unit=" M um2 ns",
        extra=spread,
        reference="DaCapo 1.30",
    )
    name = "no DSP: LUT4 per MX6 MAC"
    others = "DaCapo 934; MX-for-FPGA 150, dot product of 5-bit integers only"
    chains = "engine of base, tree of chains on"
    yield row(
        "LUT4 per MX6 multiplication on ECP5 without DSPs, accumulator included",
        f"{chains} ECP5",
        name,
        form=".2f",
        unit="",
        reference=others,
    )
    for target, device, multipliers in (("ecp5", "ECP5", "pairs"), ("xc7", "7-series", "quads")):
        subject = f"{chains} {target}, multipliers={multipliers}"
        products = {"pairs": "two", "quads": "four"}[multipliers]
        yield row(
            f"LUTs per MX6 multiplication on {device}, {products} products in a DSP",
            subject,
            "LUTs per MX6 MAC",
            form=".2f",
            unit="",
            extra=f" and {figures[subject, 'DSPs']['value'] / 16:g} DSPs",
        )
    formats = "mx9, mx6, mx4"
    for what, subject in (
        ("converter FP32 to MX9/6/4, a block per cycle", formats),
        ("the same, MX9 alone", "mx9"),
        ("converter, four words per cycle", f"{formats}, 4 elements per cycle"),
        ("the same, MX9 alone", "mx9, 4 elements per cycle"),
    ):
        subject = f"converter of {subject}"
        period, registers = (figures[subject, n]["value"] for n in ("period with ports, ns", "registers, um2"))
        time = "period not measured" if period is None else f"{period:.2f} ns"
        extra = f", {time}; registers {number(registers, ',.0f')} um2"
        one = "DaCapo, MX9 only, truncating: 67 826 um2, 6.6 ns" if "4 elements" not in subject else ""
        yield row(f"{what}: logic", subject, "logic, um2", form=",.0f", unit=" um2", extra=extra, reference=one)


def utilisation_rows(found: dict[str, Any]) -> Iterator[Row]:
    """By the counters of the emitted Verilog, and the curve over the result port's width."""
    rows = found["rows"]
    products: dict[str, list[dict[str, Any]]] = {}
    for r in rows:
        if r["aim"] is not None:
            products.setdefault(r["product"], []).append(r)
    for product, measured in products.items():
        aim = measured[0]["aim"]
        yield Row(
            what=f"utilisation by the Verilog's counters, {product}, of the bound of padding",
            measured="; ".join(f"`{r['design']}` {r['of_bound']:.2%}" for r in measured),
            aim=f">= {aim:.0%}",
            missed=any(r["of_bound"] < aim for r in measured),
            reference="authors' simulator, 16x16: 68 to 85 % on five models" if "MX6," in product else "",
        )
    for r in rows:
        if r["area"] is not None:
            yield Row(
                what=f"{r['design']}: {r['product']}",
                measured=f"{r['of_bound']:.2%}; core {r['area'] / 1e6:.2f} mm2, "
                f"of it the result path {r['result_area'] / 1e6:.2f}",
            )


def system_rows(found: dict[str, Any]) -> Iterator[Row]:
    """Of the accelerator: how busy its engines are, the simulation's speed, and the area around its core."""
    for job in found["busy"]:
        if job["aim"] is None:
            continue
        waits = [f"{name} {share:.1%}" for name, share in job["steps"].items() if name != "passes" and share >= 5e-4]
        yield Row(
            what=f"engines busy from a job's doorbell to its interrupt, `{job['design'].replace(',', '`,')}, "
            f"memory of 100 cycles: {job['product']}",
            measured=f"{job['share']:.2%} of {number(job['job_cycles'], ',d')} cycles"
            + (f" ({', '.join(waits)})" if waits else ""),
            aim=f">= {job['aim']:.0%}",
            missed=job["share"] < job["aim"],
        )
    for run in found["speed"]:
        yield Row(
            what=f"simulation of the accelerator of `{run['design']}` under Verilator, its buses in Python, "
            "on a shared two-core machine",
            measured=f"{number(run['cycles_per_s'], ',.0f')} cycles/s",
            aim=f">= {number(run['aim'], ',d')}",
            missed=run["cycles_per_s"] < run["aim"],
        )
    area = found["area"]
    parts = sorted(area["parts"], key=lambda part: -part["share"])
    bits = sum(part["memory_bits"] for part in parts)
    shares = ", ".join(f"{part['name']} {part['share']:.1%}" for part in parts if part["share"] >= 0.005)
    yield Row(
        what="the accelerator of `base` around its core, memories as macros; OSU 0.18 um: logic, of that of its "
        f"{area['engines']} engines",
        measured=f"{area['share']:.1%} (most of it: {shares}); {number(bits, ',d')} bits of memory",
        aim=f"<= {area['aim']:.0%}",
        missed=area["share"] > area["aim"],
    )


def performance_rows(found: dict[str, Any]) -> Iterator[Row]:
    """Of the model: what is known, what it says of 65 536 multiplications per cycle, and its own speed."""
    for name, (got, want) in found["totals"].items():
        yield Row(what=name, measured=got, aim=f"= {want}", missed=got != want)
    for entry in found["speedups"]:
        ours, assumed = entry["ours"]["ours"], entry["ours"]["gpu"]["assumed"]
        yield Row(
            what=f"{entry['name']}, 65 536 MX6 multiplications per cycle at 1 GHz: times an RTX 3090",
            measured="; ".join(f"{assumed[key]['speedup']:.2f} ({key})" for key in assumed)
            + f"; {1e3 * ours['seconds_per_step']:.2f} ms a step, {ours['utilisation']:.1%} busy",
            reference=f"paper 2.10 to 5.32; {entry['ours']['authors']['speedup']:.2f} times as fast as the authors' "
            "schedule at equal multipliers and clock",
        )
    seconds = found["speed"]
    for what, key in (("a whole model", "model_s"), ("1000 designs", "sweep_s")):
        value, limit = seconds[key], found["limits"][key]
        yield Row(
            what=f"time of the model itself, {what}",
            measured=f"{value:.3g} s",
            aim=f"<= {limit:g} s",
            missed=value > limit,
        )


def design_rows(found: dict[str, Any]) -> Iterator[Row]:
    """Emission and simulation."""
    figures = found["figures"]
    runs = [f for name, f in figures.items() if name.startswith("small")]
    yield Row(
        what="utilisation of `small` by the Verilog's counters, 256x1152x128, MX6, and with 16 outlier channels in MX9",
        measured="; ".join(f"{f['utilisation']:.2%}" for f in runs),
    )
    speeds = sorted(round(f["simulated_cycles_per_s"], -3) for f in runs)
    yield Row(
        what="simulation of `small` under Verilator, on a shared two-core machine",
        measured=f"{number(speeds[0], ',.0f')} to {number(speeds[-1], ',.0f')} cycles/s",
        aim=">= 20 000",
        missed=speeds[0] < 20_000,
    )
    for size in ("16x16", "64x64"):
        f = figures[f"emit {size}"]
        yield Row(
            what=f"emission of {size} engines, CPU time of the process",
            measured=f"{f['cpu_s']:.1f} s, {f['bytes'] / 1e6:.2g} MB",
        )


def golden_rows(found: dict[str, Any]) -> Iterator[Row]:
    """Speed of the golden model."""
    figures, limits = found["figures"], found["limits"]
    for what, key, unit, extra in (
        (
            "golden: conversion of 4096x4096 to MX6, one thread",
            "quantize_ns_per_element",
            " ns per element",
            f", {figures['quantize_to_copy_ratio']:.1f} times `x.copy()`",
        ),
        ("golden: bit-exact mixed GEMM 512x1152x1152, one thread", "gemm_ratio", " times plain float32 `@`", ""),
    ):
        yield Row(
            what=what,
            measured=f"{figures[key]:.1f}{unit}{extra}",
            aim=f"<= {limits[key]:g}",
            missed=figures[key] > limits[key],
        )


def sampling_rows(found: dict[str, Any]) -> Iterator[Row]:
    """Speed of a whole DiT on the golden model."""
    ratios = found["ratios"]
    yield Row(
        what="golden: denoising steps of the example DiT, bit-exact, one thread",
        measured=f"{', '.join(f'{name} {ratio:.1f}' for name, ratio in ratios.items())} times float32 NumPy",
        aim=f"<= {found['limit']:g}",
        missed=bool(found["missed"]),
    )


ROWS = {
    "engine": engine_rows,
    "utilisation": utilisation_rows,
    "system": system_rows,
    "performance": performance_rows,
    "design": design_rows,
    "golden": golden_rows,
    "sampling": sampling_rows,
}


def markdown(rows: list[Row], tools: dict[str, str]) -> str:
    """The table and what it was made with."""
    lines = ["| what | measured | aim | for comparison |", "|---|---|---|---|", *(row.cells() for row in rows), ""]
    lines.append(f"Made with {', '.join(f'{name} {version}' for name, version in sorted(tools.items()))}.")
    return "\n".join(lines) + "\n"


def replace_table(text: str, table: str) -> str:
    """A document with the table in place of what stands between the marks; ValueError where it has no marks."""
    return replace_between(text, BEGIN, END, table)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--only", nargs="+", choices=list(PARTS), metavar="PART", help=f"of {', '.join(PARTS)}")
    chosen.add_argument("--kept", action="store_true", help="run nothing, print what was found before")
    parser.add_argument("--write", action="store_true", help="write the table into README.md too")
    parser.add_argument("--check", action="store_true", help="exit status 1 if a figure misses its aim")
    arguments = parser.parse_args()
    ran = {part: run(part) for part in (() if arguments.kept else arguments.only or PARTS)}
    rows: list[Row] = []
    tools: dict[str, str] = {}
    for part in PARTS:
        found = ran[part] if part in ran else kept(part)
        rows += ROWS[part](found)
        tools |= found.get("tools", {}) | found.get("versions", {})
    tools.pop("machine", None)
    table = markdown(rows, tools)
    print(table, end="")
    if arguments.write:
        write_text(README, replace_table(README.read_text(encoding="utf-8"), table))
    missed = [row for row in rows if row.missed]
    print(f"{len(missed)} of {sum(bool(row.aim) for row in rows)} aims missed", file=sys.stderr)
    return int(arguments.check and bool(missed))


if __name__ == "__main__":
    sys.exit(main())
