"""``mixdit gemm`` and ``mixdit quantize``: results, warnings, and what is said about bad input."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import golden
from golden.policy import MXGemm, PrecisionPolicy
from mixdit_hw import cli
from mixdit_hw.errors import ToolError
from mixdit_hw.files import read_npz
from mixdit_hw.presets import PRESETS
from tests.support.broken import break_design
from tests.support.matrices import random_matrix
from tests.support.mx_data import assert_same_bits
from tests.support.simulation import BUILD_DIR, VERILOG_ENGINES, design_of, need_engine

ENGINES = (*VERILOG_ENGINES, "amaranth")


class Data:
    """A folder with A.npy (13 x 40) and W.npy (40 x 5), and a way to run commands in it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        rng = np.random.default_rng(1)
        self.folder, self.capsys = folder, capsys
        self.a, self.w = random_matrix(rng, (13, 40), "gaussian"), random_matrix(rng, (40, 5), "gaussian")
        self.a[:, [3, 30]] *= 50
        np.save("A.npy", self.a)
        np.save("W.npy", self.w)

    def run(self, *args: str) -> tuple[int, str, str]:
        """Exit status, stdout and stderr."""
        status = cli.run([*args])
        captured = self.capsys.readouterr()
        return status, captured.out, captured.err

    def gemm(self, *args: str) -> tuple[int, str, str]:
        """Run gemm on A.npy and W.npy."""
        return self.run("gemm", "A.npy", "W.npy", "-o", "C.npy", "--build-dir", str(BUILD_DIR), *args)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Data:
    monkeypatch.chdir(tmp_path)
    return Data(tmp_path, capsys)


def files() -> list[str]:
    """Names in the current folder."""
    return sorted(os.listdir())


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_is_exact(data: Data, engine: str) -> None:
    need_engine(engine)
    args = ["--outliers", "5%", "--outlier-w-format", "mx9", "--rounding", "truncate", "--subnormals", "exact"]
    status, out, err = data.gemm("--engine", engine, "--preset", "tiny", *args)
    assert (status, err) == (0, "")
    assert out.splitlines()[0] == (
        "C = A @ W   13 x 40 x 5; A 40 channels in mx6 + 2 channels in mx9; W 40 channels in mx6 + 2 channels in mx9"
    )
    assert out.splitlines()[1] == f"design      preset tiny: 2 x 2 engines, T = 4, on {engine}"
    assert out.splitlines()[2].startswith("cycles      ")
    assert out.splitlines()[3] == "equal       65 of 65 elements, bit for bit, to golden"
    assert out.splitlines()[4] == "wrote       C.npy"
    options = {"rounding": "truncate", "subnormals": "exact"}
    a = golden.split_outliers(data.a, [3, 30], "mx6", "mx9", axis=1, **options)
    w = golden.repeat_outliers(data.w, [3, 30], "mx6", "mx9", axis=0, **options)
    assert_same_bits(np.load("C.npy"), golden.gemm(a, w))
    assert files() == ["A.npy", "C.npy", "W.npy"]


def test_golden_alone_and_default_formats(data: Data) -> None:
    assert data.gemm("--engine", "golden")[0] == 0
    assert_same_bits(np.load("C.npy"), golden.gemm(golden.quantize(data.a, "mx6"), golden.quantize(data.w, "mx6", 0)))
    assert data.gemm("--engine", "golden", "--a-format", "mx9", "--w-format", "mx4")[0] == 0
    assert_same_bits(np.load("C.npy"), golden.gemm(golden.quantize(data.a, "mx9"), golden.quantize(data.w, "mx4", 0)))


LAYER = "blocks.0.mlp.fc1"
BY_POLICY = ("--policy", "p.json", "--layer", LAYER)


def write_policy(**changes: Any) -> PrecisionPolicy:
    """A policy, also in p.json; the outliers of `LAYER` are not A's largest channels."""
    settings = {
        "inlier_format": "mx4",
        "outlier_weight_format": "mx9",
        "outliers": {LAYER: (3, 7, 39)},
        "heads": {"blocks.0.attn": (1,)},
        "head_v_format": "mx6",
    }
    policy = PrecisionPolicy(**settings | changes)
    Path("p.json").write_text(policy.to_json())
    return policy


@pytest.mark.parametrize("engine", ["golden", *ENGINES])
@pytest.mark.parametrize("order", ["in-place", "gathered"])
def test_policy_on_every_engine(data: Data, engine: str, order: str) -> None:
    need_engine(engine)
    policy = write_policy(order=order, rounding="truncate", nonfinite="saturate")
    data.a[2, 5] = np.inf
    np.save("A.npy", data.a)
    status, out, err = data.gemm("--engine", engine, "--preset", "tiny", *BY_POLICY)
    assert (status, err) == (0, "")
    k = 40 if order == "in-place" else 37
    a, w = (f"{k} channels in {fmt} + 3 channels in mx9" for fmt in ("mx4", "mx6"))
    assert out.splitlines()[:2] == [
        f"policy      p.json: {LAYER}",
        f"C = A @ W   13 x 40 x 5; A {a}; W {w}",
    ]
    assert_same_bits(np.load("C.npy"), MXGemm(policy)(LAYER, data.a, data.w))


@pytest.mark.parametrize("engine", VERILOG_ENGINES)
@pytest.mark.parametrize("layer", [LAYER, "blocks.0.attn.av.1", "blocks.0.attn.qk.0"])
def test_policy_in_the_system(data: Data, engine: str, layer: str) -> None:
    need_engine(engine)
    policy = write_policy()
    status, out, err = data.gemm("--system", "--engine", engine, "--preset", "tiny", *BY_POLICY[:3], layer)
    assert (status, err) == (0, "")
    assert "equal       65 of 65 elements, bit for bit, to golden" in out.splitlines()
    assert_same_bits(np.load("C.npy"), MXGemm(policy)(layer, data.a, data.w))


def test_more_outliers_than_go_in_one_pass_are_told(data: Data) -> None:
    args = ("--engine", "icarus", "--system", "--preset", "tiny", "--set", "outlier_depth=1", "--outliers")
    assert data.gemm(*args, "31")[::2] == (0, "")
    status, out, err = data.gemm(*args, "32")
    assert status == 0, err
    reads = "A is read 15 times"
    assert reads in out
    design = "the design (preset tiny with outlier_depth=1)"
    assert err == f"warning: {design} takes at most 31 outlier channels in one pass; with more, {reads}\n"


def test_layer_without_outliers_is_told(data: Data) -> None:
    write_policy()
    args = ("--engine", "golden", "--policy", "p.json", "--layer")
    assert data.gemm(*args, "blocks.0.mlp.fc2")[::2] == (0, "warning: p.json names no outliers of blocks.0.mlp.fc2\n")
    assert data.gemm(*args, "blocks.0.attn.qk.0")[::2] == (0, "")
    write_policy(outliers={})
    assert data.gemm(*args, "blocks.0.mlp.fc2")[::2] == (0, "")


@pytest.mark.parametrize(
    ("changes", "args", "line"),
    [
        ({}, ["--policy", "p.json"], "--policy needs --layer"),
        ({}, ["--layer", LAYER], "--layer needs --policy"),
        ({}, [*BY_POLICY, "--a-format", "mx6"], "--policy and --a-format exclude each other"),
        ({}, [*BY_POLICY, "--w-format", "mx6"], "--policy and --w-format exclude each other"),
        ({}, [*BY_POLICY, "--outliers", "1"], "--policy and --outliers exclude each other"),
        (
            {},
            [*BY_POLICY, "--outliers", "1", "--outlier-w-format", "mx9"],
            "--policy and --outliers exclude each other",
        ),
        ({}, [*BY_POLICY, "--rounding", "truncate"], "--policy and --rounding exclude each other"),
        (
            {},
            ["--policy", "p.json", "--layer", "x_embedder.proj"],
            "--layer must not be exempt in p.json, as x_embedder.proj is, which stays float32",
        ),
        ({"outliers": {LAYER: [40]}}, BY_POLICY, f"p.json: outliers of '{LAYER}' must be 0 to 39, not 40"),
        (
            {},
            [*BY_POLICY, "--set", "formats=mx6,mx4"],
            f"p.json: mx9 of {LAYER} needs mx9, but the design (preset small with formats=mx6,mx4) has only mx6, mx4",
        ),
        ({}, ["--policy", "no.json", "--layer", LAYER], "no.json: cannot be read: No such file or directory"),
        ({}, [*BY_POLICY, "-o", "p.json", "--engine", "golden"], "--output must not be the input p.json"),
        (
            {"order": "gathered"},
            [*BY_POLICY, "--system", "--preset", "tiny"],
            "--system converts A in place, not gathered",
        ),
        (
            {"rounding": "truncate"},
            [*BY_POLICY, "--system", "--preset", "tiny"],
            "--system needs p.json with rounding nearest-even, as the design (preset tiny) has it",
        ),
    ],
)
def test_wrong_use_of_a_policy(data: Data, changes: dict, args: Sequence[str], line: str) -> None:
    write_policy(**changes)
    assert data.gemm(*args) == (2, "", f"mixdit gemm: {line}\n")
    assert files() == ["A.npy", "W.npy", "p.json"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[", "policy must be JSON: Expecting value: line 1 column 2 (char 1)"),
        ("{}", "format must be 'mixdit-policy-1', not None"),
        ('{"format": "mixdit-policy-1", "layer": 1}', "unknown policy field 'layer'; known are "),
    ],
)
def test_malformed_policy(data: Data, text: str, line: str) -> None:
    Path("p.json").write_text(text)
    status, out, err = data.gemm(*BY_POLICY)
    assert (status, out) == (2, "")
    assert err.startswith(f"mixdit gemm: p.json: {line}")
    assert err.count("\n") == 1


def test_nan_and_inf_are_data_with_one_warning(data: Data) -> None:
    need_engine("icarus")
    data.a[2, 5], data.a[4, 20], data.w[39, 4] = np.nan, np.inf, -np.inf
    np.save("A.npy", data.a)
    np.save("W.npy", data.w)
    status, _, err = data.gemm("--engine", "icarus", "--preset", "tiny")
    assert status == 0
    assert err == (
        "warning: NaN or Inf in A.npy (2 of 520 elements) and W.npy (1 of 200 elements): "
        "each makes its block of 16 a NaN block\n"
    )
    assert np.isnan(np.load("C.npy")).sum() == 2 * 5 + 13 - 2


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["--a-format", "mx5"], "Invalid value for '--a-format': 'mx5' is not one of 'mx9', 'mx6', 'mx4'."),
        (["--preset", "huge"], "Invalid value for '--preset': 'huge' is not one of 'tiny', 'small', 'edge', 'base'."),
        (
            ["--engine", "x"],
            "Invalid value for '--engine': 'x' is not one of 'golden', 'verilator', 'icarus', 'amaranth'.",
        ),
        (
            ["--rounding", "up"],
            "Invalid value for '--rounding': 'up' is not one of 'nearest-even', 'truncate', 'half-away'.",
        ),
        (
            ["--outliers", "x"],
            "Invalid value for '--outliers': must be a number of channels or a percentage such as 1.5%, not 'x'",
        ),
        (["--outliers", "41"], "--outliers must be at most the K=40 channels of A.npy, not 41"),
        (["--outlier-w-format", "mx9"], "--outlier-w-format needs --outliers"),
        (["--set", "formats=mx9"], "--a-format needs mx6, but the design (preset small with formats=mx9) has only mx9"),
        (
            ["--set", "formats=mx6", "--outliers", "2"],
            "--outliers needs mx9, but the design (preset small with formats=mx6) has only mx6",
        ),
        (["--set", "rows=200"], "--set rows=200: rows must be 1 to 128, not 200"),
        (["--nosuch"], "No such option '--nosuch'."),
        (["extra.npy"], "Got unexpected extra argument (extra.npy)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)  # fmt: skip
def test_wrong_usage(data: Data, args: list[str], line: str) -> None:
    assert data.gemm(*args) == (2, "", f"mixdit gemm: {line}\n")
    assert files() == ["A.npy", "W.npy"]


@pytest.mark.parametrize(
    ("name", "array", "line"),
    [
        ("A.npy", np.zeros((13, 40)), "A.npy: dtype must be float32, not float64"),
        ("W.npy", np.zeros((40, 5), np.int8), "W.npy: dtype must be float32, not int8"),
        ("A.npy", np.zeros(40, np.float32), "A.npy: must have 2 axes, not shape (40,)"),
        ("W.npy", np.zeros((1, 40, 5), np.float32), "W.npy: must have 2 axes, not shape (1, 40, 5)"),
        ("A.npy", np.zeros((0, 40), np.float32), "A.npy: must not be empty, but has shape (0, 40)"),
        ("A.npy", np.zeros((13, 0), np.float32), "A.npy: must not be empty, but has shape (13, 0)"),
        ("W.npy", np.zeros((39, 5), np.float32), "A.npy is 13 x K=40, but W.npy is K=39 x 5"),
    ],
)
def test_wrong_arrays(data: Data, name: str, array: np.ndarray, line: str) -> None:
    np.save(name, array)
    assert data.gemm() == (2, "", f"mixdit gemm: {line}\n")
    assert files() == ["A.npy", "W.npy"]


def test_missing_and_corrupt_files(data: Data) -> None:
    Path("W.npy").write_bytes(Path("W.npy").read_bytes()[:-1])
    assert data.gemm() == (2, "", "mixdit gemm: W.npy: must have 928 bytes for shape (40, 5), not 927\n")
    Path("W.npy").unlink()
    assert data.gemm() == (2, "", "mixdit gemm: W.npy: cannot be read: No such file or directory\n")
    assert data.run("gemm", "A.npy") == (2, "", "mixdit gemm: Missing argument 'W.npy'.\n")
    assert data.run("gemm", "A.npy", "A.npy") == (2, "", "mixdit gemm: Missing option '-o' / '--output'.\n")


def test_output_that_cannot_be_written(data: Data) -> None:
    status, out, err = data.gemm("-o", "no/C.npy")
    assert (status, out, err) == (3, "", "mixdit gemm: no/C.npy: cannot be written: No such file or directory\n")
    assert data.gemm("-o", ".") == (3, "", "mixdit gemm: .: cannot be written: not a regular file\n")
    assert files() == ["A.npy", "W.npy"]


@pytest.mark.parametrize(
    ("engine", "text"),
    [
        ("icarus", "iverilog not found: Icarus Verilog (Debian package 'iverilog') is missing; --engine verilator"),
        ("verilator", "make not found: make is missing; --engine icarus"),
    ],
)
def test_missing_tool(data: Data, monkeypatch: pytest.MonkeyPatch, engine: str, text: str) -> None:
    monkeypatch.setenv("PATH", str(data.folder))
    status, _, err = data.gemm("--engine", engine, "--preset", "tiny")
    assert (status, err) == (3, f"mixdit gemm: {text} or --engine amaranth can work without it\n")
    assert files() == ["A.npy", "W.npy"]


def test_build_folder_that_cannot_be_written(data: Data) -> None:
    need_engine("icarus")
    status, _, err = data.gemm("--engine", "icarus", "--preset", "tiny", "--build-dir", "A.npy")
    assert (status, err) == (3, "mixdit gemm: cannot write in 'A.npy': File exists\n")


def test_first_difference_is_shown(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hardware that is wrong in MX9 blocks: exit status 1, both words, the sums of both sides, and no output."""
    need_engine("icarus")
    tiny = PRESETS["tiny"]
    monkeypatch.setattr("mixdit_hw.emit.emit_verilog", lambda params: break_design(design_of(tiny), tiny, "sign"))
    status, _, err = data.gemm("--engine", "icarus", "--preset", "tiny", "--outliers", "2")
    lines = err.splitlines()
    assert status == 1
    assert lines[0].split() == ["block", "A", "W", "S", "P", "golden", "acc", "golden", "acc", "hardware"]
    assert lines[-3].endswith(" <")
    assert lines[-2] == "block 3 is the first after which the accumulators differ"
    assert lines[-1].startswith("mixdit gemm: C[0, 0] is ")
    a = golden.split_outliers(data.a, [3, 30], "mx6", "mx9", axis=1)
    w = golden.repeat_outliers(data.w, [3, 30], "mx6", axis=0)
    assert f" in hardware and {golden.gemm(a, w).view(np.uint32)[0, 0]:08x} (" in lines[-1]
    assert files() == ["A.npy", "W.npy"]


def test_difference_is_told_where_the_explanation_fails(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    need_engine("icarus")
    tiny = PRESETS["tiny"]
    monkeypatch.setattr("mixdit_hw.emit.emit_verilog", lambda params: break_design(design_of(tiny), tiny, "sign"))

    def fail(*args: object) -> None:
        raise ToolError("the icarus simulation was killed by SIGKILL")

    monkeypatch.setattr("mixdit_hw.sim.compare.hardware_accumulators", fail)
    status, _, err = data.gemm("--engine", "icarus", "--preset", "tiny", "--outliers", "2")
    lines = err.splitlines()
    assert status == 1
    assert lines[-2] == "when its tile runs alone: the icarus simulation was killed by SIGKILL"
    assert lines[-1].startswith("mixdit gemm: C[0, 0] is ")
    assert files() == ["A.npy", "W.npy"]


def heed_interrupts() -> None:
    """Undo what a shell does to its background commands, whose children ignore interrupts too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start_long_run(folder: Path, engine: str) -> tuple[subprocess.Popen[str], int]:
    """A gemm that would simulate for minutes, and the simulator's process number."""
    need_engine(engine)
    np.save(folder / "A.npy", np.ones((512, 8192), np.float32))
    np.save(folder / "W.npy", np.ones((8192, 64), np.float32))
    args = ["gemm", "A.npy", "W.npy", "-o", "C.npy", "--engine", engine, "--preset", "tiny"]
    command = [sys.executable, "-m", "mixdit_hw", *args, "--build-dir", str(BUILD_DIR)]
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            name = Path(f"/proc/{child}/cmdline").read_bytes()
            if b"+results=" in name:
                return process, int(child)
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"no simulation started: {process.communicate()}")


@pytest.mark.parametrize("engine", VERILOG_ENGINES)
def test_killed_simulator(tmp_path: Path, engine: str) -> None:
    process, simulator = start_long_run(tmp_path, engine)
    os.kill(simulator, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (3, f"mixdit gemm: the {engine} simulation was killed by SIGKILL\n")
    assert sorted(os.listdir(tmp_path)) == ["A.npy", "W.npy"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_command_stops_its_simulator(tmp_path: Path, number: signal.Signals) -> None:
    process, simulator = start_long_run(tmp_path, "verilator")
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.strip()) == (130, "mixdit gemm: interrupted")
    assert not Path(f"/proc/{simulator}").exists()
    assert sorted(os.listdir(tmp_path)) == ["A.npy", "W.npy"]


@pytest.mark.parametrize("fmt", ["mx9", "mx6", "mx4"])
def test_quantize_writes_what_unpack_reads(data: Data, fmt: str) -> None:
    options = ["--rounding", "half-away", "--subnormals", "exact", "--nonfinite", "saturate"]
    status, out, err = data.run("quantize", "W.npy", "-o", "W.npz", "--format", fmt, "--axis", "0", *options)
    assert (status, err) == (0, "")
    assert out.startswith(f"W.npz: MXTensor(shape=(40, 5), axis=0, segments=[40 {fmt}]), ")
    kinds = {"packed": "uint8", "shape": "int64", "axis": "int64"}
    found = read_npz(Path("W.npz"), kinds | dict.fromkeys(("format", "rounding", "subnormals", "nonfinite"), "str"))
    assert [str(found[n]) for n in ("format", "rounding", "subnormals", "nonfinite")] == [
        fmt, "half-away", "exact", "saturate"
    ]  # fmt: skip
    tensor = golden.unpack(found["packed"], fmt, found["shape"].tolist(), int(found["axis"]))
    expected = golden.quantize(data.w, fmt, 0, rounding="half-away", subnormals="exact", nonfinite="saturate")
    assert_same_bits(tensor.dequantize(), expected.dequantize())


@pytest.mark.parametrize(
    ("args", "status", "line"),
    [
        (
            ["--format", "mx9", "--axis", "2"],
            2,
            "Invalid value for '--axis': must be -2 to 1 for shape (13, 40), not 2",
        ),
        (["--format", "mx9", "--axis", "x"], 2, "Invalid value for '--axis': 'x' is not a valid integer."),
        (["--format", "fp8"], 2, "Invalid value for '--format': 'fp8' is not one of 'mx9', 'mx6', 'mx4'."),
        ([], 2, "Missing option '--format'. Choose from: mx9, mx6, mx4"),
        (["--format", "mx9", "-o", "no/X.npz"], 3, "no/X.npz: cannot be written: No such file or directory"),
    ],
)
def test_wrong_quantize(data: Data, args: list[str], status: int, line: str) -> None:
    assert data.run("quantize", "A.npy", "-o", "X.npz", *args) == (status, "", f"mixdit quantize: {line}\n")
    assert files() == ["A.npy", "W.npy"]


def test_quantize_warns_of_nan(data: Data) -> None:
    data.a[0, 0] = np.nan
    np.save("A.npy", data.a)
    status, _, err = data.run("quantize", "A.npy", "-o", "X.npz", "--format", "mx6")
    warning = "warning: NaN or Inf in A.npy (1 of 520 elements): each makes its block of 16 a NaN block\n"
    assert (status, err) == (0, warning)
    status, _, err = data.run("quantize", "A.npy", "-o", "X.npz", "--format", "mx6", "--nonfinite", "saturate")
    assert (status, err) == (0, "")


def test_missing_simulator_is_loud(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that needs a missing simulator is skipped with a reason that the summary repeats."""

    def missing() -> None:
        raise ToolError("iverilog not found")

    monkeypatch.setattr("tests.support.simulation.find_icarus", missing)
    with pytest.raises(pytest.skip.Exception, match=r"^NOT RUN: tests on icarus: iverilog not found$"):
        need_engine("icarus")


@pytest.mark.parametrize("name", ["rounding", "subnormals", "nonfinite"])
def test_conversion_is_the_designs_unless_told(data: Data, name: str) -> None:
    """--set rounding=truncate does what --rounding truncate does, and an option goes before the design."""
    other = {"rounding": "truncate", "subnormals": "exact", "nonfinite": "saturate"}[name]
    default = {"rounding": "nearest-even", "subnormals": "flush", "nonfinite": "nan"}[name]
    data.a[0] = np.ldexp(data.a[0], -135)
    data.a[1, 2] = np.inf
    np.save("A.npy", data.a)
    np.save("W.npy", np.ldexp(data.w, 40))
    results = {}
    for label, args in {
        "plain": [],
        "option": [f"--{name}", other],
        "design": ["--set", f"{name}={other}"],
        "both": ["--set", f"{name}={other}", f"--{name}", default],
    }.items():
        status, _, _ = data.gemm("--engine", "golden", *args)
        assert status == 0
        results[label] = np.load("C.npy").view(np.uint32).tolist()
    assert results["option"] == results["design"] != results["plain"] == results["both"]


def test_input_is_not_overwritten(data: Data) -> None:
    before = Path("A.npy").read_bytes()
    status, _, err = data.run("gemm", "A.npy", "W.npy", "-o", "./A.npy", "--engine", "golden")
    assert (status, err) == (2, "mixdit gemm: --output must not be the input A.npy\n")
    assert Path("A.npy").read_bytes() == before


def test_a_percentage_of_no_channels_is_told(data: Data) -> None:
    status, _, err = data.gemm("--engine", "golden", "--outliers", "0.5%")
    assert (status, err) == (0, "warning: --outliers 0.5% is none of the K=40 channels\n")
