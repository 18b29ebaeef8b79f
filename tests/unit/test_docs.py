"""What the documents say of parameters, ports and files is what there is."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import golden
from mixdit_hw.cli import run
from mixdit_hw.params import Params
from mixdit_hw.ports import flatten_ports
from mixdit_hw.presets import PRESETS
from mixdit_hw.tile.counters import STEP_EVENTS
from mixdit_hw.top import Core

ROOT = Path(__file__).parents[2]
DOCS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")])


def test_every_parameter_is_documented() -> None:
    text = (ROOT / "docs" / "parameters.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == {f.name for f in fields(Params)}
    for f in fields(Params):
        row = next(row for row in rows if f"`{f.name}`" in row.split("|")[1])
        default = "all" if f.name == "formats" else str(f.default)
        assert f"({default})" in row or f"`{default}` (default)" in row


def test_the_example_file_is_a_design() -> None:
    text = (ROOT / "docs" / "parameters.md").read_text()
    example = re.search(r"```toml\n(.*?)```", text, re.S)
    assert example is not None
    params = Params.from_toml(example[1])
    assert (params.rows, params.columns) == (8, 12)


def test_every_port_of_the_core_is_in_the_guide() -> None:
    text = (ROOT / "docs" / "integration.md").read_text()
    for port in flatten_ports(Core(PRESETS["tiny"])):
        stream, _, field = port.name.partition("_")
        names = {f"`{port.name}`"} if port.name in (*STEP_EVENTS, "cycles", "clear") else {f"`{stream}`", f"`{field}`"}
        assert all(name in text for name in names), port.name


@pytest.mark.parametrize("path", DOCS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        if not target.startswith(("http:", "https:")):
            assert (path.parent / target).exists(), target


def run_snippet(path: Path, **names: Any) -> dict[str, Any]:
    """Run the first Python snippet of a document; what it defines."""
    snippet = re.search(r"```python\n(.*?)```", path.read_text(), re.S)
    assert snippet is not None
    exec(compile(snippet[1], str(path), "exec"), names)
    return names


def test_snippet_of_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((8, 40), np.float32), rng.standard_normal((40, 5), np.float32)
    assert run_snippet(ROOT / "README.md", x=x, y=y)["c"].shape == (8, 5)
    assert float(capsys.readouterr().out.removesuffix(" dB\n")) > 20


def test_snippet_that_reads_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(2).standard_normal((3, 20), np.float32)
    np.save("X.npy", x)
    assert run(["quantize", "X.npy", "-o", "X.npz", "--format", "mx6"]) == 0
    found = run_snippet(ROOT / "docs" / "numerics.md")["x"]
    assert np.array_equal(found, golden.quantize(x, "mx6").dequantize())
