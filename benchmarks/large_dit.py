"""One sampling step of a DiT whose weights are streamed from its file: how long it takes, and the most memory.

    python examples/random_dit.py --model DiT-XL/2 -o build/xl.safetensors
    python benchmarks/large_dit.py build/xl.safetensors

The step evaluates each image with its label and with the null class. Matrix products have the MX format given, in the
transformer blocks, with NumPy on one thread. Times are those of this process's CPU. Memory is the most that the process
had resident, in Linux alone; what PyTorch maps of a .pt file counts too.
"""

# ruff: noqa: E402 (the environment is set before NumPy is imported)

import os

for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ[_variable] = "1"  # before NumPy loads its BLAS

import argparse
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from golden.diffusion import denoise
from golden.dit import HEAD_PRODUCT, DiT, Gemm, matmul
from golden.formats import FORMATS
from golden.policy import MXGemm, PrecisionPolicy
from mixdit_hw import progress
from mixdit_hw.checkpoint import load_dit, open_checkpoint
from mixdit_hw.errors import MixditError

GUIDANCE = 4.0


def peak_memory() -> int | None:
    """The most bytes that this process has had resident; None where the system does not say."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        return None
    return None if found is None else int(found[1]) << 10


def with_progress(model: DiT, gemm: Gemm, tell: Callable[[float, float], None] | None) -> Gemm:
    """The same products, of which those of layers are counted."""
    total = len(model.config.linear_layers())
    done = 0

    def counted(name: str, a: np.ndarray, w: np.ndarray, /) -> np.ndarray:
        nonlocal done
        if tell is not None and HEAD_PRODUCT.fullmatch(name) is None:
            done += 1
            tell(done, total)
        return gemm(name, a, w)

    return counted


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Memory and time of a sampling step of a streamed DiT.")
    parser.add_argument("file", type=Path, help="checkpoint of a DiT")
    parser.add_argument("--format", choices=["float32", *FORMATS], default="mx6", help="(default %(default)s)")
    parser.add_argument("--images", type=int, default=1, help="images to sample (default %(default)s)")
    parser.add_argument("--resident", action="store_true", help="keep the weights in memory")
    args = parser.parse_args()
    start = time.process_time()
    try:
        checkpoint = open_checkpoint(args.file)
        model, schedule = load_dit(checkpoint, streaming=not args.resident)
        loaded = time.process_time()
        product: Gemm = matmul
        if args.format != "float32":
            product = MXGemm(PrecisionPolicy(inlier_format=args.format, weight_format=args.format))
        options = {"guidance": GUIDANCE, "guided_channels": min(3, model.config.in_channels), "clip": None}
        labels = [i % model.config.classes for i in range(args.images)]
        with progress.bar("layers") as tell:
            images = next(denoise(model, schedule, labels, gemm=with_progress(model, product, tell), **options))
    except (MixditError, ValueError) as error:
        parser.error(str(error))
    done = time.process_time()
    cfg, peak = model.config, peak_memory()
    source = "all of the file" if checkpoint.part is None else f"{checkpoint.part!r} of the file"
    print(f"{source}: {cfg.depth} blocks of width {cfg.hidden_size}, {cfg.heads} heads, {cfg.tokens} tokens an image")
    print(f"loading   {loaded - start:8.1f} s")
    print(f"one step  {done - loaded:8.1f} s   images of {float(np.sqrt(np.mean(images**2))):.3f} RMS")
    print(f"memory    {'unknown' if peak is None else f'{peak / 1e6:8.0f} MB at most'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
