"""Sample digits from the example DiT in float32, MX6, MX9 and mixed precision, and write one picture of them all.

    python examples/sample_digits.py --images 10 --steps 20 -o build/digits.png

Every row of the picture is one precision; all start from the same noise.
"""

import argparse
import os
import time
from pathlib import Path

import matplotlib.image
import numpy as np

from golden import sqnr_db
from golden.capture import Peaks
from golden.diffusion import sample
from golden.dit import Gemm, matmul
from golden.policy import MXGemm, PrecisionPolicy, calibrate
from mixdit_hw.checkpoint import load_dit

GUIDANCE = 2.0
SCALE = 12  # screen pixels of an image pixel
BORDER = 1


def picture(rows: list[np.ndarray]) -> np.ndarray:
    """Images (B, 1, 8, 8) in [-1, 1], one array a row, to grey values in [0, 1] with borders."""
    grey = np.clip((np.stack(rows)[:, :, 0] + 1) / 2, 0, 1)
    grey = np.pad(grey, ((0, 0), (0, 0), (BORDER, BORDER), (BORDER, BORDER)), constant_values=0.5)
    r, b, h, w = grey.shape
    grey = grey.transpose(0, 2, 1, 3).reshape(r * h, b * w)
    return grey.repeat(SCALE, axis=0).repeat(SCALE, axis=1)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Sample digits in several precisions.")
    parser.add_argument("--images", type=int, default=10, help="images of each precision (default %(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="DDIM steps (default %(default)s)")
    parser.add_argument("--outliers", default="10%", help="outlier channels: N or P%% (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the noise (default %(default)s)")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/digits.png"))
    args = parser.parse_args()
    amount = args.outliers if args.outliers.endswith("%") else int(args.outliers)

    model, schedule = load_dit()
    labels = [i % model.config.classes for i in range(args.images)]

    def run(gemm: Gemm, seed: int) -> np.ndarray:
        return sample(model, schedule, labels, steps=args.steps, guidance=GUIDANCE, seed=seed, gemm=gemm)

    peaks = Peaks()
    run(peaks, args.seed + 1)  # other noise than that of the samples
    gemms: dict[str, Gemm] = {
        "float32": matmul,
        "mx9": MXGemm(PrecisionPolicy(inlier_format="mx9", weight_format="mx9")),
        "mixed": MXGemm(calibrate(peaks, amount, outlier_weight_format="mx9")),
        "mx6": MXGemm(PrecisionPolicy()),
    }
    rows: list[np.ndarray] = []
    for name, gemm in gemms.items():
        start = time.perf_counter()
        rows.append(run(gemm, args.seed))
        seconds = time.perf_counter() - start
        print(f"{name:8} {seconds:6.1f} s   SQNR against float32 {sqnr_db(rows[0], rows[-1]):5.1f} dB", flush=True)

    args.output.parent.mkdir(parents=True, exist_ok=True)
    temporary = args.output.with_name(args.output.name + ".tmp")
    matplotlib.image.imsave(temporary, picture(rows), cmap="gray", vmin=0, vmax=1, format="png")
    os.replace(temporary, args.output)
    print(f"wrote {args.output}")


if __name__ == "__main__":
    main()
