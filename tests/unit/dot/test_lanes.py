"""The lanes against Python's integers."""

import random
from itertools import product

import pytest
from amaranth.hdl import Const, Value

from mixdit_hw.dot.lanes import PAIR_BITS, PRODUCT_BITS, Lanes
from mixdit_hw.dot.operand import DigitsLayout
from mixdit_hw.dot.timing import TIMINGS, Timing
from tests.support.clocked import Clocked

Lane = tuple[int, int]  # digit and sign


def bits(lanes: list[Lane]) -> int:
    layout = DigitsLayout()
    return Const.cast(
        Value.cast(
            layout.const({"digits": [d for d, _ in lanes], "signs": sum(s << i for i, (_, s) in enumerate(lanes))})
        )
    ).value


def expected(a: list[Lane], w: list[Lane], w_micro: int) -> tuple[int, int]:
    """Raw ``pairs`` and ``signs``."""
    products = [x * y * (-1) ** (s ^ t) for (x, s), (y, t) in zip(a, w, strict=True)]
    signs = [a[2 * j][1] ^ w[2 * j][1] for j in range(8)]
    pairs = 0
    for j in range(8):
        stored = (products[2 * j] + products[2 * j + 1]) * (1 if w_micro >> j & 1 else 2) - signs[j]
        pairs |= stored % (1 << PAIR_BITS) << j * PAIR_BITS
    return pairs, sum(sign << j for j, sign in enumerate(signs))


def products(a: list[Lane], w: list[Lane]) -> dict[str, int]:
    """Inputs of lanes whose multipliers are outside."""
    pairs = list(zip(a, w, strict=True))
    return {
        "products": sum(x * y << PRODUCT_BITS * i for i, ((x, _), (y, _)) in enumerate(pairs)),
        "product_signs": sum((s ^ t) << i for i, ((_, s), (_, t)) in enumerate(pairs)),
    }


def check(cases: list[tuple[list[Lane], list[Lane]]], timing: Timing, multiply: bool, seed: int = 0) -> None:
    """With random microexponents of W, which come when the timing says."""
    rng = random.Random(seed)
    micros = [rng.randrange(256) for _ in cases]
    rows = [{"a": bits(a), "w": bits(w)} if multiply else products(a, w) for a, w in cases]
    rows += [{} for _ in range(timing.w_micro)]
    for n, micro in enumerate(micros):
        rows[n + timing.w_micro]["w_micro"] = micro
    out = Clocked(Lanes(timing, multiply=multiply)).run(rows, ["pairs", "signs"], tail=timing.lanes - timing.w_micro)
    got = list(zip(out["pairs"], out["signs"], strict=True))[timing.lanes :]
    for (a, w), micro, result in zip(cases, micros, got, strict=True):
        assert result == expected(a, w, micro), f"{a} times {w}, microexponents {micro:08b}"


TIMING = pytest.mark.parametrize("timing", TIMINGS.values(), ids=[f"loop{latency}" for latency in TIMINGS])

MULTIPLY = pytest.mark.parametrize("multiply", [True, False], ids=["multipliers", "products"])


@MULTIPLY
@TIMING
def test_all_products(timing, multiply):
    """All digits and signs of one product, beside another one of its pair at both ends and in the middle."""
    cases = []
    others = [((0, 0), (0, 0)), ((15, 0), (15, 0)), ((15, 1), (15, 0)), ((7, 0), (11, 1))]
    for n, (x, y, sign) in enumerate(product(range(16), range(16), range(4))):
        a: list[Lane] = []
        w: list[Lane] = []
        for j in range(8):
            this, other = ((x, sign & 1), (y, sign >> 1)), others[(j + n) % 4]
            for p, q in (this, other) if j < 4 else (other, this):
                a.append(p)
                w.append(q)
        cases.append((a, w))
    check(cases, timing, multiply)


@MULTIPLY
@TIMING
@pytest.mark.parametrize("seed", [1])
def test_random(seed, timing, multiply):
    rng = random.Random(seed)

    def lanes() -> list[Lane]:
        top = rng.choice([1, 4, 16])
        return [
            (16 - 1 - rng.randrange(top) if rng.random() < 0.5 else rng.randrange(top), rng.randrange(2))
            for _ in range(16)
        ]

    check([(lanes(), lanes()) for _ in range(500)], timing, multiply, seed)
