"""The bench for emitted units sees what is missing, too much or wrong."""

from dataclasses import replace
from pathlib import Path

import pytest

from mixdit_hw.emit.verilog import Design, build_design
from tests.support.emitted import EmittedUnit
from tests.support.simulation import need_engine
from tests.support.units import Toy

BEATS = [k << 32 | 0x04030201 for k in range(4)]  # four bytes, and which one to pick


def toy(folder: Path, design: Design | None = None) -> EmittedUnit:
    need_engine("icarus")
    return EmittedUnit("icarus", design or build_design(Toy()), folder)


def test_beats_and_flags(tmp_path: Path) -> None:
    played = toy(tmp_path).play({"a": BEATS}, {"c": 4}, idle=64, stall=64, seed=1)
    assert [beat >> 64 for beat in played.beats["c"]] == [1, 2, 3, 4]
    assert played.flags == {"busy": 0}


def test_a_beat_that_does_not_come_is_told(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="'hung': 1"):
        toy(tmp_path).play({"a": BEATS}, {"c": 5}, idle=0, stall=0, seed=1)


def test_a_beat_too_many_is_recorded(tmp_path: Path) -> None:
    played = toy(tmp_path).play({"a": BEATS}, {"c": 3}, idle=0, stall=0, seed=1)
    assert len(played.beats["c"]) == 4


def test_undefined_bits_are_told(tmp_path: Path) -> None:
    design = build_design(Toy())
    pick = design.modules["mixdit_pick"]
    broken = replace(
        design, modules=design.modules | {"mixdit_pick": pick.replace("endmodule", "assign o = 8'hx;\nendmodule")}
    )
    with pytest.raises(AssertionError, match="'unknown': 1"):
        toy(tmp_path, broken).play({"a": BEATS}, {"c": 4}, idle=0, stall=0, seed=1)
