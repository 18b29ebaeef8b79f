"""The check of descriptors, against the model of jobs."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from golden.formats import BLOCK_SIZE, FORMATS
from mixdit_hw.bus.check import JobCheck, bytes_of
from mixdit_hw.bus.layouts import JobLayout
from mixdit_hw.footprint import regions_of, result_runs
from mixdit_hw.job import FIELDS, MAX_SEGMENTS, Data, Fault, Operand, blocks_of, raw_fields
from mixdit_hw.params import Params
from mixdit_hw.presets import PRESETS
from mixdit_hw.sim.job_model import check_descriptor
from mixdit_hw.sim.memory import Memory
from tests.support.clocked import Clocked, Function
from tests.support.jobs import BREAKS, illegal_descriptor, pack_raw, random_scene

TINY = PRESETS["tiny"]
DESIGNS = {
    "tiny": TINY,
    "64 bits, chunks, without mx4": TINY.replace(
        address_bits=64, k_depth=4, outlier_depth=1, a_slots=4, formats=("mx9", "mx6")
    ),
    "32 bits, 3x5, without mx9": Params(
        rows=3, columns=5, interleave=5, a_depth=32, c_depth=16, address_bits=32, a_slots=3, formats=("mx6", "mx4")
    ),
}
OUTPUTS = ("done", "fault", "job", "outliers", "mask", "interrupt", "tag")
MOST_CYCLES = 150  # and one for each head of C
NO_MEMORY = Memory(b"")
Checked = tuple[bytes, tuple[int, int]]  # a descriptor and the window


@cache
def bench_of(name: str) -> Clocked:
    return Clocked(JobCheck(DESIGNS[name]))


def run(name: str, cases: list[Checked]) -> list[dict[str, int]]:
    """Check descriptor after descriptor: the outputs in the cycle of ``done`` and ``cycles`` from ``start`` to it."""
    bench = bench_of(name)
    found: list[dict[str, int]] = []

    def stimulus():
        now = 0
        for descriptor, (base, last) in cases:
            inputs = {"words": int.from_bytes(descriptor, "little"), "base": base, "last": last}
            yield inputs | {"start": 1}
            assert not bench.outputs["done"][-1]
            began, limit = now, 1 << 17
            while not bench.outputs["done"][-1] or now == began:
                yield inputs
                now += 1
                assert now - began < limit, "the check does not end"
            ended = {output: bench.outputs[output][-1] for output in OUTPUTS}
            found.append(ended | {"cycles": now - began})
            for _ in range(3):
                yield inputs
                now += 1
                after = {output: bench.outputs[output][-1] for output in OUTPUTS}
                assert after == ended | {"done": 0}, "the results stay"
            now += 1

    bench.run(stimulus(), OUTPUTS)
    return found


def expected_fault(params: Params, descriptor: bytes, window: tuple[int, int]) -> Fault:
    """That of the model, but the mask's, which is not looked at."""
    try:
        fault = check_descriptor(NO_MEMORY, descriptor, params, window)
    except IndexError:  # it came to the mask
        return Fault.NONE
    assert fault is not Fault.MASK
    return fault


def expected_job(params: Params, raw: dict[str, int]) -> dict[str, Any]:
    """The fields of `JobLayout`, of a legal job."""
    total, ends = 0, []
    for i in range(MAX_SEGMENTS):
        total += raw[f"segment{i}_blocks"]
        ends.append(total)
    same = (
        *("m", "n", "k", "a_type", "w_type", "c_type", "w_columns", "c_split", "c_head"),
        *("a_address", "w_address", "c_address", "a_stride", "w_stride", "c_stride"),
        *("scale_mode", "bias_mode", "scale", "bias", "rounding"),
    )
    panels = -(-raw["m"] // params.tile_rows)
    short_chunks = raw["outliers"] > 16 * params.outlier_depth + 15
    chunked = short_chunks or total > params.k_depth
    if chunked:
        group = 1
    elif panels <= params.a_slots:
        group = params.a_slots
    else:  # one slot to fill while the others are at work
        group = params.a_slots - 1
    return {name: raw[name] for name in same} | {
        "ends": ends,
        "a_formats": [raw[f"segment{i}_a"] for i in range(MAX_SEGMENTS)],
        "w_formats": [raw[f"segment{i}_w"] for i in range(MAX_SEGMENTS)],
        "c_formats": [raw["c_format0"], raw["c_format1"]],
        "outliers": int(raw["outliers"] > 0),
        "chunked": int(chunked),
        "short_chunks": int(short_chunks),
        "group": group,
    }


def heads_of(raw: dict[str, int]) -> int:
    return len(result_runs(raw["n"], raw["c_split"], raw["c_head"])) if raw["c_type"] == Data.MX else 0


def compare(name: str, cases: list[Checked]) -> list[Fault]:
    """Check all; the faults, which are the model's, as are the jobs that have none."""
    params = DESIGNS[name]
    faults = []
    for (descriptor, window), got in zip(cases, run(name, cases), strict=True):
        raw = raw_fields(descriptor)
        fault = expected_fault(params, descriptor, window)
        assert Fault(got["fault"]) is fault, (raw, window)
        faults.append(fault)
        assert got["tag"] == raw["tag"]
        assert got["interrupt"] == raw["interrupt"]
        if Fault.NONE < fault <= Fault.ALIGNMENT:
            assert got["cycles"] == 2, "what can be seen at once"
            continue
        assert got["cycles"] <= MOST_CYCLES + heads_of(raw)
        if fault is Fault.NONE:
            layout = JobLayout(params)
            assert got["job"] == layout.const(expected_job(params, raw)).as_value().value, raw
            assert got["outliers"] == raw["outliers"]
            assert not raw["outliers"] or got["mask"] == raw["mask_address"]
    return faults


@pytest.mark.parametrize("name", DESIGNS)
def test_legal_jobs(name: str) -> None:
    cases: list[Checked] = []
    for seed in range(25):
        scene = random_scene(np.random.default_rng([1, seed]), DESIGNS[name], jobs=2, limits=(60, 60, 200))
        cases += [(job.pack(), scene.window) for job in scene.descriptors]
    assert compare(name, cases) == [Fault.NONE] * 50


@pytest.mark.parametrize("name", DESIGNS)
def test_illegal_jobs(name: str) -> None:
    """Every way to break a job, with a later rule broken too at times."""
    cases: list[Checked] = []
    wanted = []
    for seed in range(30):
        rng = np.random.default_rng([2, seed])
        scene = random_scene(rng, DESIGNS[name], limits=(20, 40, 100))
        for fault in BREAKS:
            if fault is not Fault.MASK and (broken := illegal_descriptor(rng, scene, scene.descriptors[0], fault)):
                cases.append((broken, scene.window))
                wanted.append(fault)
    assert compare(name, cases) == wanted
    assert min(wanted.count(fault) for fault in BREAKS if fault is not Fault.MASK) > 8


@pytest.mark.parametrize("name", DESIGNS)
def test_last_bytes(name: str) -> None:
    """Each region ends with the last byte that there is, or behind it, and is the first or last one in the window."""
    params = DESIGNS[name]
    top = 1 << params.address_bits
    cases: list[Checked] = []
    wanted = []
    for seed in range(12):
        scene = random_scene(np.random.default_rng([3, seed]), params, limits=(40, 60, 120))
        raw = raw_fields(scene.descriptors[0].pack())
        regions = regions_of(raw).values()
        for region in regions:
            field = region.name if region.name in ("scale", "bias") else f"{region.name}_address"
            length = region.end - region.address
            for behind, fault in ((0, Fault.NONE), (region.element, Fault.WRAP)):
                address = (top - length) // region.element * region.element + behind
                if address < 1 << 64:
                    cases.append((pack_raw({**raw, field: address}), (0, (1 << 64) - 1)))
                    wanted.append(fault)
            others = [r for r in regions if r is not region]
            first, end = min(r.address for r in others), max(r.end for r in others)
            above, below = -(-end // 4) * 4, (first - length) // 4 * 4
            for place, base, last in ((above, first, above + length - 1), (below, below, end - 1)):
                if place < 0 or place + length > top:
                    continue
                descriptor = pack_raw({**raw, field: place})
                cases += [(descriptor, window) for window in ((base, last), (base + 1, last), (base, last - 1))]
                wanted += [Fault.NONE, Fault.WINDOW, Fault.WINDOW]
    assert compare(name, cases) == wanted
    assert {Fault.NONE, Fault.WRAP, Fault.WINDOW} <= set(wanted)


EDGES = (0, 1, 2, 15, 16, 17, 31, 32, 65519, 65520, 65534, 65535)


def border_fields(rng: np.random.Generator, params: Params) -> dict[str, int]:
    """Any descriptor, most of whose fields are at the border of what is legal."""

    def near(*values: int) -> int:
        return int(rng.choice(values)) + int(rng.integers(-1, 2))

    top = 1 << params.address_bits
    raw = dict.fromkeys(FIELDS, 0)
    raw |= {"version": 1, "w_columns": 1, "tag": int(rng.integers(1 << 32)), "interrupt": int(rng.integers(2))}
    raw |= {name: int(rng.choice(EDGES[1:])) for name in "mnk"}
    for name in ("a_type", "w_type", "c_type", "scale_mode", "bias_mode", "rounding"):
        raw[name] = int(rng.integers(3))
    raw["outliers"] = 0 if rng.random() < 0.5 else max(0, min(65535, near(1, 16, params.most_outliers, raw["k"])))
    if rng.random() < 0.8 and raw["outliers"] and raw["w_type"] != Data.MX:
        raw["w_type"] = int(Data.MX)
    if raw["outliers"] and raw["a_type"] == Data.MX and rng.random() < 0.9:
        raw["a_type"] = int(rng.integers(2))
    in_place, extra = blocks_of(raw["k"]), blocks_of(raw["outliers"])
    total = in_place + extra
    if raw["a_type"] == raw["w_type"] == Data.MX:
        total = int(rng.choice((1, 4, params.k_depth, params.k_depth + 1, 65535, 65536)))
    parts = int(rng.integers(1, 5))
    cuts = sorted({int(x) for x in rng.integers(1, total, parts - 1)} | {in_place} if total > 1 else set())[:3]
    ends = [*(c for c in cuts if c < total), total]
    codes = [f.code for f in params.format_set]
    for i, end in enumerate(ends[:MAX_SEGMENTS]):
        first = ends[i - 1] if i else 0
        raw[f"segment{i}_blocks"] = min(65535, end - first)
        raw[f"segment{i}_a"] = FORMATS["mx9"].code if first >= in_place and extra else int(rng.choice(codes))
        raw[f"segment{i}_w"] = int(rng.choice(codes))
    raw["c_split"] = max(0, min(65535, int(rng.choice((0, raw["n"], near(raw["n"]), int(rng.integers(raw["n"] + 1)))))))
    raw["c_head"] = max(0, min(65535, near(0, 16, raw["c_split"], 65535)))
    if raw["c_head"] and raw["c_split"] / raw["c_head"] > 100:  # each head takes a cycle
        raw["c_head"] = raw["c_split"] // int(rng.integers(1, 100)) + 1
    raw["c_format0"], raw["c_format1"] = (int(rng.choice(codes)) for _ in range(2))
    for name in ("a_stride", "w_stride", "c_stride"):
        raw[name] = int(rng.choice((0, 4, 1 << 16, (1 << 32) - 4, int(rng.integers(1 << 30)) * 4)))
    regions = regions_of(raw)
    places = {f"{name}_address": name for name in ("a", "w", "c", "mask")} | {"scale": "scale", "bias": "bias"}
    for field, name in places.items():
        length = regions[name].end - regions[name].address if name in regions else 4
        element = regions[name].element if name in regions else 4
        address = int(rng.choice(np.array([0, 4, 1 << 20, top // 2, top - length], object)))
        raw[field] = max(0, min(address // element * element, (1 << 64) - element))
    for _ in range(int(rng.choice((0, 0, 0, 1, 2)))):  # and one or two fields that are wrong
        name = str(rng.choice(list(FIELDS)))
        bits = FIELDS[name][2]
        raw[name] = [
            int(rng.integers(1 << min(bits, 63))),
            (raw[name] + 1) % (1 << bits),
            (raw[name] - 1) % (1 << bits),
            raw[name] ^ 1 << int(rng.integers(bits)),
        ][rng.integers(4)]
    if raw["c_type"] == Data.MX and raw["c_head"] and raw["c_split"] / raw["c_head"] > 2000:
        raw["c_head"] = 0
    return raw


@pytest.mark.parametrize("name", DESIGNS)
def test_borders(name: str) -> None:
    """Largest sizes, addresses at the ends, and fields that are one too many."""
    params = DESIGNS[name]
    rng = np.random.default_rng(len(name))
    top = 1 << params.address_bits
    cases: list[Checked] = []
    for _ in range(500):
        raw = border_fields(rng, params)
        window = [(0, (1 << 64) - 1), (0, top - 1), (4, top - 1), (0, top - 2), (1 << 20, top // 2)][rng.integers(5)]
        cases.append((pack_raw(raw), window))
    faults = compare(name, cases)
    counts = {fault.name: faults.count(fault) for fault in sorted(set(faults))}
    assert counts["NONE"] >= 30, counts
    assert set(counts) == {"NONE"} | {fault.name for fault in BREAKS if fault is not Fault.MASK}, counts


def test_any_bits() -> None:
    """Nonsense is told by its version."""
    rng = np.random.default_rng(1)
    assert set(compare("tiny", [(rng.bytes(128), (0, 1 << 40)) for _ in range(50)])) == {Fault.VERSION}


def cycles_of(raw: dict[str, int]) -> int:
    """Cycles from ``start`` to ``done``, by the steps: a row's size, 16 of the product, and three around them."""
    cycles = 1
    for name in ("a", "w", "c", "mask", "scale", "bias"):
        if name in ("a", "w"):
            cycles += 19 + (MAX_SEGMENTS if raw[f"{name}_type"] == Data.MX else 1)
        elif name == "c":
            split = raw["c_split"]
            heads = max(1, len([r for r in result_runs(raw["n"], split, raw["c_head"]) if r[0] == 0]))
            cycles += 20 + (1 + heads if raw["c_type"] == Data.MX else 0)
        else:
            present = raw["outliers"] > 0 if name == "mask" else raw[f"{name}_mode"] == Operand.COLUMN
            cycles += 20 if present else 2
    return cycles


def test_latency() -> None:
    """About 25 cycles a region, up to 150, and for MX results a cycle for each head."""
    cases: list[Checked] = []
    for seed in range(20):
        scene = random_scene(np.random.default_rng([4, seed]), TINY, limits=(20, 90, 60))
        raw = raw_fields(scene.descriptors[0].pack())
        cases.append((pack_raw(raw), scene.window))
        if raw["c_type"] == Data.MX:
            cases.append((pack_raw({**raw, "c_split": raw["n"], "c_head": 1}), scene.window))
    got = run("tiny", cases)
    for (descriptor, _), found in zip(cases, got, strict=True):
        assert found["cycles"] == cycles_of(raw_fields(descriptor))
    most = {f"{side}_type": int(Data.MX) for side in "awc"} | {"scale_mode": 2, "bias_mode": 2, "c_split": 0}
    assert cycles_of(raw_fields(cases[0][0]) | most | {"outliers": 1}) <= MOST_CYCLES


def test_bytes_of_blocks() -> None:
    """As the formats say."""
    bench = Clocked(Function({"blocks": 16, "code": 2}, lambda m, blocks, code: {"o": bytes_of(blocks, code)}))
    cases = [(blocks, fmt) for fmt in FORMATS.values() for blocks in (0, 1, 3, 4097, 65535)]
    out = bench.run([{"blocks": blocks, "code": fmt.code} for blocks, fmt in cases], ["o"])
    assert out["o"] == [blocks * fmt.block_bytes for blocks, fmt in cases]
    assert BLOCK_SIZE == 16
