"""Emitted Verilog: deterministic, lint-clean, one module per distinct unit."""

import json
import os
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import golden
from mixdit_hw.emit import UNITS, emit_verilog, generate, read_waivers
from mixdit_hw.emit.contract import numerics_digest
from mixdit_hw.emit.fusesoc import core_file
from mixdit_hw.emit.manifest import manifest
from mixdit_hw.emit.registers import HEADER, SVD, c_header, svd
from mixdit_hw.emit.units import design_of
from mixdit_hw.errors import InputError, OutputError
from mixdit_hw.job import FIELDS, Fault
from mixdit_hw.params import Params
from mixdit_hw.presets import get_preset
from mixdit_hw.registers import REGISTERS, capability_values
from mixdit_hw.shapes import BlockLayout, ElementLayout
from mixdit_hw.sim.images import containers
from mixdit_hw.tile.counters import STEP_EVENTS
from mixdit_hw.top import Core
from tests.support.emitted import lint

TINY = get_preset("tiny")
ODD = Params(
    rows=6,
    columns=10,
    drain=3,
    interleave=5,
    a_depth=32,
    c_depth=32,
    formats=("mx6", "mx4"),
    axi_width=64,
    address_bits=33,
    k_depth=8,
    a_slots=3,
    read_depth=16,
    queue_depth=8,
    rounding="runtime",
    subnormals="exact",
    nonfinite="saturate",
)
design = cache(design_of)


@cache
def tiny_text() -> str:
    return emit_verilog(TINY)


@pytest.mark.parametrize(
    ("unit", "params"),
    [
        ("core", TINY),
        ("accelerator", TINY),
        *((unit, get_preset("small")) for unit in UNITS),
        ("accelerator", ODD),
        ("core", TINY.replace(formats=("mx6",), drain=2, interleave=5, a_depth=32)),
        ("converter", TINY.replace(rounding="runtime", subnormals="exact", nonfinite="saturate")),
        ("narrow_converter", TINY.replace(rounding="runtime", subnormals="exact", nonfinite="saturate")),
    ],
)
def test_lint_is_clean(unit: str, params: Params, tmp_path: Path) -> None:
    generate(params, tmp_path, unit)
    assert lint(tmp_path, f"mixdit_{unit}") == ""


def test_lint_sees_an_unused_signal_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "x.v").write_text("module x (input wire a, output wire b);\n  wire left;\n  assign b = a;\nendmodule\n")
    (tmp_path / "x.vlt").write_text(read_waivers())
    assert "UNUSEDSIGNAL" in lint(tmp_path, "x")


@pytest.mark.parametrize("preset", ["tiny", "base"])
def test_each_distinct_unit_is_one_module(preset: str) -> None:
    params = get_preset(preset)
    text = emit_verilog(params)
    assert re.findall(r"^module (mixdit_engine\w*) ", text, re.MULTILINE).count("mixdit_engine") == 1
    shared = params.cluster_rows * params.cluster_columns
    assert len(re.findall(r"^  mixdit_engine engine_\d+_\d+ \($", text, re.MULTILINE)) == shared
    clusters = re.findall(r"^  mixdit_cluster cluster_\d+_\d+ \($", text, re.MULTILINE)
    assert len(clusters) == params.rows * params.columns // shared


def test_names_need_no_escape_and_nothing_tells_of_place_or_time() -> None:
    text = tiny_text()
    assert "\\" not in text
    assert "/" not in re.sub(r"^ *//.*$", "", text, flags=re.MULTILINE)
    assert not re.search(r"\b20\d\d-\d\d|auto\$|\.py|\.cc", text)


def test_text_depends_on_parameters_only() -> None:
    code = "import sys; from mixdit_hw.emit import *; from mixdit_hw.presets import *; "
    code += "sys.stdout.write(emit_verilog(get_preset('tiny')))"
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        ).stdout
        for seed in ("0", "4242")
    }
    assert texts == {tiny_text()}


def test_generated_files(tmp_path: Path) -> None:
    paths = generate(TINY, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == [f"mixdit_core{s}" for s in (".json", ".core", ".f", ".vlt", ".v")]
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(p.name for p in paths)
    assert paths[-1].read_text() == tiny_text()
    assert paths[2].read_text() == "mixdit_core.v\n"
    assert "toplevel: mixdit_core" in paths[1].read_text()


def ports_of(text: str, module: str) -> list[tuple[str, str, int]]:
    """Name, direction and bits of a module's ports, read from its head."""
    head = re.search(rf"^module {module} \((.*?)^\);", text, re.MULTILINE | re.DOTALL)
    assert head is not None
    return [
        (name, direction, int(top or 0) + 1)
        for direction, top, name in re.findall(r"^  (\w+) +(?:wire|reg) +(?:\[(\d+):0\])? *(\w+)", head[1], re.M)
    ]


def test_manifest_tells_the_ports_of_the_text(tmp_path: Path) -> None:
    path = generate(TINY, tmp_path)[0]
    manifest = json.loads(path.read_text())
    found = ports_of(tiny_text(), "mixdit_core")
    assert [(p["name"], p["direction"], p["width"]) for p in manifest["ports"]] == found
    assert all(p["meaning"] for p in manifest["ports"])
    assert manifest["parameters"] == TINY.to_dict()
    assert manifest["numerics"] == {"sha256": numerics_digest()}
    engine = next(m for m in manifest["modules"] if m["name"] == "mixdit_engine")
    assert engine["instances"] == 4
    assert engine["latency"] > 0
    cluster = next(m for m in manifest["modules"] if m["name"] == "mixdit_cluster")
    assert (cluster["instances"], cluster["latency"]) == (1, engine["latency"] + 1)


RUNTIME = TINY.replace(rounding="runtime")
UNTIMED = {"accelerator", "system", "job_control", "job_check"}  # as long as the job or memory takes


@pytest.mark.parametrize("unit", UNITS)
def test_product_explains_itself(unit: str) -> None:
    """Every port and stream has a meaning, and neither file sends its reader to the Python text."""
    made = design(RUNTIME, unit)
    content = json.loads(manifest(made, RUNTIME))
    for entry in (*content["ports"], *content["streams"]):
        assert entry["meaning"], entry["name"]
    for module in content["modules"]:
        assert ("latency" in module) == (module["name"].removeprefix("mixdit_") not in UNTIMED), module["name"]
    for text in (json.dumps(content), made.text(RUNTIME)):
        assert "`" not in text
        assert not re.search(r"\bSee\b|\w+Layout\b|\b(Engine|Sequencer|Counters|Lanes|Converter)\b", text)


def test_files_of_the_accelerator(tmp_path: Path) -> None:
    """Beside the files of any unit there are the registers for programs, and the core file has them all."""
    paths = {path.name: path for path in generate(TINY, tmp_path, "accelerator")}
    ends = (".json", ".core", ".f", ".vlt", ".v")
    assert list(paths) == [HEADER, SVD, *(f"mixdit_accelerator{end}" for end in ends)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(paths)
    assert paths[HEADER].read_text() == c_header()
    assert paths[SVD].read_text() == svd()
    core = paths["mixdit_accelerator.core"].read_text()
    assert set(re.findall(r"^      - (\S+):", core, re.M)) == set(paths) - {
        f"mixdit_accelerator{end}" for end in (".json", ".core", ".f")
    }
    filesets = set(re.findall(r"^  (\w+):\n    files:", core, re.M))
    used = {name for names in re.findall(r"^    filesets: \[(.*)\]", core, re.M) for name in names.split(", ")}
    assert filesets == used == {"rtl", "waivers", "registers"}


@pytest.mark.parametrize("params", [TINY, ODD])
def test_manifest_of_the_accelerator(params: Params) -> None:
    made = design(params, "accelerator")
    content = json.loads(manifest(made, params))
    assert [(p["name"], p["direction"], p["width"]) for p in content["ports"]] == ports_of(
        made.text(params), "mixdit_accelerator"
    )
    assert content["clocking"] == {"clock": "aclk", "reset": "aresetn", "reset_is": "synchronous, active low"}
    assert [p["name"] for p in content["ports"][:2]] == ["aclk", "aresetn"]
    assert content["streams"] == []

    host = content["host"]
    assert [(r["name"], r["offset"], r["access"]) for r in host["registers"]] == [
        (name, r.offset, r.access) for name, r in REGISTERS.items()
    ]
    constants = capability_values(params, version("mixdit-hw"), numerics_digest())
    assert {r["name"]: r["reset"] for r in host["registers"]} == {
        name: constants.get(name, r.reset) for name, r in REGISTERS.items()
    }
    fields = {f["name"]: (f["word"], f["lsb"], f["bits"]) for f in host["descriptor"]["fields"]}
    assert fields == FIELDS
    assert host["codes"]["fault"] == {fault.name.lower(): int(fault) for fault in Fault}

    width = {port["name"]: port["width"] for port in content["ports"]}
    memory, registers = content["buses"]["m_axi"], content["buses"]["s_axil"]
    assert (memory["data_bits"], memory["address_bits"]) == (width["m_axi_rdata"], width["m_axi_araddr"])
    assert (width["m_axi_wdata"], width["m_axi_awaddr"]) == (width["m_axi_rdata"], width["m_axi_araddr"])
    assert memory["id_bits"] == width["m_axi_arid"] == width["m_axi_awid"]
    assert (registers["data_bits"], registers["address_bits"]) == (width["s_axil_rdata"], width["s_axil_araddr"])
    assert {name for name in width if not name.startswith(("m_axi_", "s_axil_"))} == {"aclk", "aresetn", "irq"}


def test_digest_of_an_accelerator_follows_every_parameter() -> None:
    made = design(TINY, "accelerator")
    known = {name for name, _ in made.top.key[:-1]}
    assert known == set(TINY.to_dict())


def test_manifest_and_text_tell_how_to_connect_the_core() -> None:
    content = json.loads(manifest(design(TINY), TINY))
    ports = {port["name"]: port for port in content["ports"]}
    streams = {stream["name"]: stream for stream in content["streams"]}
    codes = ", ".join(f"{f.code} = {f.name.upper()}" for f in sorted(golden.FORMATS.values(), key=lambda f: f.code))
    blocks = ("exponent in bits 0-7", "microexponents in bits 8-15", "from bit 16", "above it, its sign")
    facts = {
        ports["a_format"]["meaning"]: (codes,),
        ports["w_format"]["meaning"]: (codes,),
        ports["a_blocks"]["meaning"]: blocks,
        ports["w_blocks"]["meaning"]: blocks,
        streams["a"]["meaning"]: ("T beats for each K block", "rows r*T + t"),
        streams["w"]["meaning"]: ("One beat for each K block",),
        ports["cmd_blocks"]["meaning"]: ("0 stands for 65536",),
        ports["c_words"]["meaning"]: ("Word g*C + c", "row g*(R/drain)*T + i, column c"),
        ports["c_last"]["meaning"]: ("last beat",),
        ports["cycles"]["meaning"]: ("Clock cycles",),
        **{ports[name]["meaning"]: ("Steps of T cycles",) for name in STEP_EVENTS},
        content["handshake"]: ("valid and ready are both high",),
    }
    text = " ".join(re.sub(r"^ *//", "", tiny_text(), flags=re.MULTILINE).split())
    for meaning, words in facts.items():
        assert all(w in meaning for w in words), meaning
        assert " ".join(meaning.split()) in text


@pytest.mark.parametrize("params", [TINY, RUNTIME, TINY.replace(formats=("mx6", "mx4"), rows=6, c_depth=16, drain=3)])
def test_manifest_tells_sizes_as_the_ports_have_them(params: Params) -> None:
    content = json.loads(manifest(design(params), params))
    width = {port["name"]: port["width"] for port in content["ports"]}
    tile, block = content["tile"], content["block"]
    assert (tile["rows"], tile["columns"]) == (params.rows * params.interleave, params.columns)
    assert width["a_blocks"] == tile["a_blocks_per_beat"] * block["bits"]
    assert width["w_blocks"] == tile["w_blocks_per_beat"] * block["bits"]
    assert width["c_words"] == 32 * tile["words_per_result_beat"]
    assert tile["result_beats"] * tile["words_per_result_beat"] == tile["rows"] * tile["columns"]
    assert tile["a_beats_per_k_block"] * tile["a_blocks_per_beat"] == tile["rows"]
    array = content["array"]
    clusters = tile["a_blocks_per_beat"] // array["cluster_rows"], tile["columns"] // array["cluster_columns"]
    instances = {module["name"]: module["instances"] for module in content["modules"]}
    assert instances["mixdit_cluster"] == clusters[0] * clusters[1]
    assert array["chains"] * array["lane_entries_per_tile"] == tile["rows"]
    assert array["chains"] % params.drain == array["chains"] % array["cluster_rows"] == 0
    assert array["row_skew"] == (clusters[0] - 1) * (params.interleave - 1)
    assert array["column_skew"] == clusters[1] - 1
    assert array["latency"] == Core(params).latency
    layout, elements = BlockLayout(params.magnitude_bits), block["elements"]
    for name in ("exponent", "micro"):
        assert (block[name]["lsb"], block[name]["bits"]) == (layout[name].offset, layout[name].width)
    assert (block["bits"], elements["lsb"]) == (layout.size, layout["elements"].offset)
    element = ElementLayout(params.magnitude_bits)
    assert (elements["bits"], elements["magnitude_bits"]) == (element.size, element["magnitude"].width)
    assert elements["sign_bit"] == element["sign"].offset
    assert content["formats"] == [
        {"name": f.name, "code": f.code, "magnitude_bits": f.magnitude_bits} for f in params.format_set
    ]


def test_value_of_a_block_is_that_of_the_golden_model() -> None:
    """What the manifest says of a block's value, worked out for random blocks in the container."""
    params = TINY
    value = json.loads(manifest(design(params), params))["block"]["value"]
    assert value.startswith("of element i: (-1)^sign * magnitude * 2^(exponent - 127 - micro[i/2] - 6), ")
    rng = np.random.default_rng(21)
    for fmt in golden.FORMATS.values():
        tensor = golden.quantize(rng.standard_normal((1, 16)).astype(np.float32), fmt)
        bits = int.from_bytes(containers(tensor, slice(0, 1), slice(0, 1), params)[0, 0].tobytes(), "little")
        values = []
        for i in range(16):
            element = bits >> 16 + 8 * i & 0xFF
            scale = (bits & 0xFF) - 127 - (bits >> 8 + i // 2 & 1) - 6
            values.append((-1) ** (element >> 7) * (element & 0x7F) * 2.0**scale)
        assert values == tensor.dequantize()[0].tolist()


def test_fusesoc_names_tell_designs_apart() -> None:
    """A preset by its name, others by a digest that follows what the hardware depends on."""

    def name(params: Params, unit: str = "core") -> str:
        found = re.search(r"^name: (.*)$", core_file(design(params, unit), params), re.MULTILINE)
        assert found is not None
        return found[1]

    end = version("mixdit-hw")
    deep = TINY.replace(c_depth=64)
    assert name(TINY) == f"mixdit:hw:mixdit_core_tiny:{end}"
    assert name(get_preset("small"), "converter") == f"mixdit:hw:mixdit_converter_small:{end}"
    assert re.fullmatch(rf"mixdit:hw:mixdit_core_[0-9a-f]{{8}}:{re.escape(end)}", name(deep))
    assert name(deep) == name(deep.replace(subnormals="exact")), "the core has no converter"
    assert len({name(p) for p in (TINY, deep, RUNTIME)}) == 3
    assert name(deep, "converter") != name(deep.replace(subnormals="exact"), "converter")


def test_digest_follows_the_numerics(monkeypatch: pytest.MonkeyPatch) -> None:
    assert numerics_digest.__wrapped__() == numerics_digest()
    multiply = golden.gemm
    monkeypatch.setattr(golden, "gemm", lambda a, w: -multiply(a, w))
    assert numerics_digest.__wrapped__() != numerics_digest()


def test_unknown_unit_is_refused() -> None:
    with pytest.raises(InputError) as error:
        emit_verilog(TINY, "motor")
    assert str(error.value) == f"unit must be one of {', '.join(UNITS)}, not 'motor'"


def test_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError) as error:
        generate(TINY, tmp_path / "file", "converter")
    assert str(error.value) == f"{tmp_path / 'file'}: cannot be written: File exists"
