"""What the documents say of parameters, ports and files is what there is."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

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
