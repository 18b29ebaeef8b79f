"""What is generated from the registers and descriptors says what they are, in C, Markdown, XML and plain values."""

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import pytest

from golden.formats import FORMATS
from mixdit_hw import registers
from mixdit_hw.emit import registers as emitted
from mixdit_hw.emit.registers import HEADER, PAGE, c_header, markdown_page, register_manifest, svd
from mixdit_hw.job import DESCRIPTOR_BYTES, FIELDS, MEANINGS, Data, Fault, Job, Operand, Segment
from mixdit_hw.params import ROUNDINGS, Params
from mixdit_hw.registers import REGISTERS, Field, Register, capability_values

ROOT = Path(__file__).parents[3]
COMPILER = shutil.which("gcc")
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="NOT RUN: gcc is missing")
FLAGS = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-O1")

JOB = Job(
    m=33,
    n=65535,
    k=100,
    a_address=0x0123456789ABCDEE,
    w_address=0xFEDCBA9876543210,
    c_address=1 << 63,
    a_stride=400,
    w_stride=0xFFFFFFFE,
    c_stride=132,
    a_type=Data.BF16,
    c_type=Data.MX,
    segments=(Segment(blocks=5, a="mx9", w="mx4"), Segment(blocks=0x8001, a="mx4", w="mx9"), Segment(blocks=3)),
    outliers=17,
    mask_address=0x1000,
    c_split=0x8000,
    c_head=64,
    scale_mode=Operand.TENSOR,
    bias_mode=Operand.COLUMN,
    scale=0x3F800000,
    bias=0xFFFFFFFFFFFFFFFC,
    rounding=2,
    tag=0xDEADBEEF,
)


def defines() -> dict[str, str]:
    """What the header's macros stand for."""
    found = re.findall(r"^#define (\w+) +(.+?)(?: /\*.*)?$", c_header(), re.M)
    assert max(Counter(name for name, _ in found).values()) == 1
    return dict(found)


def number(text: str) -> int:
    return int(text.removesuffix("u"), 0)


def test_macros_of_the_registers() -> None:
    macros = defines()
    for name, register in REGISTERS.items():
        assert number(macros[f"MIXDIT_REG_{name}"]) == register.offset
        if register.reset:
            assert number(macros[f"MIXDIT_{name}_RESET"]) == register.reset
        for f in register.fields:
            prefix = f"MIXDIT_{name}_{f.name.upper()}"
            assert number(macros[f"{prefix}_SHIFT"]) == f.low
            assert number(macros[f"{prefix}_MASK"]) == f.mask
    assert sum(name.startswith("MIXDIT_REG_") for name in macros) == len(REGISTERS)


def test_codes_of_the_header() -> None:
    """No name is there twice, as macro or as constant."""
    text = c_header()
    constants = {name: int(value) for name, value in re.findall(r"^    (MIXDIT_\w+) = (\d+)", text, re.M)}
    expected = {
        f"MIXDIT_{codes.__name__.upper()}_{code.name}": int(code) for codes in (Data, Operand, Fault) for code in codes
    }
    expected |= {f"MIXDIT_FORMAT_{f.name.upper()}": f.code for f in FORMATS.values()}
    expected |= {f"MIXDIT_ROUNDING_{name.upper().replace('-', '_')}": i for i, name in enumerate(ROUNDINGS)}
    assert constants == expected
    assert not constants.keys() & defines().keys()


def compiled(folder: Path, source: str) -> str:
    """What a program prints."""
    assert COMPILER is not None
    (folder / HEADER).write_text(c_header())
    (folder / "program.c").write_text(source)
    command = (COMPILER, *FLAGS, "program.c", "-o", "program")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return subprocess.run((folder / "program",), capture_output=True, text=True, timeout=60, check=True).stdout


def setters(job: Job) -> list[str]:
    """Lines of C that fill a descriptor with what Python's has, by the names of the fields."""
    whole = int.from_bytes(job.pack(), "little")
    values = {name: whole >> 32 * word + low & (1 << bits) - 1 for name, (word, low, bits) in FIELDS.items()}
    assert values["m"] == job.m
    return [f"    ok &= mixdit_job_set(d, MIXDIT_JOB_{name.upper()}, {value}ull);" for name, value in values.items()]


@needs_compiler
@pytest.mark.parametrize("first", [0x00, 0xFF])
def test_descriptor_of_a_program(first: int, tmp_path: Path) -> None:
    """Fields set in C give the bytes of `Job.pack`, whatever they were before, and are read back."""
    fill = (f"{name.upper()}, {first and (1 << bits) - 1}ull" for name, (_, _, bits) in FIELDS.items())
    source = "\n".join(
        (
            "#include <stdio.h>",
            f'#include "{HEADER}"',
            f'#include "{HEADER}"',
            "int main(void) {",
            "    unsigned char d[MIXDIT_DESCRIPTOR_BYTES] = {0};",
            "    unsigned i;",
            "    int ok = 1;",
            *(f"    ok &= mixdit_job_set(d, MIXDIT_JOB_{field});" for field in fill),
            *setters(JOB),
            "    ok &= mixdit_job_get(d, MIXDIT_JOB_BIAS) == 0xFFFFFFFFFFFFFFFCull;",
            "    ok &= mixdit_job_get(d, MIXDIT_JOB_A_TYPE) == MIXDIT_DATA_BF16;",
            "    ok &= mixdit_job_get(d, MIXDIT_JOB_C_HEAD) == 64u;",
            "    ok &= !mixdit_job_set(d, MIXDIT_JOB_C_TYPE, 4u);",
            "    ok &= !mixdit_job_set(d, MIXDIT_JOB_M, 0x100000000ull);",
            "    for (i = 0; i < sizeof d; i++)",
            '        printf("%02x", d[i]);',
            '    printf(" %d\\n", ok);',
            "    return 0;",
            "}",
            "",
        )
    )
    assert compiled(tmp_path, source) == f"{JOB.pack().hex()} 1\n"


@needs_compiler
def test_the_header_alone(tmp_path: Path) -> None:
    """It needs no other file before it."""
    source = f'#include "{HEADER}"\nint main(void) {{ return MIXDIT_REG_ID != 0u || MIXDIT_FAULT_ABORT != 12; }}\n'
    assert compiled(tmp_path, source) == ""


def test_the_page_is_current() -> None:
    assert (ROOT / PAGE).read_text() == markdown_page(), f"{PAGE} is out of date: run make rtl"


def test_the_page_has_everything() -> None:
    rows = [line for line in markdown_page().splitlines() if line.startswith("| ")]
    assert {len(re.split(r"(?<!\\)\|", row)) - 2 for row in rows} == {2, 3, 4, 5}
    for register in REGISTERS.values():
        assert sum(f"`0x{register.offset:03X}` | `{register.name}` | `{register.access}`" in row for row in rows) == 1
        for f in register.fields:
            assert any(row.startswith(f"| `{register.name}` |") and f"| `{f.name}` |" in row for row in rows)
    for name in FIELDS:
        assert any(f"| `{name}` | {MEANINGS[name]} |".replace("*", "\\*") in row for row in rows)
    for fault in Fault:
        assert f"| {int(fault)} | `{fault.name}` | {fault.meaning} |" in rows


def test_svd() -> None:
    device = ElementTree.fromstring(svd().encode())
    assert device.tag == "device"
    (peripheral,) = device.findall("peripherals/peripheral")
    assert peripheral.findtext("addressBlock/size") == "0x1000"
    found = peripheral.findall("registers/register")
    assert [e.findtext("name") for e in found] == list(REGISTERS)
    for element, register in zip(found, REGISTERS.values(), strict=True):
        assert int(element.findtext("addressOffset", ""), 16) == register.offset
        assert element.findtext("description") == register.meaning
        access = {"ro": "read-only", "pulse": "write-only"}.get(register.access, "read-write")
        assert element.findtext("access") == access
        assert element.findtext("modifiedWriteValues") == ("oneToClear" if register.access == "w1c" else None)
        reset = element.findtext("resetValue")
        assert (None if reset is None else int(reset, 16)) == register.reset
        fields = [
            Field(
                f.findtext("name", ""),
                int(f.findtext("bitOffset", "")),
                int(f.findtext("bitWidth", "")),
                f.findtext("description", ""),
            )
            for f in element.findall("fields/field")
        ]
        assert tuple(fields) == register.fields
        order = [child.tag for child in element]
        schema = ["name", "description", "addressOffset", "access", "resetValue", "modifiedWriteValues", "fields"]
        assert order == [tag for tag in schema if tag in order]


def test_texts_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a meaning says, the files around it stay whole."""
    bad = 'a < b && "c" | */ d /* e * f.'
    fields = (Field("bits", 0, 1, bad),)
    monkeypatch.setattr(emitted, "REGISTERS", registers.register_map(Register("X", 0, "rw", bad, fields)))
    element = ElementTree.fromstring(svd().encode()).find("peripherals/peripheral/registers/register")
    assert element is not None
    assert [element.findtext("description"), element.findtext("fields/field/description")] == [bad, bad]
    assert '"c"' in c_header()
    assert '"c"' not in re.sub(r"/\*.*?\*/", "", c_header(), flags=re.S)
    rows = [line for line in markdown_page().splitlines() if "&&" in line]
    assert rows == [
        '| `0x000` | `X` | `rw` | 0 | a < b && "c" \\| \\*/ d /\\* e \\* f. |',
        '| `X` | 0 | `bits` | a < b && "c" \\| \\*/ d /\\* e \\* f. |',
    ]


def test_manifest() -> None:
    content = register_manifest()
    assert json.loads(json.dumps(content)) == content
    assert [r["name"] for r in content["registers"]] == list(REGISTERS)
    for entry, register in zip(content["registers"], REGISTERS.values(), strict=True):
        assert (entry["offset"], entry["access"], entry["reset"]) == (register.offset, register.access, register.reset)
        assert [Field(f["name"], f["lsb"], f["bits"], f["meaning"]) for f in entry.get("fields", ())] == list(
            register.fields
        )
    descriptor = content["descriptor"]
    assert descriptor["bytes"] == DESCRIPTOR_BYTES
    assert {f["name"]: (f["word"], f["lsb"], f["bits"]) for f in descriptor["fields"]} == FIELDS
    assert content["codes"]["fault"]["abort"] == Fault.ABORT
    assert content["codes"]["format"] == {"mx4": 0, "mx6": 1, "mx9": 2}
    assert content["codes"]["rounding"] == {"nearest-even": 0, "truncate": 1, "half-away": 2}


def test_manifest_of_a_design() -> None:
    constants = capability_values(Params(), "0.1.0", "00" * 32)
    resets = {r["name"]: r["reset"] for r in register_manifest(constants)["registers"]}
    assert resets == {name: constants.get(name, register.reset) for name, register in REGISTERS.items()}
    assert None not in resets.values()
