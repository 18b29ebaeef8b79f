"""Write the stream beats of one tile for the preset `tiny`, and the results that golden expects, as hex files.

    python examples/testbench/vectors.py [--seed N] [-o DIR]

One tile of `tiny` is R*T = 8 rows by C = 2 columns; here K is 40, so three K blocks, the last one padded, and then one
MX9 block with an outlier channel. a.hex, w.hex, cmd.hex and c.hex hold one beat in a line; tb_tiny.v plays them.
"""

import argparse
from pathlib import Path

import numpy as np

import golden

ROWS, COLUMNS, INTERLEAVE = 2, 2, 4  # R, C, T of tiny
BLOCK_BITS = 144


def container(t: golden.MXTensor, row: int, block: int) -> int:
    """A block as the core takes it: E in bits 0-7, D in bits 8-15, element i in bits 16+8i: magnitude, then sign."""
    shift = 7 - t.formats[block].magnitude_bits  # narrower magnitudes stand at the top
    bits = int(t.exponents[row, block]) | int(t.micro[row, block]) << 8
    for i in range(16):
        element = int(t.elements[row, block, i])  # sign in bit 7, magnitude below
        bits |= ((element & 0x7F) << shift | element & 0x80) << 16 + 8 * i
    return bits


def beat(t: golden.MXTensor, rows: list[int], block: int) -> int:
    """The blocks of those rows, the first lowest, and the format's code above them."""
    bits = sum(container(t, row, block) << i * BLOCK_BITS for i, row in enumerate(rows))
    return bits | t.formats[block].code << len(rows) * BLOCK_BITS


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Stream beats and results of one tile of tiny.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=Path("build/testbench"))
    args = parser.parse_args()

    rng = np.random.default_rng(args.seed)
    x = rng.standard_normal((ROWS * INTERLEAVE, 40), np.float32)
    x[:, 7] *= 50
    y = rng.standard_normal((40, COLUMNS), np.float32)
    channels = golden.select_outliers(x, 1)
    a = golden.split_outliers(x, channels, "mx6", axis=1)
    w = golden.repeat_outliers(y, channels, "mx6", axis=0)  # its rows are the columns of y
    c = golden.gemm(a, w).view(np.uint32)

    # A: for each K block T beats; in beat t, array row r has row r*T + t of the tile. W: a beat for each K block.
    a_beats = [
        beat(a, [r * INTERLEAVE + t for r in range(ROWS)], k) for k in range(a.blocks) for t in range(INTERLEAVE)
    ]
    w_beats = [beat(w, list(range(COLUMNS)), k) for k in range(w.blocks)]
    # Results: a beat for each row, column 0 lowest, and the mark of the last one above them.
    c_beats = [int(c[i, 0]) | int(c[i, 1]) << 32 | (i == len(c) - 1) << 64 for i in range(len(c))]
    args.output.mkdir(parents=True, exist_ok=True)
    for name, beats in (("a", a_beats), ("w", w_beats), ("cmd", [a.blocks]), ("c", c_beats)):
        (args.output / f"{name}.hex").write_text("".join(f"{b:x}\n" for b in beats))
    print(f"{len(a_beats)} beats of a, {len(w_beats)} of w, 1 command, {len(c_beats)} results in {args.output}")


if __name__ == "__main__":
    main()
