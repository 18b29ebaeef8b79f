"""Blocks of rows against lists of them."""

import random
from collections.abc import Iterator
from functools import cache

import pytest

from golden.formats import get_format
from mixdit_hw.job import Data
from mixdit_hw.params import Params
from mixdit_hw.vector.cut import BlockCut
from tests.support.clocked import Clocked
from tests.support.results import Results, random_results

FLAGS = ("load", "panel_first", "column_first", "column_last", "group_last", "row_last", "step")
OUTPUTS = ("emit", "length", "shift", "count", "offset", "bytes", "format", "pass_")


@cache
def _bench(params: Params) -> Clocked:
    return Clocked(BlockCut(params))


def walk(job: Results) -> tuple[dict[tuple[int, int], list[tuple[int, ...]]], int]:
    """Blocks of each panel's rows, two for each tile here, and the steps that all took."""
    params = job.params
    bench, lanes = _bench(params), params.store_lanes
    blocks: dict[tuple[int, int], list[tuple[int, ...]]] = {}
    steps = 0

    def stimulus() -> Iterator[dict[str, int]]:
        nonlocal steps
        common = {"job": job.job()}
        flags = dict.fromkeys(FLAGS, 0)
        for tile, first, column in job.tiles():
            flags |= {"load": 1, "panel_first": int(tile["panel"] == 0), "column_first": tile["first"]}
            yield common | flags  # together with the last step of the tile before
            flags |= {"load": 0, "step": 0, "column_last": tile["last"]}
            for row in range(2):
                for group in range(0, params.columns, lanes):
                    flags |= {"row_last": row, "group_last": int(group + lanes == params.columns)}
                    passed = False
                    while not passed:
                        yield common | flags | {"step": 0}
                        out = {name: bench.outputs[name][-1] for name in OUTPUTS}
                        passed = bool(out["pass_"])
                        if out["emit"]:
                            start = column + group + lanes - out["count"]
                            assert start % 16 == out["shift"]
                            block = (start, out["length"], out["format"], out["offset"], out["bytes"])
                            blocks.setdefault((first, row), []).append(block)
                        steps += 1
                        flags["step"] = 1
                        if not (passed and row and flags["group_last"]):
                            yield common | flags

    bench.run(stimulus(), OUTPUTS)
    return blocks, steps


def expected(job: Results) -> list[tuple[int, ...]]:
    blocks, offset = [], 0
    for start, length, fmt in job.blocks:
        mx = job.c_type == Data.MX
        size = get_format(fmt).block_bytes if mx else length * (4 if job.c_type == Data.FP32 else 2)
        blocks.append((start, length, get_format(fmt).code if mx else get_format(job.formats[1]).code, offset, size))
        offset += size
    return blocks


def check(job: Results) -> int:
    blocks, steps = walk(job)
    tops = range(0, job.m, job.params.tile_rows)
    assert blocks == {(top, row): expected(job) for top in tops for row in range(2)}, job
    return steps


DESIGNS = [Params(columns=5), Params(columns=12), Params(columns=16), Params(columns=48), Params(columns=1)]


@pytest.mark.parametrize(("params", "seed"), [(params, k) for k, params in enumerate(DESIGNS)])
def test_random_jobs(params: Params, seed: int) -> None:
    rng = random.Random(seed)
    for k in range(6):
        check(random_results(params, 100 * seed + k, rng.randrange(1, 9)))


@pytest.mark.parametrize("head", [0, 1, 8, 15, 16, 17, 33, 72])
@pytest.mark.parametrize("split", [0, 1, 72, 79, 80])
def test_heads_and_split(head: int, split: int) -> None:
    check(Results(params=Params(columns=16), m=9, n=80, c_type=Data.MX, split=split, head=min(head, split)))


def test_steps() -> None:
    """One for each group of 16 columns, but for those that heads cut into more blocks."""
    params = Params(columns=32)
    steps = [
        check(Results(params=params, m=1, n=128, c_type=Data.MX, split=128, head=head)) for head in (0, 64, 72, 24, 8)
    ]
    assert steps == [2 * count for count in (8, 8, 9, 11, 16)]
