"""Write a checkpoint with the names and shapes of a published DiT and random values.

    python examples/random_dit.py --model DiT-XL/2 -o build/xl.safetensors

The geometry is the real one, so that memory and time are too; the images are noise. Values are drawn and written one
tensor after the other: the memory needed is that of the largest. The same seed gives the same values, whatever the
depth. A name that ends in ``.pt`` gives a file of PyTorch, which is imported for it.
"""

# PyTorch is no dependency of the project.
# pyright: reportMissingImports=false

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from golden.dit import DiTConfig
from mixdit_hw import progress
from mixdit_hw.errors import MixditError
from mixdit_hw.files import atomic_write, check_output

PIXELS = 8  # of an image along a side, for each one of its latent
BYTES = {"F16": 2, "BF16": 2, "F32": 4}


def draw(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """A tensor of float32 whose products are about 1 in size; modulations are small, so that blocks add little."""
    generator = np.random.default_rng([seed, *name.encode()])
    values = generator.standard_normal(shape, np.float32)
    if name == "pos_embed":
        scale = 0.5
    elif name.endswith(".bias") or name.startswith("y_embedder."):
        scale = 0.02
    else:
        scale = (0.3 if "adaLN" in name else 1.0) / math.sqrt(math.prod(shape[1:]))
    return np.clip(values, -4, 4) * np.float32(scale)


def encode(values: np.ndarray, dtype: str) -> bytes:
    """Little-endian words of float32 values, rounded to nearest even."""
    if dtype == "BF16":
        words = values.view(np.uint32)
        return ((words + 0x7FFF + (words >> 16 & 1)) >> 16).astype("<u2").tobytes()
    return values.astype("<f2" if dtype == "F16" else "<f4").tobytes()


def write_header(file: IO[bytes], shapes: dict[str, tuple[int, ...]], dtype: str) -> tuple[dict[str, int], int]:
    """Write the header of a safetensors file; where the data of each tensor begin, and where the last ones end."""
    header, offset = {}, 0
    for name, shape in shapes.items():
        end = offset + math.prod(shape) * BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    start = 8 + len(text)
    return {name: start + header[name]["data_offsets"][0] for name in shapes}, start + offset


def write_safetensors(
    file: IO[bytes], config: DiTConfig, dtype: str, seed: int, tell: Callable[[float, float], None] | None
) -> dict[str, int]:
    """Write a checkpoint of that geometry; where the data of each tensor begin."""
    shapes = config.state_shapes()
    offsets, end = write_header(file, shapes, dtype)
    for name, shape in shapes.items():
        file.write(encode(draw(name, shape, seed), dtype))
        if tell is not None:
            tell(file.tell() >> 20, end >> 20)
    return offsets


def write_torch(
    file: IO[bytes], config: DiTConfig, dtype: str, seed: int, tell: Callable[[float, float], None] | None
) -> None:
    """Write the same as a state dict of PyTorch, by way of a temporary file that is mapped into memory."""
    import torch

    kind = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}[dtype]
    with tempfile.NamedTemporaryFile(dir=Path(file.name).parent) as temporary:
        offsets = write_safetensors(temporary, config, dtype, seed, tell)
        temporary.flush()
        words = {2: np.int16, 4: np.int32}[BYTES[dtype]]
        state = {}
        for name, shape in config.state_shapes().items():
            mapped = np.memmap(temporary.name, words, "c", offsets[name], shape)  # "c", since PyTorch asks to write
            state[name] = torch.from_numpy(mapped).view(kind)
        torch.save(state, file)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Write a random checkpoint of a published DiT's geometry.")
    parser.add_argument(
        "--model", default="DiT-XL/2", help="DiT-S, -B, -L or -XL with /2, /4 or /8 (default %(default)s)"
    )
    parser.add_argument("--pixels", type=int, default=256, help="height and width of an image (default %(default)s)")
    parser.add_argument("--depth", type=int, help="transformer blocks (default: those of the model)")
    parser.add_argument("--dtype", choices=list(BYTES), default="F16", help="type of the values (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the values (default %(default)s)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="file to write: .safetensors or .pt")
    args = parser.parse_args()
    if args.pixels % PIXELS:
        parser.error(f"--pixels must be a multiple of {PIXELS}, not {args.pixels}")
    try:
        config = DiTConfig.named(args.model, input_size=args.pixels // PIXELS)
        config = config if args.depth is None else replace(config, depth=args.depth)
        write = write_torch if args.output.suffix == ".pt" else write_safetensors
        check_output(args.output)
        with progress.bar(f"MiB of {args.output.name}") as tell, atomic_write(args.output) as file:
            write(file, config, args.dtype, args.seed, tell)
    except ImportError:
        parser.error("a .pt file needs PyTorch (pip install torch)")
    except (MixditError, ValueError) as error:
        parser.error(str(error))
    parameters = sum(math.prod(shape) for shape in config.state_shapes().values())
    print(f"wrote {args.output}: {parameters / 1e6:.0f} million values, {args.output.stat().st_size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
