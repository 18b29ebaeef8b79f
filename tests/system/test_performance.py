"""The performance benchmark: every known figure comes out, as text and as JSON."""

import json
import sys

import pytest

from benchmarks import performance
from mixdit_hw.workloads import PAPER_MODELS


def output(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr(performance, "SWEEP", 5)
    monkeypatch.setattr(performance, "SHAPES", {engines: s[:2] for engines, s in performance.SHAPES.items()})
    monkeypatch.setattr(performance, "best_shapes", lambda *args, **options: [])
    monkeypatch.setattr(sys, "argv", ["performance.py", *arguments])
    performance.main()
    return capsys.readouterr().out


def test_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    text = output(capsys, monkeypatch)
    expected = [*performance.TOTALS.values(), *performance.COUNTS.values()]
    assert text.count(" equal\n") == len(expected) + len(performance.UTILISATION)
    assert "NOT EQUAL" not in text
    for figure in expected:
        assert f" {figure}  equal\n" in text
    for name in PAPER_MODELS:
        assert f"\n{name}  " in text
    assert "40%" in text
    assert "roofline" in text


def test_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.loads(output(capsys, monkeypatch, "--json"))
    assert list(found) == ["speedups", "totals", "shapes", "ports", "speed", "limits"]
    assert [entry["name"] for entry in found["speedups"]] == list(PAPER_MODELS)
    for entry in found["speedups"]:
        assert entry["ours"]["ours"]["macs_per_cycle"] == entry["authors"]["authors"]["macs_per_cycle"] == 65536
        at_peak = entry["ours"]["gpu"]["assumed"]["50%"]["speedup"] / 2
        busy = entry["gpu_utilisation_of_the_claim"]
        assert at_peak / busy[0] == pytest.approx(performance.PAPER[1])
        assert at_peak / busy[1] == pytest.approx(performance.PAPER[0])
