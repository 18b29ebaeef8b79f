"""One dot engine, driven as its neighbours drive it, against exact arithmetic."""

from collections import defaultdict

import numpy as np
import pytest

from golden.formats import FORMATS, MX4, MX6, MX9, Format
from mixdit_hw.dot.engine import Engine
from mixdit_hw.dot.timing import Timing
from tests.support.blocks import Block, accumulate, random_block
from tests.support.clocked import Clocked

Tile = list[tuple[list[Block], Block]]  # per K block: T blocks of A, one of W


def random_tile(rng: np.random.Generator, interleave: int, pairs: list[tuple[Format, Format]], **wide) -> Tile:
    return [
        ([random_block(rng, fa, **wide) for _ in range(interleave)], random_block(rng, fw, **wide)) for fa, fw in pairs
    ]


def passes_of(a: Format, w: Format) -> list[tuple[bool, bool]]:
    """(A low, W low) of each pass, least significant first."""
    return [(la, lw) for lw in [True, False][2 - w.digits :] for la in [True, False][2 - a.digits :]]


def schedule(
    tiles: list[Tile], interleave: int, timing: Timing, bubbles: np.random.Generator
) -> tuple[dict[int, dict[str, int]], list[int]]:
    """Engine inputs by cycle, for tiles in a row with random bubbles, and the cycle of each tile's first result."""
    stimulus: dict[int, dict[str, int]] = defaultdict(dict)
    results, now = [], 0

    def put(cycle: int, **values: int) -> None:
        stimulus[cycle].update(values)

    def hold(cycle: int, **values: int) -> None:
        for t in range(interleave):
            put(cycle + t, **values)

    for tile in tiles:
        for k, (a, w) in enumerate(tile):
            passes = passes_of(a[0].fmt, w.fmt)
            for p, (a_low, w_low) in enumerate(passes):
                while bubbles.random() < 0.2:
                    now += interleave
                last = p == len(passes) - 1
                hold(now, w=w.operand(w_low))
                hold(now + timing.w_micro, w_micro=w.micro)
                hold(now + timing.block, first=int(p == 0), shift=p % 2)
                hold(now + timing.start, start=int(p == 0 and k == 0))
                hold(now + timing.end, end=int(last and k == len(tile) - 1))
                for t in range(interleave):
                    put(now + t, a=a[t].operand(a_low))
                    put(now + t + timing.micro, a_micro=a[t].micro)
                    if last:
                        put(now + t + timing.exponent, a_exponent=a[t].exponent, w_exponent=w.exponent)
                now += interleave
        results.append(now - interleave + timing.latency)
    return stimulus, results


def check(tiles: list[Tile], interleave: int, digits: int, seed: int, loop: int = 4, tree: str = "compressors") -> None:
    dut = Engine(interleave, digits, loop, tree)
    stimulus, results = schedule(tiles, interleave, dut.timing, np.random.default_rng(seed))
    rows = [stimulus.get(cycle, {}) | {"c": cycle} for cycle in range(results[-1] + interleave)]
    out = Clocked(dut).run(rows, ["c_next"])["c_next"]
    expected = {
        start + t: accumulate([(a[t], w) for a, w in tile])
        for tile, start in zip(tiles, results, strict=True)
        for t in range(interleave)
    }
    for cycle, word in expected.items():
        assert out[cycle] == word, f"cycle {cycle}: {out[cycle]:08x}, not {word:08x}"
    for cycle in range(1, len(out)):
        if cycle not in expected:
            assert out[cycle] == cycle - 1, "the result chain does not pass on what comes from below"


@pytest.mark.parametrize(
    ("interleave", "loop", "tree"),
    [(4, 4, "compressors"), (5, 4, "chains"), (7, 4, "compressors"), (8, 8, "compressors"), (9, 8, "chains")],
)
def test_random_formats(interleave, loop, tree):
    seed = 10 + interleave
    rng = np.random.default_rng(seed)
    formats = list(FORMATS.values())
    tiles = []
    for _ in range(8):
        pairs = [(formats[rng.integers(3)], formats[rng.integers(3)]) for _ in range(rng.integers(1, 9))]
        tiles.append(random_tile(rng, interleave, pairs, spread=int(rng.choice([1, 4, 12, 40]))))
    check(tiles, interleave, 2, seed, loop, tree)


@pytest.mark.parametrize("loop", [4, 8])
def test_range(loop):
    """Products around the least and the largest FP32 exponent."""
    rng = np.random.default_rng(1)
    pairs = [(MX9, MX9), (MX6, MX6), (MX9, MX6), (MX4, MX9)]
    centres = (63, 64, 190, 191, 5, 250) * 2
    check([random_tile(rng, loop, pairs, centre=c, spread=6) for c in centres], loop, 2, 1, loop)


@pytest.mark.parametrize("loop", [4, 8])
def test_largest_sums(loop):
    """Every element at its largest magnitude: the widest partial sums, of either sign, for all format pairs."""

    def full(fmt: Format, negative: int) -> Block:
        return Block(fmt=fmt, exponent=127, micro=0, signs=(negative,) * 16, magnitudes=(fmt.max_magnitude,) * 16)

    formats = FORMATS.values()
    tiles = [[([full(a, 0)] * loop, full(w, sign))] * 2 for a in formats for w in formats for sign in (0, 1)]
    check(tiles, loop, 2, 0, loop)


@pytest.mark.parametrize("formats", [(MX6, MX4), (MX4,)])
def test_one_digit(formats):
    """An engine without MX9 has no low digits."""
    rng = np.random.default_rng(7)
    tiles = []
    for _ in range(10):
        pairs = [(formats[rng.integers(len(formats))], formats[rng.integers(len(formats))]) for _ in range(6)]
        tiles.append(random_tile(rng, 4, pairs, spread=8))
    check(tiles, 4, 1, 7)


def test_arguments():
    with pytest.raises(ValueError, match=r"^interleave must be at least 4, not 3$"):
        Engine(3, 2)
    with pytest.raises(ValueError, match=r"^digits must be 1 or 2, not 3$"):
        Engine(4, 3)
    with pytest.raises(ValueError, match=r"^interleave must be at least 8, not 7$"):
        Engine(7, 2, 8)
    with pytest.raises(ValueError, match=r"^loop_latency must be one of 4, 8, not 5$"):
        Engine(7, 2, 5)
