"""Layers on the hardware: equal ones are reported, a different one is an error."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from golden.policy import PrecisionPolicy
from mixdit_hw.errors import CheckError
from mixdit_hw.presets import PRESETS
from mixdit_hw.report.hardware import run_layer
from mixdit_hw.report.study import Layer, Precision, quantize_layer
from mixdit_hw.sim.run import Simulator


def simulator(build_dir: Path) -> Simulator:
    return Simulator(engine="amaranth", params=PRESETS["tiny"], design=None, build_dir=build_dir)


def make_layer() -> Layer:
    rng = np.random.default_rng(2)
    a, w = rng.standard_normal((9, 20), np.float32), rng.standard_normal((20, 3), np.float32)
    return Layer(name="blocks.0.mlp.fc1", a=a, w=w)


def test_equal(tmp_path):
    layer = make_layer()
    precision = quantize_layer(layer, PrecisionPolicy())
    run = run_layer(layer, "mx6", precision, simulator(tmp_path))
    assert (run.m, run.k, run.n, run.elements, run.equal) == (9, 20, 3, 27, 27)
    assert run.sqnr == precision.sqnr
    assert run.cycles > 0
    assert 0 < run.utilisation < 1


def make_wrong_precision(layer: Layer) -> Precision:
    """With one element that differs from the hardware's."""
    precision = quantize_layer(layer, PrecisionPolicy())
    wrong = precision.result.copy()
    wrong[4, 1] = -wrong[4, 1]
    return replace(precision, result=wrong)


def test_different(tmp_path, capsys):
    """The difference is one line; what explains it goes to stderr, line by line."""
    layer = make_layer()
    with pytest.raises(CheckError, match=r"^blocks.0.mlp.fc1 in mx6: C\[4, 1\] is .*; 1 elements differ\Z"):
        run_layer(layer, "mx6", make_wrong_precision(layer), simulator(tmp_path))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[0].split()[0] == "block"
    assert lines[-1] == "when its tile runs alone, the hardware agrees with golden after every block"


def test_equal_elements_are_counted(tmp_path, monkeypatch):
    """And not taken for granted where nothing complains."""
    monkeypatch.setattr("mixdit_hw.sim.compare.compare", lambda hardware, expected: None)
    layer = make_layer()
    run = run_layer(layer, "mx6", make_wrong_precision(layer), simulator(tmp_path))
    assert (run.elements, run.equal) == (27, 26)
