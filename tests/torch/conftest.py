"""Tests of the emulation in PyTorch; where that is missing, or diffusers or timm, each of them is listed as NOT RUN."""

import ast
import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

REASON = "NOT RUN: emulation in PyTorch: {} is missing: pip install {}"


def missing(path: Path) -> str | None:
    """Package that the tests of a file need and that is not there."""
    for package in ("torch", *(name for name in ("diffusers", "timm") if name in path.name)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # theirs, which the project's tests would make errors
                importlib.import_module(package)
        except ModuleNotFoundError as e:
            if e.name != package:
                raise
            return package
    return None


class Skipped(pytest.Item):
    """A test that is not run."""

    def runtest(self) -> None:
        package = self.parent.package  # type: ignore[union-attr]
        pytest.skip(REASON.format(package, package))


class SkippedFile(pytest.Module):
    """A file whose tests are named, but not imported."""

    package = ""

    def collect(self) -> Iterator[Skipped]:
        tree = ast.parse(self.path.read_text())
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield Skipped.from_parent(self, name=node.name)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """A file of skipped tests where something is missing."""
    package = missing(module_path)
    if package is None:
        return None
    module = SkippedFile.from_parent(parent, path=module_path)
    module.package = package
    return module


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Products are small, and tests run on all cores."""
    torch = importlib.import_module("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
