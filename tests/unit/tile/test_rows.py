"""Runs of memory against nested loops."""

from functools import cache

import numpy as np
import pytest

from mixdit_hw.job import Data
from mixdit_hw.params import Params
from mixdit_hw.tile.rows import RunWalk
from mixdit_hw.tile.slots import SIDES
from tests.support.clocked import Clocked
from tests.support.operands import Operand, random_operand
from tests.support.streams import pattern

SMALL = Params(
    rows=2, columns=20, share_rows=1, share_columns=1, interleave=5, a_depth=32, k_depth=4, a_slots=3, outlier_depth=2
)  # fmt: skip
OUTPUTS = ("run.valid", "run.payload")
Run = tuple[int, int, int]


@cache
def bench(side: str) -> tuple[RunWalk, Clocked]:
    dut = RunWalk(SMALL, side)
    return dut, Clocked(dut)


def walk(side: str, operands: list[Operand], ready: str, seed: int = 0) -> tuple[list[list[Run]], list[list[int]]]:
    """The runs of each job, one job after the other without a reset, and the cycles in which they came."""
    dut, clocked = bench(side)
    found: list[list[Run]] = []
    cycles: list[list[int]] = []

    def rows():
        willing = pattern(ready, seed)
        for operand in operands:
            bits = operand.bits()
            runs, times, quiet, now, start = [], [], 0, 0, 1
            held = None
            while quiet < 40:
                take = int(next(willing))
                yield {"job": bits, "start": start, "run.ready": take}
                start, quiet = 0, quiet + 1
                valid, payload = (clocked.outputs[name][-1] for name in OUTPUTS)
                assert held is None or (valid and payload == held), "valid and payload must stay"
                held = payload if valid and not take else None
                if valid and take:
                    run = dut.run.payload.shape().from_bits(payload)
                    runs.append((run.address, run.bytes, run.item))
                    times.append(now)
                    quiet = 0
                now += 1
            found.append(runs)
            cycles.append(times)

    clocked.run(rows(), OUTPUTS)
    return found, cycles


def expected(operand: Operand) -> list[Run]:
    wrap = 1 << operand.params.address_bits
    return [(address % wrap, size, item) for address, size, item in operand.runs()]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("kind", list(Data))
@pytest.mark.parametrize("seed", [1, 2])
def test_random_jobs(side: str, kind: Data, seed: int) -> None:
    rng = np.random.default_rng(seed)
    operands = [random_operand(rng, SMALL, side, kind=kind, most=300) for _ in range(16)]
    assert walk(side, operands, "mostly", seed)[0] == [expected(o) for o in operands]


def simple(kind: Data, *, columns: bool = True, blocks: int = 3, n: int = 20) -> Operand:
    return Operand(
        params=SMALL, side="w", m=5, n=n, k=16 * blocks, kind=kind, segments=((blocks, "mx6"),), columns=columns,
        address=64, stride=1 << 20,
    )  # fmt: skip


def test_latency_and_rate() -> None:
    """A line in a cycle; an MX line's segment in two; a row of 16 columns in a cycle, and one cycle between those."""
    operands = [simple(Data.FP32), simple(Data.MX), simple(Data.BF16, columns=False)]
    found, cycles = walk("w", operands, "always")
    assert found == [expected(o) for o in operands]
    assert [times[0] for times in cycles] == [RunWalk.latency] * 3
    lines, packed, turned = ([t - times[0] for t in times] for times in cycles)
    assert lines == list(range(20))
    assert packed == [2 * i for i in range(20)]
    assert turned == [*range(48), *range(49, 97)]


def test_longest_lines() -> None:
    """The largest sizes, where a run has the most bytes, in a memory that has the highest addresses."""
    longest = Operand(
        params=SMALL, side="a", m=3, n=1, k=65535, kind=Data.FP32, segments=((4096, "mx6"), (2, "mx9")),
        outliers=(5,), address=(1 << 40) - (3 << 32) + 64, stride=(1 << 32) - 4,
    )  # fmt: skip
    packed = Operand(
        params=SMALL, side="a", m=3, n=1, k=65535, kind=Data.MX, segments=((3, "mx9"), (65532, "mx9")),
        address=(1 << 40) - (3 << 32) + 64, stride=(1 << 32) - 2,
    )  # fmt: skip
    dut, clocked = bench("a")
    for operand in (longest, packed):
        rows = [{"job": operand.bits(), "start": int(i == 0), "run.ready": 1} for i in range(1000)]
        out = clocked.run(rows, OUTPUTS)
        payloads = [p for valid, p in zip(*(out[name] for name in OUTPUTS), strict=True) if valid]
        runs = [dut.run.payload.shape().from_bits(p) for p in payloads]
        found = [(run.address, run.bytes, run.item) for run in runs]
        assert len(found) > 150
        assert found == [run for run, _ in zip(expected(operand), found, strict=False)]
