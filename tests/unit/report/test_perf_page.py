"""The performance page: self-contained, with all results and a drawing of each kind."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from mixdit_hw.mixes import Mix
from mixdit_hw.params import Params
from mixdit_hw.perf.compare import compare
from mixdit_hw.perf.gpu import Measured
from mixdit_hw.report.perf_page import write_perf_page
from mixdit_hw.workloads import MODELS, Gemm

MEASURED = Measured(device="<GPU>", software="torch", seconds={"DiT-S-256": 0.25})


def content(*names: str, **options) -> dict:
    results = []
    for name in names:
        model = MODELS[name]
        found = compare(model.gemms(), Params(), name=name, clock=1e9, steps=model.steps, **options)
        work = model.other_work()
        results.append(found | {"description": "a model", "other_work": vars(work)})
    memory = {"bandwidth": None, "latency": 0, "buffer": 1, "a": 1.0, "w": 1.0, "c": 1.0}
    design = {"name": "preset small", **Params().to_dict()}
    return {"command": "mixdit perf", "design": design, "clock_hz": 1e9, "memory": memory, "results": results}


@pytest.mark.parametrize(
    ("options", "drawings"),
    [({}, 3 + 2 * 2), ({"schedule": "ours"}, 3 + 2 * 2), ({"schedule": "authors"}, 3), ({"measured": MEASURED}, 3 + 4)],
    ids=str,
)
def test_page(tmp_path: Path, options: dict, drawings: int) -> None:
    found = content("DiT-S-256", "SD3-512", **options)
    path = tmp_path / "p.html"
    write_perf_page(path, found)
    text = path.read_text()
    assert text.count("<svg ") == drawings
    assert "src=" not in text
    assert 'href="http' not in text
    assert "<GPU>" not in text
    for result in found["results"]:
        assert f"<h2>{result['name']}</h2>" in text
        for part in ("ours", "authors"):
            if part in result:
                assert f"{result[part]['cycles'] / 1e6:,.2f}" in text
    for start in range(drawings):
        drawing = text.split("<svg ")[start + 1].split("</svg>")[0]
        ET.fromstring(f"<svg {drawing}</svg>")


@pytest.mark.parametrize("schedule", ["both", "ours"])
@pytest.mark.parametrize("slow", [{}, {"latency": 1}], ids=["free", "slow"])
def test_slow_memory(tmp_path: Path, schedule: str, slow: dict) -> None:
    found = content("DiT-S-256", schedule=schedule)
    write_perf_page(tmp_path / "p.html", found | {"memory": found["memory"] | slow})
    text = (tmp_path / "p.html").read_text()
    both = schedule == "both"
    assert ("<th>over authors</th>" in text, "Over authors: how many times" in text) == (both, both)
    assert ("the memory slows ours" in text) == (both and bool(slow))


def test_one_product(tmp_path: Path) -> None:
    """Nothing of models, steps and images, and no other work."""
    gemms = MODELS["DiT-S-256"].gemms()[:1]
    found = content() | {"results": [compare(gemms, Params(), name="product", clock=1e9)]}
    write_perf_page(tmp_path / "p.html", found)
    text = (tmp_path / "p.html").read_text()
    assert text.count("<svg ") == 2 + 1
    assert "<tr><th>product</th><th>MAC</th>" in text
    head, row = (line.split("</tr>")[0] for line in text.split("<tr>")[1:3])
    assert head.count("<th>") == row.count("<td>")
    for word in ("model<", "step", "an image", "per image", "exponentials"):
        assert word not in text


def test_design_keeps_its_name(tmp_path: Path) -> None:
    found = content("DiT-S-256")
    found["design"]["name"] = "Designs/My.toml with rows=4"
    write_perf_page(tmp_path / "p.html", found)
    assert "<b>Designs/My.toml with rows=4</b>: 4 x 4 engines" in (tmp_path / "p.html").read_text()


def test_small_numbers_keep_their_digits(tmp_path: Path) -> None:
    gemm = Gemm(name="product", layer="product", m=8, n=8, k=16, segments=Mix().linear(16))
    result = compare([gemm], Params(), name="product", clock=1e9)
    write_perf_page(tmp_path / "p.html", content() | {"results": [result]})
    text = (tmp_path / "p.html").read_text()
    ours, gpu = result["ours"], result["gpu"]["assumed"]
    for cell in (
        "1,024",
        f"{ours['cycles']}",
        f"{1e3 * ours['seconds_per_step']:.3g} ms",
        f"{sum(ours['bytes'].values())} bytes",
        f"{1024 / sum(ours['bytes'].values()):.1f}",
        *(f"{found['speedup']:.3g}" for found in gpu.values()),
    ):
        assert f"<td>{cell}</td>" in text
    assert "<td>0.00</td>" not in text
    assert "Its roofline rules out product at 40%, 50%, 60%." in text
