"""The driver, against the model of the accelerator."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import golden
from mixdit_hw.emit.contract import numerics_digest
from mixdit_hw.errors import DeviceError, JobFault
from mixdit_hw.host import (
    COUNTERS,
    OFFSETS,
    Accelerator,
    Affine,
    Arena,
    Capabilities,
    Stored,
    gemm_job,
    mask_bytes,
)
from mixdit_hw.job import Data, Fault, Job, Operand, Segment
from mixdit_hw.presets import PRESETS
from mixdit_hw.sim.memory import Memory
from mixdit_hw.sim.model_transport import ModelTransport
from tests.support.errors import raises_exactly
from tests.support.matrices import random_matrix
from tests.support.mx_data import assert_same_bits

TINY = PRESETS["tiny"]
BASE, SIZE = 0x1000, 1 << 17


class Bench:
    """An accelerator in Python, its driver, and an arena over its memory."""

    def __init__(self, **changes) -> None:
        params = TINY.replace(**changes)
        self.transport = ModelTransport(params, Memory(np.random.default_rng(1).bytes(SIZE), BASE))
        self.arena = Arena(self.transport, BASE, SIZE)
        self.accelerator = Accelerator(self.transport, self.arena)

    def product(self, tag: int = 0, *, interrupt: bool = True) -> tuple[Job, np.ndarray, Stored]:
        """A job, what its C must be, and where that is."""
        rng = np.random.default_rng(tag)
        x, y = random_matrix(rng, (9, 33), "gaussian"), golden.quantize(random_matrix(rng, (33, 6), "wide"), "mx9", 0)
        c = self.arena.result(9, 6)
        job = gemm_job(self.arena.store(x), self.arena.store_mx(y), c, tag=tag, interrupt=interrupt)
        return job, golden.gemm(golden.quantize(x, "mx6"), y), c


def test_counters_are_registers() -> None:
    assert len(COUNTERS) == 11
    assert set(COUNTERS.values()) < set(OFFSETS.values())


def test_one_job() -> None:
    bench = Bench()
    job, expected, c = bench.product()
    assert set(bench.accelerator.run(job)) == set(COUNTERS)
    assert_same_bits(bench.arena.load(c), expected)


def test_capabilities() -> None:
    bench = Bench(formats=("mx9", "mx4"), rounding="runtime", outlier_depth=3, queue_depth=8, axi_width=512)
    assert bench.accelerator.capabilities == Capabilities(
        rows=2,
        columns=2,
        interleave=4,
        drain=1,
        axi_bytes=64,
        address_bits=40,
        queue_depth=8,
        formats=("mx9", "mx4"),
        runtime_rounding=True,
        k_depth=64,
        a_slots=2,
        store_lanes=2,
        outliers=63,
    )
    assert Bench(formats=("mx6",)).accelerator.capabilities.outliers == 0


@pytest.mark.parametrize("interrupt", [False, True])
def test_more_jobs_than_the_queue_holds(interrupt: bool) -> None:
    bench = Bench()
    products = [bench.product(tag, interrupt=interrupt) for tag in range(12)]
    for job, _, _ in products:
        bench.accelerator.submit(job)
    bench.accelerator.wait()
    for _, expected, c in products:
        assert_same_bits(bench.arena.load(c), expected)
    assert bench.transport.read32(OFFSETS["DONE_COUNT"]) == 12
    assert bench.transport.read32(OFFSETS["JOB_TAG"]) == 11


@pytest.mark.parametrize("drop", [False, True])
def test_a_fault_stops_the_jobs_behind(drop: bool) -> None:
    bench = Bench()
    job, expected, c = bench.product(3)
    before = bench.arena.load(c)
    wrong = Job(**{**vars(job), "tag": 7, "n": 0})
    bench.accelerator.submit(wrong)
    bench.transport.wait_interrupt(1)
    with raises_exactly(JobFault, "job 7 stopped with fault 2, SIZE"):
        bench.accelerator.submit(job)
    bench.accelerator.clear_fault()
    bench.accelerator.submit(wrong)
    bench.accelerator.submit(job)
    with pytest.raises(JobFault) as caught:
        bench.accelerator.wait()
    assert (caught.value.name, caught.value.code, caught.value.tag) == ("SIZE", 2, 7)
    assert_same_bits(bench.arena.load(c), before)
    bench.accelerator.clear_fault(drop=drop)
    bench.accelerator.wait()
    assert_same_bits(bench.arena.load(c), before if drop else expected)
    bench.accelerator.run(job)
    assert_same_bits(bench.arena.load(c), expected)


def test_window_and_abort() -> None:
    bench = Bench()
    job, _, _ = bench.product()
    bench.accelerator.set_window(BASE, job.c_address)
    with raises_exactly(JobFault, "job 0 stopped with fault 6, WINDOW"):
        bench.accelerator.run(job)
    bench.accelerator.clear_fault()
    bench.accelerator.set_window(0, (1 << 40) - 1)
    bench.accelerator.submit(job)
    bench.accelerator.abort()
    with raises_exactly(JobFault, "job 0 stopped with fault 12, ABORT"):
        bench.accelerator.wait()
    bench.accelerator.clear_fault()
    bench.accelerator.abort()  # nothing runs
    bench.accelerator.run(job)


def test_timeouts() -> None:
    bench = Bench()
    seconds = iter(range(1000))
    accelerator = Accelerator(bench.transport, bench.arena, clock=lambda: float(next(seconds)))
    job, _, _ = bench.product()
    accelerator.submit(job)
    bench.transport._queue.clear()  # an accelerator that hangs
    with raises_exactly(DeviceError, "the accelerator took too long: 0 of 1 jobs are done"):
        accelerator.wait(5)


@pytest.mark.parametrize("name", ["ID", "VERSION", "DIGEST3"])
def test_another_device(name: str) -> None:
    bench = Bench()
    bench.transport._registers[name] ^= 0x10
    with pytest.raises(DeviceError, match="must be") as caught:
        Accelerator(bench.transport, bench.arena)
    assert (numerics_digest()[:16] if name == "DIGEST3" else name) in str(caught.value)


def test_arena_gives_and_takes() -> None:
    arena = Arena(Memory(bytes(0x400), 0x1010), 0x1010, 0x400)
    first, second, third = arena.allocate(1), arena.allocate(65), arena.allocate(64)
    assert [first, second, third] == [0x1040, 0x1080, 0x1100]
    arena.free(second)
    assert arena.allocate(129) == 0x1140  # the gap is too small
    assert arena.allocate(128) == 0x1080
    for place in (first, second, third, 0x1140):
        arena.free(place)
    assert arena.allocate(0x410 - 0x40) == 0x1040  # all in one piece again
    with raises_exactly(DeviceError, "the memory has no 1 bytes left in one piece, but 0"):
        arena.allocate(1)
    with raises_exactly(ValueError, "nothing was given out at 0x1080"):
        arena.free(0x1080)
    with raises_exactly(ValueError, "count must be at least 1, not 0"):
        arena.allocate(0)


def test_arena_stores_and_loads() -> None:
    rng = np.random.default_rng(2)
    arena = Arena(Memory(bytes(1 << 16)), 0, 1 << 16)
    x = random_matrix(rng, (5, 18), "nonfinite")
    words = golden.to_bfloat16(x)
    for axis in (0, 1):
        assert_same_bits(arena.load(arena.store(x, axis=axis)), x)
        assert np.array_equal(arena.load(arena.store(words, axis=axis)), words)
        t = golden.quantize(x, "mx6", axis=axis)
        stored = arena.store_mx(t)
        assert (stored.rows, stored.row_bytes) == ((5, 24) if axis else (18, 12))
        assert arena.load_mx(stored).pack().tobytes() == t.pack().tobytes()
    with raises_exactly(ValueError, "x must be a matrix of float32 or uint16, not float64 of shape (2, 2)"):
        arena.store(np.zeros((2, 2)))
    with raises_exactly(ValueError, "stored must be FP32 or BF16, not MX"):
        arena.load(arena.store_mx(golden.quantize(x, "mx4")))
    with raises_exactly(ValueError, "stored must be MX, not FP32"):
        arena.load_mx(arena.store(x))


def test_masks() -> None:
    assert mask_bytes([0, 9, 16], 17) == bytes([1, 2, 1, 0])
    assert mask_bytes([], 1) == bytes(2)
    with raises_exactly(ValueError, "channels must be 0 to 16, not 3 to 17"):
        mask_bytes([17, 3], 17)
    with raises_exactly(ValueError, "channels must be distinct"):
        mask_bytes([3, 3], 17)


def test_segments_of_a_job() -> None:
    """The outliers have segments of their own, also where their formats are those before them."""
    arena = Arena(Memory(bytes(1 << 16)), 0, 1 << 16)
    rng = np.random.default_rng(2)
    x, y = random_matrix(rng, (4, 40), "wide"), random_matrix(rng, (40, 3), "wide")
    w = arena.store_mx(golden.repeat_outliers(y, [1, 39], "mx9", axis=0))
    job = gemm_job(arena.store(x), w, arena.result(4, 3), a_format="mx9", outliers=2, mask_address=2)
    assert job.segments == (Segment(blocks=3, a="mx9", w="mx9"), Segment(blocks=1, a="mx9", w="mx9"))
    assert (job.k, job.outliers, job.w_columns, job.scale_mode) == (40, 2, True, Operand.NONE)


def test_jobs_that_do_not_fit() -> None:
    arena = Arena(Memory(bytes(1 << 20)), 0, 1 << 20)
    rng = np.random.default_rng(2)
    x, y = random_matrix(rng, (4, 80), "wide"), random_matrix(rng, (80, 3), "wide")
    a, w, c = arena.store(x), arena.store(y), arena.result(4, 3)
    mx = arena.result(4, 3, Data.MX)
    formats = ["mx9", "mx6", "mx9", "mx6", "mx9"]
    with raises_exactly(ValueError, "formats along K must make at most 4 segments, not 5"):
        gemm_job(a, w, c, a_format=formats)
    with raises_exactly(ValueError, "a_format must name 5 formats, not 4"):
        gemm_job(a, w, c, a_format=formats[:4])
    with raises_exactly(ValueError, "c must be (4, 3), not (3, 4)"):
        gemm_job(a, w, arena.result(3, 4))
    with raises_exactly(ValueError, "outliers need a of FP32 or BF16, and w of MX"):
        gemm_job(a, w, c, outliers=1)
    with raises_exactly(ValueError, "a and w must have the same K, not 80 and 81"):
        gemm_job(a, arena.store(random_matrix(rng, (81, 3), "wide")), c)
    with raises_exactly(ValueError, "w must have 5 blocks along K, not 6"):
        gemm_job(a, arena.store_mx(golden.quantize(random_matrix(rng, (81, 3), "wide"), "mx6", 0)), c)
    with raises_exactly(ValueError, "a and c must have rows, and a w of MX columns, along a row in memory"):
        gemm_job(arena.store(x, axis=0), w, c)
    with raises_exactly(ValueError, "c must have been made with the same formats, split and head"):
        gemm_job(a, w, mx, split=1)
    with raises_exactly(ValueError, "an operand must be a value or an address, not both"):
        Affine(value=1.0, address=64)
    with pytest.raises(ValueError, match="M, N and K must be at most 65535"):
        gemm_job(arena.store(np.zeros((65536, 1), np.float32)), arena.store(np.ones((1, 1), np.float32)), c)


def test_a_busy_accelerator_is_not_taken_over() -> None:
    """What an earlier driver has left is refused, or with ``recover`` stopped and dropped."""
    bench = Bench()
    job, expected, c = bench.product()
    bench.accelerator.submit(job)
    with raises_exactly(DeviceError, "the accelerator must be idle, not at work"):
        bench.accelerator.set_window(0, 1)
    place = bench.arena.allocate(2048)
    bench.accelerator.submit(job)
    bench.accelerator.abort()
    with raises_exactly(DeviceError, "the accelerator must be idle, not halted"):
        Accelerator(bench.transport, place)
    accelerator = Accelerator(bench.transport, place, recover=True)
    assert bench.transport.read32(OFFSETS["STATUS"]) == 0
    assert not bench.transport.wait_interrupt(0)
    accelerator.run(job)
    assert np.array_equal(bench.arena.load(c), expected)


def test_descriptors_of_an_address() -> None:
    bench = Bench()
    job, expected, c = bench.product()
    place = bench.arena.allocate(1024)
    for by in (4, 32, 63):
        with raises_exactly(ValueError, f"descriptors must be at a multiple of 64, not at {place + by:#x}"):
            Accelerator(bench.transport, place + by)
    Accelerator(bench.transport, place).run(job)
    assert_same_bits(bench.arena.load(c), expected)


def test_scale_and_bias_are_no_arrays() -> None:
    arena = Bench().arena
    a, w, c = arena.store(np.ones((4, 16), np.float32)), arena.store(np.ones((16, 3), np.float32)), arena.result(4, 3)
    columns = "Affine(address=arena.store_words(x))"
    for name, given, kind in (("scale", np.ones(3, np.float32), "ndarray"), ("bias", 0.5, "float")):
        text = f"{name} must be an Affine, not {kind}: for one number, Affine(value=x); for columns, {columns}"
        options: dict[str, Any] = {name: given}
        with raises_exactly(TypeError, text):
            gemm_job(a, w, c, **options)
    with raises_exactly(TypeError, f"value must be a number, not ndarray: for columns, {columns}"):
        Affine(value=np.ones(1, np.float32))  # type: ignore[arg-type]
    with raises_exactly(TypeError, f"address must be that of words in memory, not ndarray: {columns}"):
        Affine(address=np.ones(3, np.float32))  # type: ignore[arg-type]
    assert Affine(value=np.float32(1)).fields == (Operand.TENSOR, 0x3F800000)
    assert Affine(address=64).fields == (Operand.COLUMN, 64)


@pytest.mark.parametrize("name", ["scale", "bias"])
def test_scale_and_bias_have_a_word_for_each_column(name: str) -> None:
    arena = Bench().arena
    a, w, c = arena.store(np.ones((4, 16), np.float32)), arena.store(np.ones((16, 3), np.float32)), arena.result(4, 3)
    options: dict[str, Any] = {name: Affine(address=arena.store_words(np.ones(2, np.float32)))}
    with raises_exactly(ValueError, f"{name} must have a word for each of the N=3 columns, not 2"):
        gemm_job(a, w, c, **options)
    words = arena.store_words(np.ones(3, np.float32))
    options = {name: Affine(address=words)}
    job = gemm_job(a, w, c, **options)
    assert (getattr(job, f"{name}_mode"), getattr(job, name)) == (Operand.COLUMN, words.address)
    arena.free(words)


def test_formats_are_no_data() -> None:
    arena = Bench().arena
    text = "data must be Data.FP32, Data.BF16 or Data.MX, not 'mx6': formats of MX are given apart"
    with raises_exactly(TypeError, text):
        arena.result(4, 3, "mx6")  # type: ignore[arg-type]
    with raises_exactly(TypeError, text):
        Stored(address=0, stride=64, shape=(4, 16), data="mx6")  # type: ignore[arg-type]


def test_no_fault_to_clear() -> None:
    with raises_exactly(DeviceError, "the accelerator must be halted by a fault to go on from it"):
        Bench().accelerator.clear_fault()


def test_channels_of_w() -> None:
    """Equal block counts are not enough."""
    bench = Bench()
    a, w = bench.arena.store(np.ones((4, 20), np.float32)), np.ones((30, 4), np.float32)
    stored = bench.arena.store_mx(golden.quantize(w, "mx6", axis=0))
    with raises_exactly(ValueError, "w must have the K=20 channels of a and 0 outliers, not 30"):
        gemm_job(a, stored, bench.arena.result(4, 4))


def test_tag_of_a_descriptor_that_is_not_read() -> None:
    bench = Bench()
    job, _, _ = bench.product(tag=5)
    address = bench.arena.store_bytes(job.pack())
    bench.accelerator.submit_at(address + 2)
    with pytest.raises(JobFault) as error:
        bench.accelerator.wait()
    assert (error.value.code, error.value.tag) == (Fault.ALIGNMENT, 0)
    assert bench.transport.read32(OFFSETS["JOB_TAG"]) == 0


def test_no_memory_there() -> None:
    """A job beside the memory ends in a fault, and the next one is done."""
    bench = Bench()
    job, expected, c = bench.product()
    with pytest.raises(JobFault) as error:
        bench.accelerator.run(replace(job, a_address=1 << 30))
    assert error.value.code == Fault.READ_DECODE
    bench.accelerator.clear_fault()
    bench.accelerator.run(job)
    assert np.array_equal(bench.arena.load(c), expected)
