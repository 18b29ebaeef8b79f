"""`mixdit_hw.torch` without PyTorch says what to install."""

import importlib
import sys

import pytest


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.startswith("mixdit_hw.torch"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError) as error:
        importlib.import_module("mixdit_hw.torch")
    assert str(error.value) == "mixdit_hw.torch needs PyTorch: pip install mixdit-hw[torch]"
