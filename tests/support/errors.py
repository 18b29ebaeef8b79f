"""Errors by their exact text."""

import re
from typing import Any

import pytest


def raises_exactly(kind: type[Exception], text: str) -> Any:
    """`pytest.raises` for an exception whose whole text is ``text``."""
    return pytest.raises(kind, match=f"^{re.escape(text)}\\Z")
