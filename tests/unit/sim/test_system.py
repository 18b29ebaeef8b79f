"""The bench of the whole accelerator, around a stand-in that only copies memory."""

import itertools
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mixdit_hw.emit
from mixdit_hw import cli, progress
from mixdit_hw.errors import CheckError, DeviceError, JobFault, ToolError
from mixdit_hw.host import COUNTERS, OFFSETS, Accelerator, Arena
from mixdit_hw.job import Fault, Job, Segment
from mixdit_hw.params import Params
from mixdit_hw.presets import PRESETS
from mixdit_hw.sim.cocotb_system import error_at, pauses, runs_of
from mixdit_hw.sim.memory import Memory
from mixdit_hw.sim.system import DECERR, SLVERR, BusStalls, System, simulate_jobs, simulate_program
from mixdit_hw.sim.system_bench import bus_ports
from tests.support.errors import raises_exactly
from tests.support.simulation import BUILD_DIR, VERILOG_ENGINES, need_engine
from tests.support.stub import burst_bytes, stub_verilog

TINY = PRESETS["tiny"]
BASE = 1 << 20


def system_of(engine: str, params: Params = TINY, *, defect: str = "", **options: Any) -> System:
    need_engine(engine)
    design = stub_verilog(params, defect=defect)
    known: dict[str, Any] = {"limit": 20_000, "timeout": 300} | options
    return System(engine=engine, params=params, design=design, build_dir=BUILD_DIR, **known)


class Copies:
    """A memory with jobs that copy one part of it after the other."""

    def __init__(self, params: Params = TINY, *, jobs: int = 1, bursts: int = 4) -> None:
        self.memory = Memory(np.random.default_rng(3).bytes(1 << 17), BASE)
        self.size = bursts * burst_bytes(params)
        self.addresses, self.places = [], []
        for i in range(jobs):
            a, c = BASE + 0x4000 + 2 * i * self.size, BASE + 0x4000 + (2 * i + 1) * self.size
            job = Job(
                m=bursts,
                n=1,
                k=1,
                a_address=a,
                w_address=0,
                c_address=c,
                a_stride=0,
                w_stride=0,
                c_stride=0,
                segments=(Segment(blocks=1),),
                interrupt=bool(i % 2),
                tag=100 + i,
            )
            address = BASE + 0x80 * i
            self.memory.write_memory(address, job.pack())
            self.addresses.append(address)
            self.places.append((a, c))

    def expected(self) -> bytes:
        memory = self.memory.copy()
        for a, c in self.places:
            memory.write_memory(c, memory.read_memory(a, self.size))
        return bytes(memory.data)


@pytest.mark.parametrize(
    ("engine", "width", "stall", "latency", "queued"),
    [
        ("verilator", 128, 0.0, 0, False),
        ("verilator", 128, 0.4, 7, True),
        ("verilator", 512, 0.7, 40, True),
        ("icarus", 128, 0.4, 0, True),
        ("icarus", 64, 0.0, 30, False),
    ],
)
def test_jobs_and_memory(engine: str, width: int, stall: float, latency: int, queued: bool) -> None:
    params = TINY.replace(axi_width=width)
    copies = Copies(params, jobs=7)
    expected = copies.expected()
    system = system_of(engine, params, stalls=BusStalls.all(stall), latency=latency, seed=5)
    run = simulate_jobs(system, copies.memory, copies.addresses, queued=queued)
    assert copies.memory.data == expected
    assert run.faults == [Fault.NONE] * 7
    assert [set(c) for c in run.counters] == [set(COUNTERS)] * (1 if queued else 7)
    assert run.cycles > 7 * 4 * 16


def test_latency_is_that_of_a_pipeline() -> None:
    """Each burst waits by itself, so that those under way hide each other's latency."""
    cycles = {}
    for latency, bursts in itertools.product((0, 200), (1, 32)):
        copies = Copies(bursts=bursts)
        cycles[latency, bursts] = simulate_jobs(
            system_of("verilator", latency=latency), copies.memory, copies.addresses
        ).cycles
    assert 390 <= cycles[200, 1] - cycles[0, 1] <= 400  # the descriptor's and the burst's
    assert cycles[200, 32] - cycles[0, 32] < 16 * 200


def test_same_seed_same_cycles() -> None:
    cycles = []
    for seed in (3, 3, 4):
        copies = Copies()
        system = system_of("verilator", stalls=BusStalls.all(0.5), seed=seed)
        cycles.append(simulate_jobs(system, copies.memory, copies.addresses).cycles)
    assert cycles[0] == cycles[1] != cycles[2]


@pytest.mark.parametrize("queued", [False, True])
def test_faults_of_the_bus(queued: bool) -> None:
    """Errors in chosen places, of both kinds, and DECERR where there is no memory; the jobs before them are done."""
    for kind, answer, fault in (
        ("read_errors", SLVERR, Fault.READ_SLAVE),
        ("read_errors", DECERR, Fault.READ_DECODE),
        ("write_errors", SLVERR, Fault.WRITE_SLAVE),
        ("write_errors", DECERR, Fault.WRITE_DECODE),
    ):
        copies = Copies(jobs=3)
        place = copies.places[1][kind == "write_errors"] + copies.size - 1
        errors: dict[str, Any] = {kind: ((place & ~15, place, answer),)}
        system = system_of("verilator", **errors)
        assert simulate_jobs(system, copies.memory, copies.addresses, queued=queued).faults == [Fault.NONE, fault]
    copies = Copies()
    copies.memory.data = copies.memory.data[: copies.places[0][1] - BASE + 64]
    run = simulate_jobs(system_of("verilator"), copies.memory, copies.addresses, queued=queued)
    assert run.faults == [Fault.WRITE_DECODE]


@pytest.mark.parametrize("engine", ["icarus"])
@pytest.mark.parametrize(
    ("defect", "text"),
    [
        ("unstable", "it changed or took back what it had offered on m_axi_w"),
        ("last", "wlast was wrong in beat 15 of the 16 at 0x104400"),
        ("long", "it asked for a burst that is not allowed on m_axi_ar"),
    ],
)
def test_broken_buses(engine: str, defect: str, text: str) -> None:
    copies = Copies(TINY.replace(axi_width=512) if defect == "long" else TINY)
    params = TINY.replace(axi_width=512 if defect == "long" else 128)
    if defect == "long":  # 2 KiB each, from the last KiB of a page on
        job = Job.unpack(copies.memory.read_memory(BASE, 128))
        copies.memory.write_memory(BASE, Job(**{**vars(job), "a_address": BASE + 0x4C00}).pack())
    system = system_of(engine, params, defect=defect, stalls=BusStalls(w=0.5))
    with pytest.raises(CheckError, match="the accelerator broke the rules of its buses: ") as caught:
        simulate_jobs(system, copies.memory, copies.addresses)
    assert text in str(caught.value)


def test_a_hang_ends() -> None:
    copies = Copies()
    system = system_of("icarus", defect="hang", limit=3000)
    with raises_exactly(CheckError, "the accelerator was not done after 3000 cycles"):
        simulate_jobs(system, copies.memory, copies.addresses)
    copies = Copies()
    with pytest.raises(CheckError, match=r"the read of register 0x[0-9a-f]+ had no answer after 30 cycles"):
        simulate_jobs(system_of("icarus", defect="hang", limit=30), copies.memory, copies.addresses)


def drive(transport, arguments: list[int]) -> list[int]:
    """A host's program."""
    accelerator = Accelerator(transport, Arena(transport, BASE, 0x1000), clock=transport.clock)
    job = Job.unpack(transport.read_memory(arguments[0], 128))
    accelerator.run(job)
    seconds = transport.clock()
    assert not transport.wait_interrupt(0.001)
    assert transport.clock() - seconds == pytest.approx(0.001, rel=0.01)
    accelerator.submit(job)
    with pytest.raises(DeviceError, match="0 of 1 jobs are done"):
        accelerator.wait(0)
    accelerator.wait()
    return [transport.read32(OFFSETS["JOB_TAG"]), transport.read32(OFFSETS["DONE_COUNT"])]


def fail(transport, arguments) -> None:
    """A program that ends with a fault, or another error."""
    if arguments == "fault":
        raise JobFault("MASK", 7, 3)
    raise ZeroDivisionError("no reason")


def test_programs() -> None:
    copies = Copies()
    expected = copies.expected()
    copies.memory.write_memory(BASE + 0x2000, copies.memory.read_memory(BASE, 128))
    run = simulate_program(system_of("verilator"), copies.memory, drive, [BASE + 0x2000])
    assert run.result == [100, 2]
    assert copies.memory.data[0x4000:] == expected[0x4000:]
    with raises_exactly(JobFault, "job 3 stopped with fault 7, MASK"):
        simulate_program(system_of("verilator"), copies.memory, fail, "fault")
    with pytest.raises(ToolError, match="the program failed: ZeroDivisionError: no reason"):
        simulate_program(system_of("verilator"), copies.memory, fail)


@pytest.mark.parametrize("engine", VERILOG_ENGINES)
def test_command(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """``mixdit gemm --system`` runs the product as a job; with W the identity, a copy is right."""
    need_engine(engine)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mixdit_hw.emit, "emit_verilog", lambda params, unit: stub_verilog(params))
    x = np.random.default_rng(1).integers(0, 2, (4, 64)).astype(np.float32)
    command = ["gemm", "A.npy", "W.npy", "-o", "C.npy", "--build-dir", str(BUILD_DIR), "--preset", "tiny", "--system"]
    np.save("A.npy", x)
    np.save("W.npy", np.eye(64, dtype=np.float32))
    assert cli.run([*command, "--engine", engine]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1] == f"design      preset tiny: 2 x 2 engines, T = 4, 128-bit bus, on {engine}"
    assert [line.split()[0] for line in out] == ["C", "design", "buffers", "cycles", "bus", "equal", "wrote"]
    assert np.array_equal(np.load("C.npy"), x)
    np.save("W.npy", 2 * np.eye(64, dtype=np.float32))
    assert cli.run([*command, "--engine", engine]) == 1
    assert "in hardware and" in capsys.readouterr().err
    for args, text in (
        (["--engine", "golden"], "--system needs --engine verilator or icarus, not golden"),
        (["--rounding", "truncate"], "--system needs --rounding nearest-even, as the design (preset tiny) has it"),
    ):
        assert cli.run([*command, *args]) == 2
        assert text in capsys.readouterr().err


@pytest.mark.parametrize("terminal", [True, False])
def test_command_tells_what_it_builds(terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """On a terminal, and nothing elsewhere."""
    need_engine("icarus")
    told: list[str] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mixdit_hw.emit, "emit_verilog", lambda params, unit: stub_verilog(params))
    for name in ("A.npy", "W.npy"):
        np.save(name, np.eye(64, dtype=np.float32))
    command = ["gemm", "A.npy", "W.npy", "-o", "C.npy", "--build-dir", str(BUILD_DIR), "--preset", "tiny", "--system"]
    if terminal:
        monkeypatch.setattr(progress, "line", lambda: nullcontext(told.append))
    assert cli.run([*command, "--engine", "icarus"]) == 0
    steps = ["emitting the accelerator's Verilog", "building the simulation on icarus", "simulating on icarus"]
    assert told == (steps if terminal else [])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("outliers", "buffers"),
    [
        (31, "A is read once, W 8 times; reading is hidden"),
        (
            32,
            "A is read 192 times, W 8 times, since there are more than 31 outlier channels; bound by the bus",
        ),
    ],
)
def test_command_with_many_outliers(outliers: int, buffers: str, tmp_path: Path, monkeypatch, capsys) -> None:
    need_engine("icarus")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mixdit_hw.emit, "emit_verilog", lambda params, unit: stub_verilog(params))
    for name in ("A.npy", "W.npy"):
        np.save(name, np.eye(64, dtype=np.float32))
    command = ["gemm", "A.npy", "W.npy", "-o", "C.npy", "--build-dir", str(BUILD_DIR), "--preset", "tiny", "--system"]
    more = ["--set", "outlier_depth=1", "--outliers", str(outliers), "--engine", "icarus"]
    assert cli.run([*command, *more]) == 0
    assert f"buffers     {buffers}" in capsys.readouterr().out.splitlines()


def test_ports_of_the_bench() -> None:
    for params in (TINY.replace(axi_width=64, address_bits=32), TINY.replace(axi_width=512, address_bits=64)):
        names = [name for name, _, _ in bus_ports(params)]
        assert len(set(names)) == len(names) == 52
        assert {name: bits for name, bits, _ in bus_ports(params)}["m_axi_wstrb"] == params.axi_width // 8


def test_small_parts() -> None:
    assert list(runs_of(0)) == []
    for strobe in np.random.default_rng(1).integers(0, 1 << 20, 200).tolist():
        assert sum(((1 << c) - 1) << first for first, c in runs_of(strobe)) == strobe
    assert error_at([[4, 7, 2], [0, 9, 3]], 7) == SLVERR
    assert error_at([[4, 7, 2], [0, 9, 3]], 8) == DECERR
    assert error_at([[4, 7, 2]], 8) == 0
    share = np.mean(list(itertools.islice(pauses(1, "r", 0.3), 20_000)))
    assert 0.25 < share < 0.35


def test_arguments() -> None:
    with raises_exactly(ValueError, "r must be 0 to 0.99, not 1"):
        BusStalls(r=1)
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"engine": "amaranth"}, "engine must be one of verilator, icarus, not 'amaranth'"),
        ({"seed": 0}, "seed must be 1 to 16777216, not 0"),
    )
    for options, text in cases:
        known: dict[str, Any] = {"engine": "icarus", "params": TINY, "design": "", "build_dir": BUILD_DIR} | options
        with raises_exactly(ValueError, text):
            System(**known)
