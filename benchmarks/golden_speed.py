"""Speed of the golden model on one thread: conversion of 4096 x 4096, and a mixed product of 512 x 1152 x 1152.

    python benchmarks/golden_speed.py [--json]

Text goes to standard output; with ``--json`` one JSON object instead. Times are those of this process's CPU, the least
of several runs. Ratios compare with NumPy's own copy and float32 product on the same machine, so they say more than the
nanoseconds. Exit status 1 if a figure misses its limit (`LIMITS`).
"""

# ruff: noqa: E402 (the environment is set before NumPy is imported)

import os

for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ[_variable] = "1"  # before NumPy loads its BLAS

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable

import numpy as np

import golden

SEED = 2025
LIMITS = {"quantize_ns_per_element": 12.0, "gemm_ratio": 2.5}


def seconds(work: Callable[[], object], runs: int) -> float:
    """Least CPU time of this process over several runs."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def measure_conversion(runs: int) -> dict[str, float]:
    """Figures of quantize (MX6 and, as the worst of them, every other option) and of its inverse."""
    x = np.random.default_rng(SEED).standard_normal((4096, 4096)).astype(np.float32)
    copy = seconds(x.copy, runs)
    mx6 = seconds(lambda: golden.quantize(x, "mx6"), runs)
    others = {
        "mx9": lambda: golden.quantize(x, "mx9"),
        "first_axis": lambda: golden.quantize(x, "mx6", axis=0),
        "half_away": lambda: golden.quantize(x, "mx6", rounding="half-away", subnormals="exact"),
    }
    t = golden.quantize(x, "mx6")
    figures = {
        "quantize_ns_per_element": mx6 / x.size * 1e9,
        "quantize_to_copy_ratio": mx6 / copy,
        **{f"quantize_{name}_ns_per_element": seconds(f, runs) / x.size * 1e9 for name, f in others.items()},
        "dequantize_ns_per_element": seconds(t.dequantize, runs) / x.size * 1e9,
        "pack_ns_per_element": seconds(t.pack, runs) / x.size * 1e9,
    }
    return figures


def measure_product(runs: int) -> dict[str, float]:
    """Figures of C = A @ W, A and W in MX6 with 16 outlier channels of A in MX9."""
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((512, 1152)).astype(np.float32)
    x[:, rng.choice(1152, 16, replace=False)] *= 40
    y = rng.standard_normal((1152, 1152)).astype(np.float32)
    channels = golden.select_outliers(x, 16)
    a, w = golden.split_outliers(x, channels), golden.repeat_outliers(y, channels)
    ready = golden.prepare(a), golden.prepare(w)
    plain = seconds(lambda: np.matmul(x, y), 3 * runs)
    product = seconds(lambda: golden.gemm(*ready), 3 * runs)
    prepare = seconds(lambda: (golden.prepare(a), golden.prepare(w)), runs)
    return {
        "matmul_ms": plain * 1e3,
        "gemm_ms": product * 1e3,
        "gemm_ratio": product / plain,
        "prepare_ms": prepare * 1e3,
        "prepare_ratio": prepare / plain,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Speed of the golden model on one thread.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--runs", type=int, default=5, help="runs of each measurement, of which the best counts")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error(f"--runs must be at least 1, not {options.runs}")

    figures = measure_conversion(options.runs) | measure_product(options.runs)
    versions = {"python": platform.python_version(), "numpy": np.__version__, "machine": platform.machine()}
    missed = [name for name, limit in LIMITS.items() if figures[name] > limit]
    if options.json:
        print(json.dumps({"figures": figures, "limits": LIMITS, "missed": missed, "versions": versions}, indent=2))
    else:
        for name, value in figures.items():
            limit = f"   limit {LIMITS[name]:g}" if name in LIMITS else ""
            print(f"{name:36}{value:9.2f}{limit}")
        print(", ".join(f"{name} {version}" for name, version in versions.items()))
    for name in missed:
        print(f"{name} must be at most {LIMITS[name]:g}, not {figures[name]:.2f}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
