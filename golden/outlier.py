"""Which channels are outliers, and the stored order of matrices that keep them apart.

A and W are split by the same channels (positions along K), so that their K blocks match (docs/numerics.md,
Accumulation):

``in-place``  all K positions, A with +0 for the outlier channels; then the outlier channels again.
``gathered``  the other channels; then the outlier channels.

Each run is padded to whole blocks, and channels keep ascending order.
"""

import re
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from .checks import check_array, check_axis, check_choice, check_integer, check_integers
from .codec import quantize
from .formats import Format
from .tensor import MXTensor, concat

ORDERS = ("in-place", "gathered")

_PERCENTAGE = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)%")


def channel_magnitudes(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """Largest magnitude of each position along `axis` over all the others, as a float32 array (K,).

    A channel that holds a NaN gets NaN, and ranks above Inf. The maximum of several samples is `numpy.maximum` of
    theirs.
    """
    check_array("x", x)
    axis = check_axis(axis, x.ndim)
    words = np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis]).view(np.uint32)
    return (words & np.uint32(0x7FFFFFFF)).max(axis=0).view(np.float32)


def outlier_count(amount: int | str, channels: int) -> int:
    """Number of outliers of so many channels: `amount` itself, or of "P%" floor(P * channels / 100), P taken exactly.

    Raises
    ------
    TypeError
        If amount is neither an integer nor a string.
    ValueError
        If it is a string without a percentage, or not within 0 to all channels.
    """
    if isinstance(amount, str):
        if not _PERCENTAGE.fullmatch(amount):
            raise ValueError(f"amount must be a number of channels or a percentage, not {amount!r}")
        percent = Fraction(amount[:-1])
        if percent > 100:
            raise ValueError(f"amount must be 0% to 100%, not {amount!r}")
        return int(percent * channels / 100)
    number = check_integer("amount", amount)
    if not 0 <= number <= channels:
        raise ValueError(f"amount must be 0 to {channels} channels, not {number}")
    return number


def top_channels(magnitudes: np.ndarray, amount: int | str) -> np.ndarray:
    """The `amount` channels of greatest magnitude (K,), ties to the lower index; ascending int64 indices."""
    check_array("magnitudes", magnitudes)
    if magnitudes.ndim != 1:
        raise ValueError(f"magnitudes must be 1-D, not of shape {magnitudes.shape}")
    words = np.ascontiguousarray(magnitudes).view(np.uint32) & np.uint32(0x7FFFFFFF)
    return np.sort(np.argsort(~words, kind="stable")[: outlier_count(amount, words.size)])


def select_outliers(x: np.ndarray, amount: int | str, axis: int = -1) -> np.ndarray:
    """Outlier channels of a calibration sample: those along `axis` with the greatest max |x|, ascending indices."""
    return top_channels(channel_magnitudes(x, axis), amount)


def select_heads(x: np.ndarray, heads: int, amount: int | str) -> np.ndarray:
    """Attention heads of greatest max |x|, ascending indices; the last axis of x is (head, channel of the head).

    Raises
    ------
    ValueError
        If `heads` does not divide the last axis.
    """
    check_array("x", x)
    heads = check_integer("heads", heads)
    if heads < 1 or x.shape[-1] % heads:
        raise ValueError(f"heads must divide the {x.shape[-1]} channels, not {heads}")
    return top_channels(channel_magnitudes(x).reshape(heads, -1).max(axis=1), amount)


def split_outliers(
    x: np.ndarray,
    channels: Sequence[int] | np.ndarray,
    fmt: str | Format = "mx6",
    outlier_fmt: str | Format = "mx9",
    axis: int = -1,
    order: str = "in-place",
    **options: str,
) -> MXTensor:
    """An A in stored order: its channels along `axis` in `fmt`, the outlier `channels` in `outlier_fmt`.

    Parameters
    ----------
    x
        float32 array.
    channels
        Outlier channels, distinct, in any order; without any this is `quantize(x, fmt)`.
    fmt, outlier_fmt
        Formats of the two segments.
    axis
        Axis of the channels, K.
    order
        ``in-place`` (outliers become +0 before the exponents are taken, then follow) or ``gathered``.
    **options
        ``rounding``, ``subnormals`` and ``nonfinite`` of `quantize`.

    Raises
    ------
    TypeError, ValueError
        As `quantize`, and for channels that are not distinct integers within the axis.
    """
    return _stored(x, channels, (fmt, outlier_fmt), axis, order, True, options)


def repeat_outliers(
    x: np.ndarray,
    channels: Sequence[int] | np.ndarray,
    fmt: str | Format = "mx6",
    outlier_fmt: str | Format | None = None,
    axis: int = 0,
    order: str = "in-place",
    **options: str,
) -> MXTensor:
    """The W that goes with `split_outliers`: the rows of the outlier channels stand in place and again at the end.

    Parameters, order and errors are those of `split_outliers`, but in place nothing is replaced by +0, and
    `outlier_fmt`, the format of the rows at the end, is `fmt` by default.
    """
    return _stored(x, channels, (fmt, fmt if outlier_fmt is None else outlier_fmt), axis, order, False, options)


def _stored(
    x: np.ndarray,
    channels: Sequence[int] | np.ndarray,
    formats: tuple[str | Format, str | Format],
    axis: int,
    order: str,
    clear: bool,
    options: dict[str, str],
) -> MXTensor:
    check_array("x", x)
    axis = check_axis(axis, x.ndim)
    check_choice("order", order, ORDERS)
    chosen = _check_channels(channels, x.shape[axis])
    if not chosen.size:
        return quantize(x, formats[0], axis, **options)
    outliers = np.take(x, chosen, axis)
    if order == "gathered":
        first = np.delete(x, chosen, axis)
    elif clear:
        first = x.copy()
        np.moveaxis(first, axis, 0)[chosen] = 0
    else:
        first = x
    parts = [(first, formats[0]), (outliers, formats[1])]
    return concat([quantize(part, fmt, axis, **options) for part, fmt in parts if part.size])


def _check_channels(channels: Sequence[int] | np.ndarray, length: int) -> np.ndarray:
    """Sorted channels."""
    numbers = sorted(check_integers("channels", channels))
    if numbers and not 0 <= numbers[0] <= numbers[-1] < length:
        wrong = numbers[0] if numbers[0] < 0 else numbers[-1]
        raise ValueError(f"channels must be 0 to {length - 1}, not {wrong}")
    if len(set(numbers)) != len(numbers):
        raise ValueError(f"channels must be distinct, not {numbers}")
    return np.array(numbers, np.int64)
