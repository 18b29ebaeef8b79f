"""What the demo says of itself; tests/system/test_demo.py runs it."""

import pytest

from mixdit_hw.commands.demo import describe_job, simulated, step
from mixdit_hw.report.hardware import PARTS, JobRun


@pytest.mark.parametrize(
    ("engine", "text"),
    [
        ("verilator", "the emitted Verilog on verilator"),
        ("icarus", "the emitted Verilog on icarus"),
        ("amaranth", "the Amaranth source in Amaranth's simulator"),
    ],
)
def test_what_is_simulated(engine: str, text: str) -> None:
    assert simulated(engine) == text


def test_step_ends_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with step("count") as current:
        current.advance(1, 2)
        current.said = "two"
    out, err = capsys.readouterr()
    assert out == "count" + 19 * " " + "two (0.0 s)\n"
    assert err == ""


def test_job_in_a_line() -> None:
    parts = dict.fromkeys(PARTS, 0) | {"passes": 60, "wait_w": 30, "ends": 10}
    job = JobRun(
        layer="blocks.1.mlp.fc1",
        m=2,
        k=3,
        n=4,
        outliers=1,
        sqnr=30.0,
        elements=8,
        equal=8,
        cycles=100,
        parts=parts,
        read_beats=5,
        write_beats=2000,
        read_bytes=80,
        write_bytes=32000,
        read_wait=1,
        write_wait=2,
    )
    assert job.busy == 0.6
    assert describe_job(job) == (
        "2x3x4: 100 cycles: engines busy 60.0%, wait for W 30.0%, start and end 10.0%; "
        "80 bytes read in 5 beats, 32,000 written in 2,000"
    )
