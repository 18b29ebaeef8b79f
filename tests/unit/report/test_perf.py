"""The performance model's results as text; the figures are those of the values."""

import pytest

from mixdit_hw.mixes import Mix
from mixdit_hw.perf.arrays import array_of
from mixdit_hw.perf.compare import compare
from mixdit_hw.perf.core import CAUSES
from mixdit_hw.perf.gpu import Measured
from mixdit_hw.perf.memory import Memory
from mixdit_hw.perf.model import PARTS
from mixdit_hw.report import perf
from mixdit_hw.workloads import MODELS, Gemm

PARAMS = array_of(1024)
PRODUCT = Gemm(name="product", layer="product", m=100, n=60, k=200, segments=Mix(outliers=16).linear(200))


def result(name: str = "DiT-S-256", **options) -> dict:
    model = MODELS[name]
    return compare(model.gemms(), PARAMS, name=name, clock=1e9, steps=model.steps, **options)


def test_every_part_and_bound_has_a_name() -> None:
    assert tuple(perf.PARTS) == PARTS
    assert set(perf.BOUNDS) == {"engines", "memory", "start", *CAUSES}


def test_one_product() -> None:
    found = compare([PRODUCT], PARAMS, name="product", clock=1e9, memory=Memory(a=2))
    lines = list(perf.result_lines(found))
    cost, authors = found["layers"][0]["ours"], found["authors"]
    assert " ".join(lines[0].split()) == (
        "product M x K x N instances formats cycles share utilisation useful bound by authors' cycles utilisation"
    )
    assert lines[1].startswith("product  100 x 200 x 60          1  200 6x6 + 16 9x6  ")
    assert lines[1].split()[12:] == [
        f"{cost['cycles']:,}",
        "100.0%",
        f"{cost['utilisation']:.1%}",
        f"{cost['useful']:.1%}",
        "stream",
        "A",
        f"{authors['cycles']:,}",
        f"{authors['utilisation']:.1%}",
    ]
    text = "\n".join(lines)
    assert 1e3 < cost["cycles"] < 1e5
    assert f"ours        {cost['cycles']:,} cycles, {cost['cycles'] / 1e6:.3g} ms; utilisation" in text
    assert f"C {cost['bytes']['c']:,} bytes, " in text
    assert f"K and outlier padding {cost['parts']['k_padding'] / cost['cycles']:.1%}, " in text
    assert f"wait for A {cost['parts']['wait_a'] / cost['cycles']:.1%}" in text
    speedup = authors["cycles"] / cost["cycles"]
    assert f"ours is {speedup:.2f} times as fast, at equal clock and 1,024 MX6 MAC per cycle each" in text


def test_gpu_is_never_one_bare_number() -> None:
    text = "\n".join(perf.result_lines(result()))
    assert "times as fast as an RTX 3090 of 71.2 TFLOPS (FP16, accumulated in FP32), 936 GB/s:" in text
    for key in ("if it reaches 40%", "if it reaches 50%", "if it reaches 60%", "at its roofline"):
        assert text.count(key) == 1


def test_shares_that_the_roofline_rules_out() -> None:
    """A product of so few multiplications per byte that the GPU's memory is too slow for 60 % of its peak."""
    gemm = Gemm(name="product", layer="product", m=128, n=4096, k=64, segments=Mix().linear(64))
    found = compare([gemm], PARAMS, name="product", clock=1e9)
    seconds = {key: time["seconds_per_step"] for key, time in found["gpu"]["assumed"].items()}
    assert [key for key, time in seconds.items() if time < seconds["roofline"]] == ["60%"]
    (line,) = (line for line in perf.result_lines(found) if "rules out" in line)
    assert line.endswith(f" if it reaches 60% ({1e3 * seconds['60%']:.3g} ms), which its roofline rules out")
    note = perf.gpu_note([result()], "ours")
    assert "rules out" not in note
    assert perf.gpu_note([result(), found], "ours") == f"{note} Its roofline rules out product at 60%."


def test_measured() -> None:
    measured = Measured(device="Some GPU", software="torch 2", seconds={"DiT-S-256": 0.25})
    found = result(measured=measured)
    text = "\n".join(perf.result_lines(found))
    speedup = 0.25 / found["ours"]["seconds_per_step"]
    assert f"GPU         {speedup:.2f} times as fast as Some GPU: 250.000 ms measured, " in text
    assert "if it reaches" not in text


def test_unequal_multipliers_are_told() -> None:
    text = "\n".join(perf.result_lines(result(authors=(8, 8))))
    assert "at equal clock and 1,024 MX6 MAC per cycle against 256" in text


def test_overview() -> None:
    measured = Measured(device="Some GPU", software="torch 2", seconds={"DiT-B-256": 0.25})
    results = [result("DiT-S-256"), result("DiT-B-256", measured=measured)]
    head, small, base, empty, authors, note = perf.overview_lines(results)
    assert "  useful  authors M  utilisation  over authors  GPU 40%" in head
    assert head.endswith("GPU 40%  GPU 50%  GPU 60%  GPU roofline  GPU measured")
    assert small.split()[0] == "DiT-S-256"
    assert small.split()[-1] == "-"
    assert base.split()[-5:-1] == ["-"] * 4
    assert empty == ""
    assert authors == "Over authors: how many times as fast ours is as the authors' schedule, at equal clock."
    assert note == (
        "GPU: how many times as fast ours is as a GPU at that share of the RTX 3090's 71.2 TFLOPS (FP16, accumulated "
        "in FP32), or at its roofline with 936 GB/s; measured on Some GPU (torch 2)."
    )


def test_small_numbers_keep_their_digits() -> None:
    slow = result(memory=Memory(bandwidth=0.01))
    row = list(perf.overview_lines([slow]))[1].split()
    ratios = [slow["authors"]["speedup"], *(found["speedup"] for found in slow["gpu"]["assumed"].values())]
    assert max(ratios) < 1e-3
    assert row[-5:] == [f"{ratio:.3g}" for ratio in ratios]
    text = "\n".join(perf.result_lines(slow))
    assert f"ours is {ratios[0]:.3g} times as fast" in text
    assert f" {ratios[-1]:.3g} at its roofline" in text
    fast = compare([PRODUCT], PARAMS, name="product", clock=1e12, steps=1)
    small = (PRODUCT.macs / 1e9, fast["ours"]["cycles"] / 1e6, 1e-9 * fast["ours"]["cycles"])
    assert list(perf.overview_lines([fast]))[1].split()[1:4] == [f"{value:.3g}" for value in small]


@pytest.mark.parametrize(("schedule", "absent"), [("ours", "authors"), ("authors", "ours")])
def test_one_schedule(schedule: str, absent: str) -> None:
    found = result(schedule=schedule)
    assert absent not in "\n".join(perf.result_lines(found, slowed=True))
    overview = "\n".join(perf.overview_lines([found, found], slowed=True))
    assert f"{absent} M" not in overview
    assert "like with like" not in overview


@pytest.mark.parametrize(
    ("memory", "slow"),
    [
        ({}, False),
        ({"bandwidth": 936.0}, True),
        ({"latency": 1}, True),
        ({"a": 1.5}, True),
        ({"w": 2.0}, True),
        ({"c": 2.0}, True),
    ],
)
def test_slow_memories(memory: dict, slow: bool) -> None:
    free = {"bandwidth": None, "latency": 0, "buffer": 0, "a": 1.0, "w": 1.0, "c": 1.0}
    assert perf.slows(free | memory) == slow


def test_slow_memories_are_told_beside_the_authors_schedule() -> None:
    found = result(memory=Memory(latency=1))
    note = "not like with like: the memory slows ours, and the authors' schedule knows none"
    lines = list(perf.result_lines(found, slowed=True))
    at = next(i for i, line in enumerate(lines) if "times as fast, at equal clock" in line)
    assert lines[at + 1] == f"            {note}"
    assert list(perf.overview_lines([found], slowed=True))[-2].endswith(f", at equal clock; {note}.")
    assert not any(note in line for lines in (perf.result_lines(found), perf.overview_lines([found])) for line in lines)
