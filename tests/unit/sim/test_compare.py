"""A difference is located and explained."""

import numpy as np
import pytest

import golden
from mixdit_hw.errors import CheckError, OutputError, ToolError
from mixdit_hw.presets import PRESETS
from mixdit_hw.sim.compare import Difference, compare, explain, hardware_accumulators, require_equal, show_word
from mixdit_hw.sim.run import Simulator, simulate_gemm
from tests.support.broken import break_design
from tests.support.errors import raises_exactly
from tests.support.mx_data import random_tensor
from tests.support.simulation import BUILD_DIR, design_of, need_engine, simulator_of

TINY = PRESETS["tiny"]
FORMATS = ["mx6", "mx6", "mx4", "mx9", "mx6"]


def operands(seed: int, rows: int = 11, columns: int = 5):
    rng = np.random.default_rng(seed)
    a = random_tensor(rng, rows, FORMATS, low=120, high=130)
    return a, random_tensor(rng, columns, FORMATS, axis=0, low=120, high=130)


def test_equal_arrays_and_first_difference_in_row_major_order() -> None:
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    y = x.copy()
    assert compare(x, y) is None
    y[2, 0], y[1, 3] = -1, -2
    found = compare(x, y)
    assert found == Difference(row=1, column=3, hardware=0x40E00000, golden=0xC0000000, count=2)
    assert str(found) == "C[1, 3] is 40e00000 (7) in hardware and c0000000 (-2) in golden; 2 elements differ"


def test_zeros_of_different_sign_differ_and_equal_nans_do_not() -> None:
    x = np.array([[0.0, np.nan]], np.float32)
    y = np.array([[-0.0, np.nan]], np.float32)
    found = compare(x, y)
    assert found is not None
    assert (found.column, found.count) == (0, 1)


@pytest.mark.parametrize(("word", "text"), [(0x7FC00000, "7fc00000 (nan)"), (0xFF800000, "ff800000 (-inf)")])
def test_show_word(word: int, text: str) -> None:
    assert show_word(word) == text


def test_hardware_accumulators_are_goldens() -> None:
    """After every block, of an element in the last, partial tile, and for prefixes in any order."""
    a, w = operands(3)
    steps = golden.trace(a, w, 10, 4)
    for prefixes in (range(1, 6), [5, 2, 3]):
        found = hardware_accumulators(a, w, 10, 4, simulator_of("icarus", TINY), prefixes)
        assert found == [steps[n - 1].acc for n in prefixes]


def test_difference_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A design that takes the wrong sign in MX9 blocks fails first at block 3, and says so."""
    need_engine("icarus")
    design = break_design(design_of(TINY), TINY, "sign")
    simulator = Simulator(engine="icarus", params=TINY, design=design, build_dir=BUILD_DIR, timeout=300)
    a, w = operands(4)
    difference = compare(simulate_gemm(a, w, simulator).result, golden.gemm(a, w))
    assert difference is not None
    monkeypatch.setattr("mixdit_hw.sim.compare._BATCH", 2)  # the fault is found in the second batch
    lines = explain(a, w, difference, simulator)
    steps = golden.trace(a, w, difference.row, difference.column)
    assert len(lines) == 1 + len(FORMATS) + 1
    assert lines[-1] == "block 3 is the first after which the accumulators differ"
    for k in range(3):
        assert lines[1 + k].endswith(show_word(steps[k].acc))
        assert lines[1 + k].split()[:4] == [str(k), FORMATS[k], FORMATS[k], str(steps[k].s)]
    assert lines[4].endswith(" <")
    assert show_word(steps[3].p) in lines[4]
    assert lines[5].endswith(" -")  # not run: the fault was already found


def test_difference_that_does_not_come_back() -> None:
    a, w = operands(5)
    claimed = Difference(row=2, column=1, hardware=0, golden=1, count=1)
    lines = explain(a, w, claimed, simulator_of("icarus", TINY))
    assert lines[-1] == "when its tile runs alone, the hardware agrees with golden after every block"
    assert not any(line.endswith("<") for line in lines)


AMARANTH = Simulator(engine="amaranth", params=TINY, design=None, build_dir=BUILD_DIR)
DIFFERENT = "C[1, 2] is bf800000 (-1) in hardware and 3f800000 (1) in golden; 1 elements differ"


def different_results() -> tuple[np.ndarray, np.ndarray]:
    expected = np.ones((11, 5), np.float32)
    hardware = expected.copy()
    hardware[1, 2] = -1
    return hardware, expected


def test_equal_elements_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    expected = different_results()[1]
    assert require_equal(*operands(6), expected, expected, AMARANTH) == 55
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("error", [ToolError("killed"), OutputError("full"), CheckError("hangs")], ids=repr)
def test_tool_that_fails_hides_no_difference(monkeypatch, capsys, error: Exception) -> None:
    """Golden's side is shown alone."""

    def fail(*args: object) -> list[int]:
        raise error

    monkeypatch.setattr("mixdit_hw.sim.compare.hardware_accumulators", fail)
    with raises_exactly(CheckError, f"layer: {DIFFERENT}"):
        require_equal(*operands(6), *different_results(), AMARANTH, what="layer")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[1].endswith(" -")
    assert err.splitlines()[-1] == f"when its tile runs alone: {error}"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "no explanation: MemoryError"),
        (KeyboardInterrupt(), "no explanation: KeyboardInterrupt"),
        (ValueError("two\nlines"), "no explanation: ValueError: two lines"),
    ],
    ids=["memory", "interrupt", "internal"],
)
def test_no_explanation_hides_no_difference(monkeypatch, capsys, error: BaseException, line: str) -> None:
    def fail(*args: object) -> list[str]:
        raise error

    monkeypatch.setattr("mixdit_hw.sim.compare.explain", fail)
    with raises_exactly(CheckError, DIFFERENT):
        require_equal(*operands(6), *different_results(), AMARANTH)
    assert capsys.readouterr() == ("", f"{line}\n")
