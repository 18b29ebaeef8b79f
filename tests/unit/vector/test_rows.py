"""Rows and addresses against those of whole tiles."""

import random
from collections.abc import Iterator

import pytest

from mixdit_hw.params import Params
from mixdit_hw.vector.rows import RowWalk
from tests.support.clocked import Clocked
from tests.support.results import Results


@pytest.mark.parametrize(
    ("rows", "drain", "interleave", "seed"), [(1, 1, 4, 1), (3, 3, 5, 2), (6, 2, 4, 3), (4, 4, 6, 4), (4, 1, 5, 5)]
)
def test_walk(rows: int, drain: int, interleave: int, seed: int) -> None:
    """Two jobs, with pauses at any place and without any."""
    params = Params(rows=rows, drain=drain, interleave=interleave, a_slots=4)
    height, apart = params.tile_rows, params.tile_beats
    rng = random.Random(seed)
    bench = Clocked(RowWalk(params))
    seen: list[tuple[int, int, int]] = []
    want: list[tuple[int, int, int]] = []
    jobs = [
        Results(params=params, m=7 * height - 1, n=9, group=group, address=address, gap=6)
        for group, address in ((3, 0x1234), (1, 0xFF_0000_0000))
    ]

    def stimulus() -> Iterator[dict[str, int]]:
        for pauses, job in enumerate(jobs):
            common = {"job": job.job()}
            yield common | {"start": 1}
            yield common
            while not bench.outputs["ready"][-1]:
                yield common
            step = 0
            for tile, first, _ in job.tiles():
                while pauses and rng.random() < 0.3:
                    yield common | {"step": step}
                    step = 0
                yield common | {
                    "step": step,
                    "load": 1,
                    "panel_first": int(tile["panel"] == 0),
                    "column_first": tile["first"],
                }
                for n in range(height):
                    row = n % drain * apart + n // drain
                    want.append((row, job.address + (first + row) * job.stride, int(row == height - 1)))
                    for step in (*(0 for _ in range(pauses * rng.randrange(3))), 1):
                        if n < height - 1 or not step:
                            yield common | {"step": step}
                        else:  # with the next tile, or by itself
                            yield common
                            break
                    values = [bench.outputs[name][-1] for name in ("row", "address", "end")]
                    seen.append((values[0], values[1], values[2]))

    bench.run(stimulus(), ["ready", "row", "address", "end"])
    assert seen == want
