"""Block sums over digit passes against the exact integer dot product."""

from dataclasses import dataclass

import numpy as np
import pytest

from golden.formats import FORMATS, MX4, MX6, MX9, Format
from mixdit_hw.dot.block_sum import HIGH_BITS, TREES, BlockSum
from mixdit_hw.dot.lanes import PAIR_BITS
from mixdit_hw.dot.timing import TIMINGS
from tests.support.blocks import Block, block_dot, random_block
from tests.support.clocked import Clocked


@dataclass(frozen=True)
class Pass:
    """Inputs of one cycle and, after a block's last pass, 2^(8 digits - ma - mw) times its dot product."""

    inputs: dict[str, int]
    total: int | None = None


def digits_of(block: Block, low: bool) -> list[int]:
    scaled = [m << 8 - block.fmt.magnitude_bits for m in block.magnitudes]
    return [(m & 15 if low else m >> 4) * (-1) ** s for m, s in zip(scaled, block.signs, strict=True)]


def passes(a: Block, w: Block, digits: int) -> list[Pass]:
    """All passes of a block pair, in order; as `Lanes` would give them."""
    steps = [(la, lw) for lw in [True, False][2 - w.fmt.digits :] for la in [True, False][2 - a.fmt.digits :]]
    result = []
    for p, (a_low, w_low) in enumerate(steps):
        products = [x * y for x, y in zip(digits_of(a, a_low), digits_of(w, w_low), strict=True)]
        pairs = signs = 0
        for j in range(8):
            sign = a.signs[2 * j] ^ w.signs[2 * j]
            signs |= sign << j
            pair = (products[2 * j] + products[2 * j + 1]) * (1 if w.micro >> j & 1 else 2) - sign
            pairs |= pair % (1 << PAIR_BITS) << j * PAIR_BITS
        inputs = {"pairs": pairs, "signs": signs, "a_micro": a.micro}
        inputs |= {"first": int(p == 0), "shift": p % 2}
        last = p == len(steps) - 1
        weight = 8 * digits - a.fmt.magnitude_bits - w.fmt.magnitude_bits
        result.append(Pass(inputs, block_dot(a, w) << weight if last else None))
    return result


def check(streams: list[list[Pass]], digits: int, loop: int, tree: str) -> None:
    """Each stream is one output's passes; they are visited in turn, so a stream's passes are T cycles apart."""
    interleave = len(streams)
    cycles = [p for turn in zip(*streams, strict=True) for p in turn]
    timing = TIMINGS[loop]
    latency = timing.block_sum
    dut = BlockSum(timing, interleave, digits, tree)
    out = Clocked(dut).run([p.inputs for p in cycles], ["high", "low"], tail=latency)
    low_bits = len(dut.low)
    kept: list[int | None] = [None] * interleave  # the finished sum must also stay through the bubbles after it
    checked = 0
    for n, p in enumerate(cycles):
        if p.inputs:
            kept[n % interleave] = p.total
        total = kept[n % interleave]
        if total is not None:
            high = (out["high"][n + latency] ^ 1 << HIGH_BITS - 1) - (1 << HIGH_BITS - 1)
            assert high << low_bits | out["low"][n + latency] == total, f"cycle {n}"
            checked += 1
    assert checked > len(cycles) // 5


def random_stream(rng: np.random.Generator, formats: tuple[Format, ...], digits: int, length: int) -> list[Pass]:
    stream: list[Pass] = []
    while len(stream) < length:
        fa, fw = (formats[rng.integers(len(formats))] for _ in range(2))
        for p in passes(random_block(rng, fa), random_block(rng, fw), digits):
            stream += [Pass({})] * int(rng.integers(0, 3) * (rng.random() < 0.3)) + [p]
    return stream[:length]


@pytest.mark.parametrize(
    ("interleave", "digits", "loop", "tree", "formats"),
    [
        (4, 2, 4, "compressors", (MX9, MX6, MX4)),
        (5, 2, 4, "chains", (MX9, MX6)),
        (16, 2, 4, "compressors", (MX9,)),
        (8, 2, 8, "compressors", (MX9, MX6, MX4)),
        (11, 2, 8, "chains", (MX9, MX6, MX4)),
        (4, 1, 4, "compressors", (MX6, MX4)),
        (9, 1, 8, "chains", (MX6, MX4)),
        (7, 1, 4, "compressors", (MX4,)),
    ],
)
def test_random(interleave, digits, loop, tree, formats):
    seed = 100 * digits + interleave
    rng = np.random.default_rng(seed)
    check([random_stream(rng, formats, digits, 400 // interleave) for _ in range(interleave)], digits, loop, tree)


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("loop", TIMINGS)
@pytest.mark.parametrize("digits", [1, 2])
def test_largest(digits, loop, tree):
    """All elements at their largest magnitude, without microexponents, in either sign and with a sum of zero."""
    formats = [f for f in FORMATS.values() if f.digits <= digits]

    def full(fmt: Format, signs: int, micro: int) -> Block:
        return Block(
            fmt=fmt,
            exponent=127,
            micro=micro,
            signs=tuple(signs >> i & 1 for i in range(16)),
            magnitudes=(fmt.max_magnitude,) * 16,
        )

    stream = []
    for fa in formats:
        for fw in formats:
            for signs in (0, 0xFFFF, 0x5555, 0xAAAA, 0x3333, 0x00FF, 0x0001):
                for micro in (0, 0x55, 0xFF):
                    stream += passes(full(fa, signs, micro), full(fw, 0, 0), digits)
    check([stream] * loop, digits, loop, tree)


def test_argument():
    with pytest.raises(ValueError, match=r"^tree must be one of compressors, chains, not 'x'$"):
        BlockSum(TIMINGS[4], 4, 2, "x")
