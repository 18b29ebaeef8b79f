"""The golden model of a job, against golden calls without any memory, and its rules, one by one."""

import numpy as np
import pytest

import golden
from mixdit_hw.footprint import regions_of
from mixdit_hw.host import Affine, Arena, gemm_job
from mixdit_hw.job import Data, Fault, Job, Segment, raw_fields
from mixdit_hw.params import Params
from mixdit_hw.presets import PRESETS
from mixdit_hw.sim.job_model import check_descriptor, run_descriptor, run_job, run_job_at
from mixdit_hw.sim.memory import Memory
from tests.support.jobs import BREAKS, illegal_descriptor, pack_raw, random_scene
from tests.support.matrices import random_matrix
from tests.support.mx_data import assert_same_bits

TINY = PRESETS["tiny"]
DESIGNS = (
    TINY,
    TINY.replace(k_depth=4, address_bits=64, outlier_depth=1),
    TINY.replace(formats=("mx6",), rounding="runtime", address_bits=32, nonfinite="saturate"),
    TINY.replace(formats=("mx9", "mx4"), subnormals="exact", rounding="half-away"),
)


def arena_of(size: int = 1 << 18, base: int = 1 << 20) -> tuple[Memory, Arena]:
    memory = Memory(np.random.default_rng(7).bytes(size), base)
    return memory, Arena(memory, base, size)


@pytest.mark.parametrize("seed", range(12))
def test_outliers_scale_and_heads(seed: int) -> None:
    """All that golden has for a product, and the same through memory."""
    rng = np.random.default_rng(seed)
    m, n, k = (int(rng.integers(1, x)) for x in (20, 60, 90))
    kind = ("gaussian", "wide", "nonfinite")[seed % 3]
    x, y = random_matrix(rng, (m, k), kind), random_matrix(rng, (k, n), kind)
    channels = golden.select_outliers(x, int(rng.integers(0, k + 1)))
    scale, bias = random_matrix(rng, (1, n), "gaussian")[0], random_matrix(rng, (1, n), "wide")[0]
    memory, arena = arena_of()
    w = golden.repeat_outliers(y, channels, "mx6", "mx9", axis=0)
    split, head = int(rng.integers(0, n + 1)), int(rng.integers(0, 24))
    c = arena.result(m, n, Data.MX, formats=("mx4", "mx9"), split=split, head=head)
    stored_x = arena.store(golden.to_bfloat16(x) if seed % 2 else x)
    job = gemm_job(
        stored_x,
        arena.store_mx(w),
        c,
        a_format="mx4",
        outliers=len(channels),
        mask_address=arena.store_mask(channels, k) if len(channels) else 0,
        scale=Affine(address=arena.store_words(scale)),
        bias=Affine(address=arena.store_words(bias)),
        split=split,
        head=head,
        formats=("mx4", "mx9"),
    )
    assert run_job(memory, job, TINY) is Fault.NONE
    x = golden.from_bfloat16(golden.to_bfloat16(x)) if seed % 2 else x
    y = golden.gemm(golden.split_outliers(x, channels, "mx4", axis=1), w)
    y = golden.scale_and_bias(y, scale, bias)
    step = head or max(split, 1)
    edges = [*range(0, split, step), split, *([n] if split < n else [])]
    formats = ["mx4" if first < split else "mx9" for first in edges[:-1]]
    parts = [
        golden.quantize(np.ascontiguousarray(y[:, first:end]), fmt, axis=1)
        for first, end, fmt in zip(edges, edges[1:], formats, strict=False)
        if end > first
    ]
    assert arena.load_mx(c).pack().tobytes() == golden.concat(parts).pack().tobytes()


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("data", [Data.FP32, Data.BF16])
def test_float_operands_in_both_orders(data: Data, axis: int) -> None:
    """W of numbers is converted along K, in both orders, with formats by block; results of numbers."""
    rng = np.random.default_rng(3)
    x, y = random_matrix(rng, (7, 40), "wide"), random_matrix(rng, (40, 9), "wide")
    memory, arena = arena_of()
    c = arena.result(7, 9, data)
    job = gemm_job(
        arena.store(x),
        arena.store(y if data is Data.FP32 else golden.to_bfloat16(y), axis=axis),
        c,
        a_format=["mx9", "mx9", "mx4"],
        w_format=["mx4", "mx6", "mx6"],
        scale=Affine(value=0.3),
        bias=Affine(value=-2),
    )
    assert [s.blocks for s in job.segments] == [1, 1, 1]
    assert run_job(memory, job, TINY) is Fault.NONE
    y = y if data is Data.FP32 else golden.from_bfloat16(golden.to_bfloat16(y))
    cuts = (0, 16, 32, 40)
    a, w = (
        golden.concat([golden.quantize(part(i), f, axis) for i, f in enumerate(formats)])
        for part, formats, axis in (
            (lambda i: np.ascontiguousarray(x[:, cuts[i] : cuts[i + 1]]), ("mx9", "mx9", "mx4"), 1),
            (lambda i: np.ascontiguousarray(y[cuts[i] : cuts[i + 1]]), ("mx4", "mx6", "mx6"), 0),
        )
    )
    expected = golden.scale_and_bias(golden.gemm(a, w), 0.3, -2)
    if data is Data.FP32:
        assert_same_bits(arena.load(c), expected)
    else:
        assert arena.load(c).tobytes() == golden.to_bfloat16(expected).tobytes()


def test_chained_jobs() -> None:
    """Heads of one product are the operands of the next: Q and K of attention, from X to scores."""
    rng = np.random.default_rng(5)
    memory, arena = arena_of()
    x, wq, wk = (random_matrix(rng, shape, "gaussian") for shape in ((12, 32), (32, 24), (32, 24)))
    stored = arena.store(x)
    q, k = (arena.result(12, 24, Data.MX, formats=("mx6", "mx6")) for _ in range(2))
    for c, w in ((q, wq), (k, wk)):
        job = gemm_job(stored, arena.store_mx(golden.quantize(w, "mx6", axis=0)), c, formats=("mx6", "mx6"))
        assert run_job(memory, job, TINY) is Fault.NONE
    scores = arena.result(12, 12)
    assert run_job(memory, gemm_job(q, k.as_operand(0), scores), TINY) is Fault.NONE
    a = golden.quantize(x, "mx6", axis=1)
    q_values, k_values = (golden.gemm(a, golden.quantize(w, "mx6", axis=0)) for w in (wq, wk))
    expected = golden.gemm(
        golden.quantize(q_values, "mx6", axis=1), golden.quantize(np.ascontiguousarray(k_values.T), "mx6", axis=0)
    )
    assert_same_bits(arena.load(scores), expected)


@pytest.mark.parametrize("seed", range(40))
def test_writes_its_result_and_nothing_else(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = random_scene(rng, DESIGNS[seed % len(DESIGNS)], jobs=1 + seed % 3)
    memory, faults = scene.expected()
    assert faults == [Fault.NONE] * len(scene.jobs), f"seed {seed}"
    allowed = np.zeros(len(memory), bool)
    for job in scene.descriptors:
        region = regions_of(raw_fields(job.pack()))["c"]
        for i in range(region.rows):
            first = region.address + i * region.stride - memory.base
            allowed[first : first + region.row_bytes] = True
    changed = np.frombuffer(memory.data, np.uint8) != np.frombuffer(scene.memory.data, np.uint8)
    assert changed.any()
    assert not (changed & ~allowed).any()


@pytest.mark.parametrize("fault", list(BREAKS), ids=lambda fault: fault.name)
def test_illegal_jobs(fault: Fault) -> None:
    """Each fault is told before those behind it, and nothing is written."""
    found = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        scene = random_scene(rng, DESIGNS[seed % len(DESIGNS)])
        descriptor = illegal_descriptor(rng, scene, scene.descriptors[0], fault)
        if descriptor is None:
            continue
        before = bytes(scene.memory.data)
        assert run_descriptor(scene.memory, descriptor, scene.params, scene.window) is fault, f"seed {seed}"
        assert scene.memory.data == before
        found += 1
    assert found >= 10


JOB = Job(
    m=3,
    n=5,
    k=20,
    a_address=0,
    w_address=0x1000,
    c_address=0x2000,
    a_stride=80,
    w_stride=24,
    c_stride=20,
    w_columns=True,
    segments=(Segment(blocks=2),),
)


def fault_of(params: Params = TINY, window: tuple[int, int] | None = None, **changes: int) -> Fault:
    raw = raw_fields(JOB.pack()) | changes
    return check_descriptor(Memory(bytes(0x3000)), pack_raw(raw), params, window)


def test_what_means_nothing() -> None:
    """Fields that a job does not use may hold anything."""
    assert fault_of() is Fault.NONE
    cases: tuple[dict[str, int], ...] = (
        {"segment2_a": 3, "segment3_w": 3},
        {"c_format0": 3, "c_format1": 3, "c_split": 9, "c_head": 65535},
        {"mask_address": (1 << 64) - 1, "scale": (1 << 64) - 1, "bias": (1 << 64) - 1},
        {"c_type": 2, "c_format0": 3, "c_split": 0, "c_head": 65535},
        {"c_type": 2, "c_format1": 3, "c_split": 5},
        {"a_type": 2, "segment0_blocks": 1, "a_stride": 0},
    )
    for changes in cases:
        assert fault_of(TINY, None, **changes) is Fault.NONE, changes


def test_limits_of_regions() -> None:
    """To the byte: the last address, and both ends of the window."""
    top = 1 << TINY.address_bits
    size = 2 * 80 + 80
    assert fault_of(a_address=top - size) is Fault.NONE
    assert fault_of(a_address=top - size + 4) is Fault.WRAP
    assert fault_of(a_address=1 << 63) is Fault.WRAP
    assert fault_of(window=(0, 0x2000 + 3 * 20 - 1)) is Fault.NONE
    assert fault_of(window=(0, 0x2000 + 3 * 20 - 2)) is Fault.WINDOW
    assert fault_of(window=(1, top - 1)) is Fault.WINDOW
    assert fault_of(a_stride=0xFFFFFFFC, window=(0, top - 1)) is Fault.NONE  # strides have no sign
    assert fault_of(params=TINY.replace(address_bits=32), a_stride=0xFFFFFFFC) is Fault.WRAP


def test_many_outliers_are_no_fault() -> None:
    blocks = {"k": 160, "segment0_blocks": 10, "segment1_blocks": 5, "segment1_a": 2, "a_stride": 640, "w_stride": 180}
    place = {"c_address": 0x2800, "mask_address": 0x2000}
    memory = Memory(bytes(0x2000) + bytes([255] * 8 + [255 >> 1] * 4) + bytes(0x1000))
    cases = ((79, {}, Fault.MASK), (80, {}, Fault.MASK), (92, {"segment1_blocks": 6}, Fault.NONE))
    for outliers, others, fault in (*cases, (80, {"segment1_a": 1}, Fault.FORMAT), (81, {}, Fault.FORMAT)):
        raw = raw_fields(JOB.pack()) | blocks | place | {"outliers": outliers} | others
        assert check_descriptor(memory, pack_raw(raw), TINY, None) is fault


def test_the_descriptor_itself() -> None:
    memory = Memory(bytes(0x3000))
    memory.write_memory(0x2800, JOB.pack())
    assert run_job_at(memory, 0x2802, TINY) is Fault.ALIGNMENT
    assert run_job_at(memory, 0x2800, TINY, (0, 0x2800 + 126)) is Fault.WINDOW
    assert run_job_at(memory, (1 << TINY.address_bits) - 124, TINY) is Fault.WINDOW
    assert run_job_at(memory, 0x2800, TINY, (0, 0x2800 + 127)) is Fault.NONE


def test_memory() -> None:
    memory = Memory(b"abcd", 0x100)
    assert memory.read_memory(0x101, 2) == b"bc"
    for first, count in ((0xFF, 1), (0x103, 2)):
        with pytest.raises(IndexError, match="there is no memory at"):
            memory.read_memory(first, count)
        with pytest.raises(IndexError, match="there is no memory at"):
            memory.write_memory(first, bytes(count))
    assert memory.copy().data == b"abcd"
    with pytest.raises(ValueError, match="base must be at least 0, not -1"):
        Memory(b"", -1)
