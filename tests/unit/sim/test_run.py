"""GEMMs on the tiny design: exact with and without stalls, at a pace, and every fault is found and named."""

from pathlib import Path

import numpy as np
import pytest

import golden
from golden import MXTensor
from mixdit_hw.dot.timing import timing_of
from mixdit_hw.errors import CheckError, OutputError
from mixdit_hw.latency import core_latency
from mixdit_hw.presets import PRESETS
from mixdit_hw.sim.plan import Pace, Stalls
from mixdit_hw.sim.run import Simulator, simulate_gemm
from tests.support.broken import break_design
from tests.support.errors import raises_exactly
from tests.support.mx_data import assert_same_bits, random_tensor
from tests.support.simulation import BUILD_DIR, VERILOG_ENGINES, design_of, need_engine, simulator_of

TINY = PRESETS["tiny"]
STALLS = Stalls(a=0.3, w=0.3, cmd=0.5, c=0.6, seed=5)


def operands(seed: int = 1) -> tuple[MXTensor, MXTensor]:
    rng = np.random.default_rng(seed)
    a = random_tensor(rng, 11, ["mx6", "mx9", "mx4"], low=110, high=140)
    return a, random_tensor(rng, 5, ["mx9", "mx9", "mx6"], axis=0, low=110, high=140)


@pytest.mark.parametrize("engine", [*VERILOG_ENGINES, "amaranth"])
@pytest.mark.parametrize("stalls", [Stalls(), STALLS], ids=["streaming", "stalled"])
def test_tails_and_split_commands(engine: str, stalls: Stalls) -> None:
    a, w = operands()
    seen: list[tuple[int, int]] = []
    run = simulate_gemm(
        a, w, simulator_of(engine, TINY, stalls), max_command=2, progress=lambda n, total: seen.append((n, total))
    )
    assert_same_bits(run.result, golden.gemm(a, w))
    assert all(total == 2 * 3 * TINY.tile_beats for _, total in seen)
    # 6 tiles of 2, 4 and 1 passes, each step T cycles.
    assert run.counters["passes"] == 6 * (2 + 4 + 1)
    assert run.cycles > run.counters["cycles"] > run.counters["passes"] * TINY.interleave
    assert run.utilisation == 11 * 5 * 7 / (4 * run.cycles)


@pytest.mark.parametrize("pace", [Pace(), Pace(a=2.7, c=7.9), Pace(a=1.1, w=13.7)], ids=str)
def test_simulators_agree_on_cycles(pace: Pace) -> None:
    a, w = operands(2)
    runs = [simulate_gemm(a, w, simulator_of(engine, TINY, pace=pace)) for engine in (*VERILOG_ENGINES, "amaranth")]
    for run in runs:
        assert_same_bits(run.result, golden.gemm(a, w))
        assert (run.cycles, run.counters) == (runs[0].cycles, runs[0].counters)


@pytest.mark.parametrize("engine", VERILOG_ENGINES)
@pytest.mark.parametrize(("stream", "interval"), [("a", 7.3), ("w", 28.9), ("c", 17 / 4)])
def test_a_pace_is_kept_to_the_cycle(engine: str, stream: str, interval: float) -> None:
    """Beat k moves floor(k x) cycles after the first one, which does so in the second cycle or when it is there."""
    rng = np.random.default_rng(3)
    m_tiles, n_tiles, blocks = 1, 3, 2
    a = random_tensor(rng, m_tiles * TINY.tile_rows, ["mx6"] * blocks)
    w = random_tensor(rng, n_tiles * TINY.columns, ["mx6"] * blocks, axis=0)
    pace = Pace(**{stream: interval})
    run = simulate_gemm(a, w, simulator_of(engine, TINY, pace=pace))
    t, tiles = TINY.interleave, m_tiles * n_tiles
    latency = core_latency(TINY, timing_of(TINY.loop_latency).latency)
    beats = {"a": tiles * blocks * t, "w": tiles * blocks, "c": tiles * TINY.tile_beats}[stream]
    since_first = (beats - 1) * pace.interval(stream) // 256
    if stream == "c":
        decision = (blocks + 1) * t - 1  # of the first tile's last pass, in the last cycle of a step
        last = decision + latency + since_first
    else:
        decision = (1 + since_first + 1) // t * t + t - 1  # of the last pass, once the last beat is there
        last = decision + latency + TINY.tile_beats - 1
    assert run.cycles == last + 1


def broken(engine: str, fault: str) -> Simulator:
    need_engine(engine)
    design = break_design(design_of(TINY), TINY, fault)
    return Simulator(engine=engine, params=TINY, design=design, build_dir=BUILD_DIR, stalls=Stalls(c=0.5), timeout=300)


@pytest.mark.parametrize(
    ("engine", "fault", "text"),
    [
        ("icarus", "hang", "^the hardware hangs after [0-9]+ cycles, with beats a 4 of 72, "),
        ("icarus", "last", "^the hardware's results are out of order: c.bin must have last on the last beat of "),
        ("icarus", "unstable", "^the hardware changed a result before it was taken after [0-9]+ cycles, with beats a "),
        ("icarus", "unknown", "^the hardware gave a result with unknown bits after [0-9]+ cycles, with beats a "),
        (
            "icarus",
            "extra",
            "^the hardware took or gave a wrong number of beats after [0-9]+ cycles, with beats a 72 of 72",
        ),
        ("verilator", "hang", "^the hardware hangs after [0-9]+ cycles, with beats a 4 of 72, "),
    ],
)
def test_faults_of_the_hardware_are_found(engine: str, fault: str, text: str) -> None:
    a, w = operands()
    with pytest.raises(CheckError, match=text):
        simulate_gemm(a, w, broken(engine, fault))


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "sub"
    a, w = operands()
    simulator = Simulator(engine="amaranth", params=TINY, design=None, build_dir=folder)
    with raises_exactly(OutputError, f"cannot write in {str(folder)!r}: Not a directory"):
        simulate_gemm(a, w, simulator)


def test_simulator_arguments() -> None:
    with raises_exactly(ValueError, "engine must be one of verilator, icarus, amaranth, not 'golden'"):
        Simulator(engine="golden", params=TINY, design=None, build_dir=BUILD_DIR)
    with raises_exactly(ValueError, "design must be Verilog for verilator and icarus only, not for amaranth"):
        Simulator(engine="amaranth", params=TINY, design="module x; endmodule", build_dir=BUILD_DIR)
