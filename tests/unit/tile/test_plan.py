"""The order of a job's tiles, against three nested loops."""

import random

import pytest

from mixdit_hw.bus.layouts import JobLayout, TileLayout
from mixdit_hw.params import Params
from mixdit_hw.tile.plan import TilePlan
from tests.support.clocked import Clocked
from tests.support.streams import pattern, to_bits

DESIGNS = {
    "2x2": Params(rows=2, columns=2, a_depth=16, c_depth=32),
    "3x5": Params(rows=3, columns=5, interleave=5, a_depth=32, c_depth=16),
}


def expected_tiles(params: Params, m: int, n: int, group: int) -> list[dict[str, int]]:
    """The tiles of a job, as fields of `TileLayout`."""
    high, wide = params.tile_rows, params.columns
    tiles = []
    for top in range(0, m, group * high):
        panels = range(top, min(m, top + group * high), high)
        for left in range(0, n, wide):
            for number, row in enumerate(panels):
                tiles.append(
                    {
                        "rows": min(high, m - row),
                        "columns": min(wide, n - left),
                        "panel": number,
                        "first": left == 0,
                        "last": left + wide >= n,
                        "turn": row == panels[-1],
                        "final": row + high >= m and left + wide >= n,
                    }
                )
    return tiles


@pytest.mark.parametrize("ready", ["always", "random", "bursts"])
@pytest.mark.parametrize("params", DESIGNS.values(), ids=DESIGNS)
def test_order(params, ready):
    """Job after job, whatever their sizes; a tile stays until it is taken."""
    rng = random.Random(len(ready))
    bench = Clocked(TilePlan(params))
    high, wide = params.tile_rows, params.columns
    shapes = [(1, 1), (high, wide), (high + 1, wide + 1), (4 * high, 3 * wide)]
    shapes += [(rng.randint(1, 5 * high), rng.randint(1, 5 * wide)) for _ in range(6)]
    wanted: list[dict[str, int]] = []

    def stimulus():
        willing = pattern(ready, 1)
        for m, n in shapes:
            group = rng.randint(1, 3)
            tiles = expected_tiles(params, m, n, group)
            wanted.extend(tiles)
            job = to_bits(JobLayout(params), {"m": m, "n": n, "group": group})
            yield {"start": 1, "job": job}
            left = len(tiles)
            while left:
                row = {"job": job, "tile.ready": next(willing)}
                yield row
                left -= row["tile.ready"] and bench.outputs["tile.valid"][-1]
            yield {"job": job, "tile.ready": 1}
            assert not bench.outputs["tile.valid"][-1], "no tile after the last"

    was_ready: list[int] = []

    def recorded():
        for row in stimulus():
            was_ready.append(row.get("tile.ready", 0))
            yield row

    out = bench.run(recorded(), ["tile.valid", "tile.payload"])
    offers = zip(was_ready, out["tile.valid"], out["tile.payload"], strict=True)
    layout = TileLayout()
    assert [payload for ready, valid, payload in offers if ready and valid] == [to_bits(layout, t) for t in wanted]


def test_latency():
    """The first tile is there a cycle after ``start``."""
    params = DESIGNS["2x2"]
    job = to_bits(JobLayout(params), {"m": 9, "n": 3, "group": 2})
    out = Clocked(TilePlan(params)).run([{"start": 1, "job": job}, {"job": job}], ["tile.valid"])
    assert out["tile.valid"] == [0, TilePlan.latency]
