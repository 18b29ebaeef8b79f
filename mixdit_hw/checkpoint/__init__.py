"""Checkpoints, whose tensors are read when they are needed, and the DiT in them. Nothing in a file is ever executed.

Files are safetensors, or what PyTorch saves, for which PyTorch is imported. `load_dit` gives a model and its schedule,
`open_checkpoint` the tensors of a file by name, `read_checkpoint` all of them at once.
"""

from .dit import DIGITS, load_dit
from .lazy import Checkpoint, LazyTensor
from .reading import open_checkpoint, read_checkpoint

__all__ = ["DIGITS", "Checkpoint", "LazyTensor", "load_dit", "open_checkpoint", "read_checkpoint"]
