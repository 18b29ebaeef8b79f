"""The warning about NaN and Inf in data, which is legal and makes NaN blocks."""

from collections.abc import Mapping

import click
import numpy as np


def warn_nonfinite(arrays: Mapping[str, np.ndarray]) -> None:
    """Write one line to stderr if any of the arrays, given by name, holds NaN or Inf."""
    counts = {name: array.size - int(np.count_nonzero(np.isfinite(array))) for name, array in arrays.items()}
    found = " and ".join(f"{name} ({count} of {arrays[name].size} elements)" for name, count in counts.items() if count)
    if found:
        click.echo(f"warning: NaN or Inf in {found}: each makes its block of 16 a NaN block", err=True)
