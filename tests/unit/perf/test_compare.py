"""A step beside the authors' schedule and the GPU: every ratio is one of the times beside it."""

import json
from dataclasses import replace

import pytest

from mixdit_hw.perf.arrays import array_of
from mixdit_hw.perf.authors import authors_cost
from mixdit_hw.perf.compare import compare, describe
from mixdit_hw.perf.gpu import Measured
from mixdit_hw.perf.model import PARTS, step_cost
from mixdit_hw.presets import PRESETS
from mixdit_hw.workloads import MODELS
from tests.support.errors import raises_exactly

MODEL = MODELS["SD3-512"]
GEMMS = MODEL.gemms()
PARAMS = array_of(65536)


def test_times_and_speedups() -> None:
    found = compare(GEMMS, PARAMS, name="SD3-512", clock=2e9, steps=28)
    cost = step_cost(PARAMS, GEMMS)
    authors = sum(authors_cost(g, rows=128, columns=128).cycles for g in GEMMS)
    ours = found["ours"]
    assert ours["cycles"] == cost.cycles
    assert ours["seconds_per_step"] == cost.cycles / 2e9
    assert ours["seconds_per_image"] == 28 * (cost.cycles / 2e9)
    assert found["authors"]["cycles"] == authors
    assert found["authors"]["speedup"] == authors / cost.cycles
    assert found["authors"]["macs_per_cycle"] == ours["macs_per_cycle"] == 65536
    assumed = found["gpu"]["assumed"]
    assert list(assumed) == ["40%", "50%", "60%", "roofline"]
    for key, share in (("40%", 0.4), ("50%", 0.5), ("60%", 0.6)):
        seconds = 2 * found["macs"] / (share * 71.2e12)
        assert assumed[key]["seconds_per_step"] == pytest.approx(seconds)
        assert assumed[key]["speedup"] == pytest.approx(seconds / ours["seconds_per_step"])
    fast = compare(GEMMS, PARAMS, name="SD3-512", clock=2e9, steps=28, accumulation="fp16")["gpu"]
    assert fast["assumed"]["40%"]["seconds_per_step"] * 142.3 == pytest.approx(
        assumed["40%"]["seconds_per_step"] * 71.2
    )


def test_sums_over_layers() -> None:
    found = compare(GEMMS, PARAMS, name="SD3-512", clock=1e9, steps=28)
    layers = found["layers"]
    assert [layer["name"] for layer in layers] == [g.name for g in GEMMS]
    for part in ("ours", "authors"):
        assert sum(layer[part]["cycles"] for layer in layers) == found[part]["cycles"]
    assert sum(layer["macs"] for layer in layers) == found["macs"]
    assert tuple(found["ours"]["parts"]) == PARTS
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_schedules() -> None:
    ours = compare(GEMMS, PARAMS, name="x", clock=1e9, steps=1, schedule="ours")
    authors = compare(GEMMS, PARAMS, name="x", clock=1e9, steps=1, schedule="authors", authors=(16, 32))
    assert "authors" not in ours
    assert "ours" not in authors
    assert (authors["authors"]["rows"], authors["authors"]["columns"]) == (16, 32)
    assert "speedup" not in authors["authors"]
    share = authors["gpu"]["assumed"]["50%"]
    assert share["speedup"] == share["seconds_per_step"] / authors["authors"]["seconds_per_step"]


def test_measured_takes_the_place_of_assumed() -> None:
    measured = Measured(device="RTX 3090", software="torch 2", seconds={"SD3-512": 0.1})
    gpu = compare(GEMMS, PARAMS, name="SD3-512", clock=1e9, steps=28, measured=measured)["gpu"]
    assert (gpu["name"], gpu["software"]) == ("RTX 3090", "torch 2")
    assert "assumed" not in gpu
    assert gpu["tflops"] == pytest.approx(2 * sum(g.macs for g in GEMMS) / 0.1 / 1e12)
    other = compare(GEMMS, PARAMS, name="SD3-1024", clock=1e9, steps=28, measured=measured)["gpu"]
    assert "measured" not in other


def test_descriptions() -> None:
    assert describe(MODEL, MODEL.mix) == (
        "24 blocks of 1536, 24 heads of 64, 1024 and 154 text tokens; MX6, 1% outlier channels, 12 of 24 heads in MX9"
    )
    dit = MODELS["DiT-XL-256"]
    assert describe(dit, replace(dit.mix, outliers="0.01%")) == describe(dit, dit.mix)  # less than one of 4608
    assert describe(dit, dit.mix) == (
        "28 blocks of 1152, 16 heads of 72, 256 tokens; MX6, no outlier channels, 3 of 16 heads in MX9"
    )


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"schedule": "x"}, "schedule must be one of ours, authors, both, not 'x'"),
        ({"accumulation": "x"}, "accumulation must be one of fp32, fp16, not 'x'"),
        ({"clock": 0.0}, "clock must be more than 0 Hz, not 0.0"),
    ],
)
def test_errors(change: dict, error: str) -> None:
    with raises_exactly(ValueError, error):
        compare(GEMMS, PRESETS["base"], **({"name": "x", "clock": 1e9} | change))
