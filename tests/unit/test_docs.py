"""What the documents say of parameters, ports and files is what there is."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import golden
from examples import random_dit
from golden.formats import get_format
from golden.policy import MXGemm, PrecisionPolicy
from mixdit_hw.cli import run
from mixdit_hw.emit import UNITS
from mixdit_hw.emit.registers import HEADER, c_header
from mixdit_hw.emit.units import accelerator_of
from mixdit_hw.job import Data, Fault, Job, Segment
from mixdit_hw.params import Params
from mixdit_hw.ports import flatten_ports
from mixdit_hw.presets import PRESETS
from mixdit_hw.registers import REGISTERS
from mixdit_hw.shapes import BlockLayout
from mixdit_hw.tile.counters import STEP_EVENTS
from mixdit_hw.tile.slots import bank_count, bank_depth
from mixdit_hw.top import Core
from tests.support.snippets import run_snippet

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


def test_snippet_of_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((8, 40), np.float32), rng.standard_normal((40, 5), np.float32)
    assert run_snippet(ROOT / "README.md", x=x, y=y)["c"].shape == (8, 5)
    assert float(capsys.readouterr().out.removesuffix(" dB\n")) > 20


def test_registers_of_the_readme() -> None:
    """Each row tells where its first and its last register are, and all others of it lie between."""
    rows = re.findall(r"^\| `0x(\w+)` \| `0x(\w+)` \| (.*?) \|", (ROOT / "README.md").read_text(), re.M)
    told = []
    for first, last, cell in rows:
        names = re.findall(r"`(\w+)`", cell)
        offsets = [REGISTERS[name].offset for name in names]
        assert (offsets[0], offsets[-1]) == (int(first, 16), int(last, 16))
        assert offsets == sorted(offsets)
        told += names
    assert set(REGISTERS) - set(told) == {f"DIGEST{i}" for i in range(1, 7)}


PROGRAM = """
#include <stdio.h>
int main(void)
{
    static uint32_t registers[1024];
    unsigned char descriptor[MIXDIT_DESCRIPTOR_BYTES];
    uint32_t fault;
    unsigned i;

    registers[MIXDIT_REG_STATUS / 4u] = STATUS;
    registers[MIXDIT_REG_FAULT / 4u] = STATUS ? MIXDIT_FAULT_WINDOW : 0u;
    fault = multiply(registers, descriptor, 0x123456789Cull, 5u, 7u, 40u, 0x1000u, 0x2000u, 0x3000u);
    for (i = 0u; i < sizeof descriptor; i++)
        printf("%02x", descriptor[i]);
    printf(" %u", (unsigned)fault);
    for (i = 0u; i < 1024u; i++)
        if (registers[i])
            printf(" %x:%x", 4u * i, (unsigned)registers[i]);
    return 0;
}
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="NOT RUN: gcc is missing")
@pytest.mark.parametrize("halted", [False, True])
def test_c_snippet_of_the_readme(halted: bool, tmp_path: Path) -> None:
    """It compiles without a warning, and does to memory and registers what it says."""
    snippet = re.search(r"```c\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert snippet is not None
    (tmp_path / HEADER).write_text(c_header())
    (tmp_path / "program.c").write_text(snippet[1] + PROGRAM)
    command = ["gcc", "-Wall", "-Wextra", "-pedantic", "-Werror", "-std=c99", f"-DSTATUS={2 * halted}u"]
    done = subprocess.run([*command, "program.c", "-o", "program"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    out = subprocess.run([tmp_path / "program"], capture_output=True, text=True, check=True, timeout=60).stdout
    descriptor, fault, *written = out.split()
    job = Job(
        m=5,
        n=7,
        k=40,
        a_address=0x1000,
        w_address=0x2000,
        c_address=0x3000,
        a_stride=80,
        w_stride=3 * get_format("mx6").block_bytes,
        c_stride=14,
        a_type=Data.BF16,
        w_type=Data.MX,
        c_type=Data.BF16,
        w_columns=True,
        segments=(Segment(blocks=3, a="mx6", w="mx6"),),
        c_formats=("mx4", "mx4"),
        interrupt=False,
    )
    assert bytes.fromhex(descriptor) == job.pack()
    values = {"JOB_ADDRESS_LO": 0x3456789C, "JOB_ADDRESS_HI": 0x12, "DOORBELL": 1}
    if halted:
        values = {"STATUS": 2} | values | {"FAULT": int(Fault.WINDOW), "FAULT_CLEAR": 1}
    assert written == [f"{REGISTERS[name].offset:x}:{value:x}" for name, value in values.items()]
    assert int(fault) == (Fault.WINDOW if halted else Fault.NONE)


def test_every_port_of_the_accelerator_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    params = PRESETS["tiny"]
    for port in flatten_ports(accelerator_of(params)):
        group = re.sub(r"^(m_axi|s_axil)_.*", r"\1_*", port.name)
        assert f"`{group}`" in text, port.name
    width, bits = (re.search(rf"`{name}` \((\d+)\)", text) for name in ("axi_width", "address_bits"))
    assert width is not None
    assert bits is not None
    assert (int(width[1]), int(bits[1])) == (Params().axi_width, Params().address_bits)


def test_sizes_of_the_buffers() -> None:
    """The table of parameters.md, from the memories' own sizes."""
    text = (ROOT / "docs" / "parameters.md").read_text()
    rows = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) KiB \| (\d+) KiB \| (\d+) KiB \|", text, re.M)
    assert len(rows) == 6
    for preset, depth, *told in rows:
        sizes = []
        for slots, side in ((2, "a"), (3, "a"), (2, "w")):
            p = PRESETS[preset].replace(k_depth=int(depth), a_slots=slots)
            bits = bank_count(p, side) * bank_depth(p, side) * BlockLayout(p.magnitude_bits).size
            sizes.append(bits / 8 / 1024)
        assert [float(size) for size in told] == sizes
    kept_up = {name for name, p in PRESETS.items() if (p.a_slots - 1) * p.interleave >= p.columns}
    assert kept_up == {"tiny", "small", "edge"}


def test_every_unit_is_listed() -> None:
    for path in ("synthesis.md", "system.md"):
        text = (ROOT / "docs" / path).read_text()
        parts = {name for name, make in UNITS.items() if path == "synthesis.md" or _is_of_system(make)}
        assert [name for name in parts if f"`{name}`" not in text] == []


def _is_of_system(make: Any) -> bool:
    """Whether a unit stands around the core."""
    return type(make(PRESETS["tiny"])).__module__.split(".")[1] in ("accelerator", "bus", "tile")


def test_snippet_that_reads_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(2).standard_normal((3, 20), np.float32)
    np.save("X.npy", x)
    assert run(["quantize", "X.npy", "-o", "X.npz", "--format", "mx6"]) == 0
    found = run_snippet(ROOT / "docs" / "numerics.md")["x"]
    assert np.array_equal(found, golden.quantize(x, "mx6").dequantize())


def test_snippet_of_the_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command's file, read and sampled from as the text says."""
    monkeypatch.chdir(tmp_path)
    path = ROOT / "docs" / "checkpoints.md"
    command = re.search(r"^    python examples/(random_dit\.py .*?)  +#", path.read_text(), re.M)
    assert command is not None
    monkeypatch.setattr(sys, "argv", command[1].split())
    assert random_dit.main() == 0
    latents = run_snippet(path)["latents"]
    assert capsys.readouterr().out.endswith("None 32 (1, 1, 384)\n")
    assert latents.shape == (2, 4, 8, 8)
    assert np.isfinite(latents).all()


def test_the_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The snippet makes a policy, which the commands take; the table has all fields with their defaults."""
    path = ROOT / "docs" / "policy.md"
    monkeypatch.chdir(tmp_path)
    found = run_snippet(path)
    assert found["images"].shape == (1, 1, 8, 8)
    commands = re.findall(r"^    mixdit (.*)", path.read_text(), re.M)
    assert len(commands) == 3
    for command in commands:
        args = command.replace("examples/", f"{ROOT}/examples/").replace("--system", "--engine golden").split()
        assert run(args) == 0
    assert capsys.readouterr().err == ""
    expected = MXGemm(found["policy"])("blocks.1.mlp.fc1", found["a"], found["w"])
    assert np.array_equal(np.load("C.npy"), expected)
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", path.read_text(), re.M)
    told = {}
    for names, defaults in rows:
        values = re.findall(r"`([^`]*)`", defaults)
        told |= dict(zip(re.findall(r"`(\w+)`", names), values or [""], strict=True))
    plain = json.loads(PrecisionPolicy().to_json())
    assert list(told) == list(plain)
    assert {k: json.loads(v) for k, v in told.items() if v} == {k: v for k, v in plain.items() if k != "exempt"}
