"""PyTorch is no dependency of the project: everything in it is of any type, whether it is installed or not."""

from typing import Any

def __getattr__(name: str) -> Any: ...
