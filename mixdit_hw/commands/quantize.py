"""``mixdit quantize``: convert an array to packed MX blocks."""

from pathlib import Path

import click
import numpy as np

from .. import options
from ..files import check_output, read_npy, write_npz
from ..nonfinite import warn_nonfinite


@click.command("quantize")
@click.argument("x", type=options.INPUT, metavar="X.npy")
@click.option("-o", "--output", type=options.OUTPUT, required=True, metavar="X.npz", help="Where to write.")
@click.option("--format", "fmt", type=options.FORMAT, required=True, help="MX format.")
@click.option("--axis", type=int, default=-1, show_default=True, help="Axis that the blocks run along.")
@options.conversion_options(of_design=False)
def command(x: Path, output: Path, fmt: str, axis: int, conversion: dict[str, str]) -> None:
    """Convert a float32 array to blocks of MX9, MX6 or MX4.

    X.npz holds packed (uint8; the blocked axis moved last, C order), shape, axis (counted from the front), format, and
    the options rounding, subnormals and nonfinite.
    """
    import golden

    array = read_npy(x)
    if not -array.ndim <= axis < array.ndim:
        raise click.BadParameter(
            f"must be {-array.ndim} to {array.ndim - 1} for shape {array.shape}, not {axis}", param_hint="'--axis'"
        )
    check_output(output)
    if conversion["nonfinite"] == "nan":
        warn_nonfinite({str(x): array})
    tensor = golden.quantize(array, fmt, axis, **conversion)
    packed = tensor.pack()
    write_npz(
        output,
        {
            "packed": packed,
            "shape": np.array(tensor.shape, np.int64),
            "axis": np.array(tensor.axis, np.int64),
            "format": np.array(fmt),
            **{name: np.array(value) for name, value in conversion.items()},
        },
    )
    click.echo(f"{output}: {tensor!r}, {packed.size} bytes, {8 * packed.size / array.size:.4g} bits per element")
