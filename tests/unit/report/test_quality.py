"""Text, Markdown and page of ``mixdit quality``, from figures by hand."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import quality_table
from mixdit_hw.report.quality import conclusion, quality_lines, quality_markdown, rows
from mixdit_hw.report.quality_page import write_quality_page


def entry(name: str, verdict: str, cycles: int | None, distance: float) -> dict[str, Any]:
    return {
        "name": name,
        "about": f"about {name}",
        "cycles": cycles,
        "bits": 6.0,
        "outliers": 0.05,
        "distance": {"value": 1.5, "margin": 0.25},
        "accuracy": {"value": 0.995, "margin": 0.004},
        "sqnr": {"value": 25.25, "margin": 0.5},
        "from_float32": {
            "value": distance,
            "margin": 0.01,
            "p": 0.001,
            "threshold": 0.019,
            "detectable": 0.02,
            "p_adjusted": 0.004,
        },
        "distance_change": {"value": -0.125, "margin": 0.0625, "p": 0.1, "detectable": 0.1},
        "accuracy_change": {"value": 0.0, "margin": 0.0, "p": 1.0, "detectable": 0.01},
        "layers": {
            "blocks.0.mlp.fc1": {"value": 30.0, "margin": 1.0},
            "blocks.1.attn.qk.0": {"value": 20.0, "margin": 1.0},
            "blocks.1.attn.av.0": None,
        },
        "verdict": verdict,
        "other_noise": {
            "value": 0.125,
            "margin": 0.0625,
            "p": 0.2,
            "threshold": 0.5,
            "detectable": 0.6 + distance,
            "p_adjusted": 0.75,
        },
        "verdict_other_noise": verdict,
    }


def result(control: str = "told apart") -> dict[str, Any]:
    base = {
        k: v
        for k, v in entry("float32", "", None, 0).items()
        if k in ("name", "about", "cycles", "distance", "accuracy")
    }
    sees = control == "told apart"
    return {
        "command": "mixdit quality",
        "checkpoint": {"file": "digits.safetensors", "sha256": "0" * 64},
        "schedule": {"name": "cosine", "steps": 1000},
        "sampling": {"samples": 200, "seed": 0, "steps": 16, "guidance": 2.0, "eta": 0.0},
        "design": {"name": "preset small"},
        "features": "some features",
        "reference": "real digits",
        "classifier_accuracy": "0.97",
        "control": "mx4",
        "sees": sees,
        "sees_other_noise": sees,
        "best_other_noise": "mix" if sees else None,
        "candidates": [
            base | {"bits": 32.0, "outliers": None},
            entry("mx9", "not told apart" if sees else "undecided", 4000, 0.001),
            entry("int8", "not told apart" if sees else "undecided", None, 0.002),
            entry("mx4", control, 1000, 3.0),
            entry("mix", "not told apart" if sees else "undecided", 1500, 0.015),
        ],
        "best": "mix" if sees else None,
    }


def test_the_document_has_the_committed_result() -> None:
    docs = Path(__file__).parents[3] / "docs"
    content = json.loads((docs / "quality.json").read_text())
    text = (docs / "quality.md").read_text()
    assert quality_table.replace_table(text, quality_table.table_of(content)) == text
    assert content["sampling"]["samples"] >= 1000
    assert content["sees"]
    with pytest.raises(ValueError, match="no <!-- quality"):
        quality_table.replace_table("nothing", "")


def test_rows_by_cost():
    heading, *body = rows(result())
    assert [row[0] for row in body] == ["float32", "mx4", "mix", "mx9", "int8"]
    mix = dict(zip(heading, body[2], strict=True))
    assert mix == {
        "precision": "mix",
        "cycles a step": "1,500",
        "bits": "6.0",
        "images, dB": "25.2 ± 0.5",
        "worst layer, dB": "20.0 (1.attn.qk.0)",
        "from float32": "0.0150 ± 0.0100",
        "detectable": "0.0200",
        "p": "0.004",
        "verdict": "not told apart",
        "other noise": "0.125 ± 0.062",
        "p, other noise": "0.750",
        "verdict, other noise": "not told apart",
        "from reference": "1.500",
        "change": "-0.125 ± 0.062",
        "detectable change": "0.100",
        "right": "99.5 ± 0.4 %",
    }
    exact = result()
    exact["candidates"][4] |= {"sqnr": None, "layers": {"blocks.1.attn.av.0": None}}
    assert rows(exact)[3][3:5] == ["exact", ""]
    assert body[0][heading.index("from reference")] == "1.500 ± 0.250"


def test_conclusions():
    assert conclusion(result()) == (
        "With 200 images each, from the same noise as float32's, told from it: mx4; not told: mx9, int8, mix. "
        "Of the latter the cheapest on this hardware is mix, 1,500 cycles a step. "
        "With 100 each, from other noise, told from it: mx4; not told: mx9, int8, mix. "
        "Of the latter the cheapest on this hardware is mix, 1,500 cycles a step."
    )
    undecided = conclusion(result("undecided"))
    assert undecided.count(": undecided, since mx4, which should be told from float32, was not.") == 2
    none = result()
    for candidate in none["candidates"][1:]:
        candidate["verdict"] = "told apart"
    none["best"] = None
    assert "told from it: mx9, int8, mx4, mix; that is all of them. With 100" in conclusion(none)
    none["candidates"][2]["verdict"] = "not told apart"  # int8
    assert "not told: int8. This hardware runs none of the latter." in conclusion(none)


def test_detectable_range():
    assert any("a distance of 0.60 to 3.60 would have" in line for line in quality_lines(result()))


def test_text_and_markdown():
    lines = list(quality_lines(result()))
    assert lines[-1] == conclusion(result())
    assert any(line.startswith("200 images of each precision (16 steps, guidance 2, eta 0)") for line in lines)
    markdown = quality_markdown(result())
    table = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(table) == 7
    assert len({line.count("|") for line in table}) == 1


@pytest.mark.parametrize("control", ["told apart", "undecided"])
def test_page(tmp_path, control):
    content = result(control)
    content["candidates"][3]["name"] = content["control"] = "mx4<script>"
    strips = {c["name"]: np.zeros((3, 2, 8, 8), np.float32) for c in content["candidates"]}
    write_quality_page(path := tmp_path / "r.html", content, strips)
    text = path.read_text()
    assert "<script>" not in text
    assert text.count("<svg") == 3
    assert not re.search(r"(src|href)=\"http", text)
    assert (' class="best"' in text) == (control == "told apart")


def test_page_without_a_classifier(tmp_path):
    content = result()
    for candidate in content["candidates"]:
        candidate["accuracy"] = None
    strips = {c["name"]: np.zeros((3, 1, 8, 8), np.float32) for c in content["candidates"]}
    write_quality_page(tmp_path / "r.html", content, strips)
    assert rows(content)[1][-1] == ""
