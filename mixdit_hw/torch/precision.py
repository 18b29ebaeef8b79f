"""Settings under which PyTorch's float32 products are IEEE's, and a check that they are.

PyTorch may multiply float32 matrices in TF32 or BF16 where a user allows it, and in half precision under autocast.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

_lock = threading.Lock()
_users = 0
_saved: list[Callable[[], None]] = []


@contextmanager
def exact_products(device: torch.device) -> Iterator[None]:
    """No autocast, no gradients, and IEEE float32 products, until the last of all threads leaves it.

    The settings belong to the process: products that other threads compute meanwhile are IEEE's too.
    """
    _enter()
    try:
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        _leave()


def _enter() -> None:
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            _saved.append(_settings())
            torch.set_float32_matmul_precision("highest")


def _leave() -> None:
    global _users
    with _lock:
        _users -= 1
        if not _users:
            _saved.pop()()


def _settings() -> Callable[[], None]:
    """What restores the precision of float32 products.

    PyTorch 2.9 has a setting for each backend beside the old one for all, which sets them too. Products fail where the
    two disagree; where they do, only the backends' can be read, and the old one is ``highest``.
    """
    try:
        precision = torch.get_float32_matmul_precision()
    except RuntimeError:
        precision = "highest"
    backends = [(backend, backend.fp32_precision) for backend in _backends() if hasattr(backend, "fp32_precision")]

    def restore() -> None:
        torch.set_float32_matmul_precision(precision)
        for backend, value in backends:
            backend.fp32_precision = value

    return restore


def _backends() -> list[Any]:
    return [torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)]


@cache
def is_exact(device: torch.device) -> bool:
    """Whether float32 products of 16 positions come out exact on a device, tried once on sums of 24 bits."""
    generator = torch.Generator().manual_seed(1)
    with exact_products(device):
        for count, m, n in ((1, 64, 48), (1, 512, 1152), (8, 256, 72)):
            shapes = ((count, m, 16), (count, 16, n))
            a, w = (torch.randint(-1023, 1024, shape, generator=generator).to(device) for shape in shapes)
            if not torch.equal(torch.bmm(a.float(), w.float()).double(), torch.bmm(a.double(), w.double())):
                return False
    return True
