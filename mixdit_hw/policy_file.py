"""Policies of precisions from files that nobody vouches for."""

from pathlib import Path

from golden.policy import PrecisionPolicy

from .errors import InputError
from .files import read_text

_MAX_BYTES = 1 << 23  # of a file; one with every channel of DiT-XL has 1.4 MB
_MAX_ERROR = 400  # characters


def read_policy(path: Path) -> PrecisionPolicy:
    """Read a policy's JSON file.

    Raises
    ------
    InputError
        It cannot be read, is longer than 8 MiB, or is no policy; the text names the file and the field at fault.
    """
    text = read_text(path, _MAX_BYTES)
    try:
        return PrecisionPolicy.from_json(text)
    except (TypeError, ValueError) as e:
        error = str(e)
        raise InputError(f"{path}: {error if len(error) <= _MAX_ERROR else error[: _MAX_ERROR - 3] + '...'}") from None
