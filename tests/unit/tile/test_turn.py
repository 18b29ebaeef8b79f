"""The turner against transposed lists."""

import random
from functools import cache

import pytest

from mixdit_hw.tile.turn import Turner
from tests.support.blocks import join
from tests.support.streams import CROSSED, Bench, Sink, Source, assert_full_rate

TAG = 5
Square = tuple[list[list[int]], int, int]  # rows of 16 words, columns that count, tag


@cache
def bench() -> tuple[Turner, Bench]:
    dut = Turner(TAG)
    return dut, Bench(dut)


def squares(seed: int, count: int) -> list[Square]:
    rng = random.Random(seed)
    sizes = [rng.choice([1, 15, 16, 16, rng.randrange(1, 17)]) for _ in range(2 * count)]
    return [
        ([[rng.getrandbits(32) for _ in range(16)] for _ in range(rows)], columns, rng.getrandbits(TAG))
        for rows, columns in zip(sizes[::2], sizes[1::2], strict=True)
    ]


def check(todo: list[Square], idle: str = "always", back: str = "always") -> tuple[Source, Sink]:
    dut, simulated = bench()
    beats, ends, columns = [], [], []
    for rows, count, tag in todo:
        for k, words in enumerate(rows):
            beats.append(join(words, 32) | len(rows) << 512 | count << 517 | tag << 522)
            ends.append(int(k == len(rows) - 1))
        for n in range(count):
            words = [row[n] for row in rows]
            columns.append(join(words, 32) | n << 512 | int(n == count - 1) << 516 | tag << 517)
    source, sink = Source(dut.i, beats, idle=idle, seed=1), Sink(dut.o, len(columns), backpressure=back, seed=2)
    simulated.run(source, sink, watch=[dut.square_end])
    assert sink.items == columns
    assert [simulated.watched[cycle][0] for cycle in source.cycles] == ends
    return source, sink


def test_random_squares() -> None:
    check(squares(1, 40))


@pytest.mark.parametrize(("idle", "back"), CROSSED)
def test_flow(idle: str, back: str) -> None:
    check(squares(2, 6), idle, back)


def test_latency_and_rate() -> None:
    """Whole squares follow each other without a gap, in and out."""
    words = [[16 * k + n for n in range(16)] for k in range(16)]
    source, sink = check([(words, 16, tag) for tag in range(5)])
    assert_full_rate(source, sink)
    assert sink.cycles[0] - source.cycles[15] == Turner.latency
