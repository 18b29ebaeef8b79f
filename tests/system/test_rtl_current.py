"""The Verilog kept in ``rtl/`` is what its parameters give; ``make rtl`` writes it anew."""

from pathlib import Path

import pytest

from mixdit_hw.emit import generate
from mixdit_hw.emit.__main__ import KEPT
from mixdit_hw.presets import get_preset

RTL = Path(__file__).parents[2] / "rtl"


@pytest.mark.parametrize("preset", KEPT)
def test_kept_files_are_current(preset: str, tmp_path: Path) -> None:
    made = [path for unit in KEPT[preset] for path in generate(get_preset(preset), tmp_path, unit)]
    fresh = {path.name: path.read_bytes() for path in made}
    kept = {path.name: path.read_bytes() for path in (RTL / preset).iterdir()}
    assert sorted(kept) == sorted(fresh)
    differing = [name for name in fresh if kept[name] != fresh[name]]
    assert differing == [], f"rtl/{preset} is out of date: run make rtl"


def test_nothing_else_is_kept() -> None:
    assert sorted(path.name for path in RTL.iterdir() if path.is_dir()) == sorted(KEPT)
