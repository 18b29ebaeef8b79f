"""Checks of arguments, shared by the package; every message names the argument and what it was."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raise TypeError unless `value` is a string, ValueError unless it is one of `choices`."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {value!r}")
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def check_integer(name: str, value: Any) -> int:
    """Return `value` as an int; TypeError unless it is an integer (booleans are not)."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    return int(value)


def check_integers(name: str, values: Any) -> list[int]:
    """Return `values` as ints; TypeError unless it is a sequence (an array, an iterator) of integers."""
    try:
        items = list(values)
    except TypeError:
        raise TypeError(f"{name} must be a sequence of integers, not {values!r}") from None
    return [check_integer(name, item) for item in items]


def check_array(name: str, value: Any, dtype: type = np.float32) -> None:
    """Raise TypeError unless `value` is a native array of `dtype`, ValueError if it has no element or no axis."""
    wanted = np.dtype(dtype)
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name} must be a {wanted} array, not {type(value).__name__}")
    if value.dtype != wanted:
        raise TypeError(f"{name} must be a {wanted} array, not {value.dtype}")
    if value.ndim == 0:
        raise ValueError(f"{name} must have at least one axis, not shape ()")
    if value.size == 0:
        raise ValueError(f"{name} must have at least one element, not shape {value.shape}")


def check_axis(axis: Any, ndim: int) -> int:
    """Return `axis` counted from the front; TypeError for a non-integer, ValueError out of range."""
    number = check_integer("axis", axis)
    if not -ndim <= number < ndim:
        raise ValueError(f"axis must be {-ndim} to {ndim - 1}, not {number}")
    return number % ndim
