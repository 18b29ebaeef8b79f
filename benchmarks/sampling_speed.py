"""Speed of sampling on the golden model: a whole DiT's denoising steps in MX formats against float32 NumPy.

    python benchmarks/sampling_speed.py [--json]

The example DiT, DDIM with guidance, one thread, CPU time, the least of several runs taken in turns. Exit status 1 if a
ratio is above the limit.
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

import numpy as np

from golden.capture import Peaks
from golden.diffusion import sample
from golden.dit import Gemm, matmul
from golden.policy import MXGemm, PrecisionPolicy, calibrate
from mixdit_hw.checkpoint import load_dit

LIMIT = 4.0  # times float32
IMAGES, STEPS, GUIDANCE = 20, 3, 2.0


def measure(runs: int) -> dict[str, float]:
    """CPU seconds of an image and step, by precision."""
    model, schedule = load_dit()
    labels = [i % model.config.classes for i in range(IMAGES)]

    def work(gemm: Gemm) -> float:
        start = time.process_time()
        sample(model, schedule, labels, steps=STEPS, guidance=GUIDANCE, gemm=gemm)
        return (time.process_time() - start) / (IMAGES * STEPS)

    work(peaks := Peaks())
    gemms: dict[str, Gemm] = {
        "float32": matmul,
        "mx6": MXGemm(PrecisionPolicy()),
        "mx9": MXGemm(PrecisionPolicy(inlier_format="mx9", weight_format="mx9")),
        "mixed": MXGemm(calibrate(peaks, "5%", outlier_weight_format="mx9")),
    }
    times = {name: [work(gemm)] for name, gemm in gemms.items()}  # which converts the weights
    for _ in range(runs):
        for name, gemm in gemms.items():
            times[name].append(work(gemm))
    return {name: min(found[1:]) for name, found in times.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description="Speed of sampling on the golden model, on one thread.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--runs", type=int, default=5, help="runs of each precision, of which the best counts")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error(f"--runs must be at least 1, not {options.runs}")

    seconds = measure(options.runs)
    ratios = {name: seconds[name] / seconds["float32"] for name in seconds if name != "float32"}
    versions = {"python": platform.python_version(), "numpy": np.__version__, "machine": platform.machine()}
    missed = [name for name, ratio in ratios.items() if ratio > LIMIT]
    if options.json:
        result = {"seconds": seconds, "ratios": ratios, "limit": LIMIT, "missed": missed, "versions": versions}
        print(json.dumps(result, indent=2))
    else:
        for name, value in seconds.items():
            ratio = f"{ratios[name]:6.2f} x float32, limit {LIMIT:g}" if name in ratios else ""
            print(f"{name:10}{value * 1e3:8.2f} ms an image and step {ratio}".rstrip())
        print(", ".join(f"{name} {version}" for name, version in versions.items()))
    for name in missed:
        print(f"{name} must take at most {LIMIT:g} x float32, not {ratios[name]:.2f}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
