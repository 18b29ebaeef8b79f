"""The array, driven as the sequencer drives it: latency, skew, segments, tiles back to back."""

import numpy as np
import pytest

from mixdit_hw.array.control import ColumnControlLayout, RowControlLayout, pointer_bits
from mixdit_hw.array.mesh import Array
from mixdit_hw.params import Params
from tests.support.clocked import Clocked
from tests.support.streams import to_bits
from tests.support.tiles import Tile, a_rows, blocks_bits, lane_words, random_tiles

DESIGNS = {
    "1x1": Params(rows=1, columns=1, a_depth=32, w_depth=8, c_depth=16),
    "2x3": Params(rows=2, columns=3, a_depth=32, w_depth=8, c_depth=32),
    "4x4": Params(rows=4, columns=4, a_depth=32, w_depth=8, c_depth=64),
    "4x1-drain2-T5": Params(rows=4, columns=1, interleave=5, drain=2, a_depth=64, w_depth=8, c_depth=32),
    "3x2-drain3-mx6": Params(rows=3, columns=2, drain=3, formats=("mx6", "mx4"), a_depth=32, w_depth=8, c_depth=8),
    "6x6-drain3": Params(rows=6, columns=6, drain=3, a_depth=32, w_depth=8, c_depth=32),
    "4x2-share1": Params(rows=4, columns=2, share_rows=1, share_columns=1, a_depth=32, w_depth=8, c_depth=64),
    **{
        f"8x4-share4x2-drain{drain}": Params(
            rows=8, columns=4, share_rows=4, drain=drain, formats=formats, a_depth=32, w_depth=8, c_depth=c_depth
        )
        for drain, formats, c_depth in (
            (1, ("mx9", "mx6", "mx4"), 128),
            (2, ("mx4",), 32),
            (4, ("mx6", "mx4"), 16),
            (8, ("mx9",), 8),
        )
    },
}


class Drive:
    """Rows of stimulus for an array: memories written, then one step after the other."""

    def __init__(self, params: Params) -> None:
        self.params = p = params
        self.rows: list[dict[str, int]] = []
        self.starts: list[int] = []  # phase 0 of the last pass of each tile
        self._a_control = RowControlLayout(pointer_bits(p.a_depth))
        self._w_control = ColumnControlLayout(pointer_bits(p.w_depth))

    def write(self, tiles: list[Tile]) -> None:
        p = self.params
        a = [blocks for tile in tiles for blocks in a_rows(tile, p)]
        w = [blocks for tile in tiles for blocks in tile.w]
        assert len(a) <= p.a_depth
        assert len(w) <= p.w_depth
        for n, blocks in enumerate(a):
            self.rows.append({"a_write": 1, "a_write_address": n, "a_blocks": blocks_bits(blocks, p.magnitude_bits)})
        for n, blocks in enumerate(w):
            self.rows[n] |= {"w_write": 1, "w_write_address": n, "w_blocks": blocks_bits(blocks, p.magnitude_bits)}

    def step(self, a: dict[str, int], w: dict[str, int]) -> None:
        """One step; A's control stands only in its first cycle."""
        a_bits, w_bits = to_bits(self._a_control, a), to_bits(self._w_control, w)
        for t in range(self.params.interleave):
            self.rows.append({"phase": 1 << t, "w_control": w_bits} | ({"a_control": a_bits} if t == 0 else {}))

    def tiles(self, tiles: list[Tile]) -> None:
        """All passes of the tiles, with no more bubbles than the result chains need."""
        block = 0
        for tile in tiles:
            total = tile.passes()
            for _ in range(self.params.chain_rows - total if self.starts else 0):
                self.step({"address": block * self.params.interleave}, {"address": block})
            done = 0
            for a, w in zip(tile.a, tile.w, strict=True):
                two_a, two_w = a[0].fmt.digits == 2, w[0].fmt.digits == 2
                order = [(la, lw) for lw in ([1, 0] if two_w else [0]) for la in ([1, 0] if two_a else [0])]
                for n, (a_low, w_low) in enumerate(order):
                    common = {"last": int(n == len(order) - 1)}
                    done += 1
                    flags = {
                        "valid": 1,
                        "first": int(n == 0),
                        "shift": n % 2,
                        "start": int(done == 1),
                        "end": int(done == total),
                    }
                    if done == total:
                        self.starts.append(len(self.rows))
                    self.step(
                        common | flags | {"address": block * self.params.interleave, "low": a_low},
                        common | {"address": block, "low": w_low},
                    )
                block += 1

    def finish(self, entries: int) -> None:
        """Bubbles until all results are there, then a read of each."""
        for _ in range(2 * self.params.rows + self.params.columns + 8):
            self.step({}, {})
        self.rows += [{"read": 1, "read_address": n % self.params.lane_depth} for n in range(entries)] + [{}]


@pytest.fixture(scope="module", params=DESIGNS.values(), ids=list(DESIGNS))
def array(request) -> tuple[Params, Array, Clocked]:
    dut = Array(request.param)
    return request.param, dut, Clocked(dut)


def test_tiles(array):
    """Exact results, each entry committed in the cycle that the latency and the skew of its last lane say."""
    params, dut, bench = array
    tiles = random_tiles(np.random.default_rng(1), params, 4, 2)[: params.lane_depth // params.lane_tile]
    drive = Drive(params)
    drive.write(tiles)
    drive.tiles(tiles)
    drive.finish(len(tiles) * params.lane_tile)
    out = bench.run(drive.rows, ["commit", "words"])
    last_segment = params.rows // params.cluster_rows - params.rows // params.chains  # its first row of clusters
    skew = last_segment * (params.interleave - 1) + params.columns // params.cluster_columns - 1
    commits = [start + dut.latency + skew + i for start in drive.starts for i in range(params.lane_tile)]
    assert [cycle for cycle, commit in enumerate(out["commit"]) if commit] == commits
    assert out["words"][-len(commits) :] == [word for tile in tiles for word in lane_words(tile, params)]


def test_skew_of_control(array):
    """Cluster row q takes A's control q*(T-1) cycles after the first, cluster column d W's d cycles after the first."""
    params, _, bench = array
    drive = Drive(params)
    steps = [3, 7, 9, 12, 13, 13, 2, 1] + [0] * params.rows
    for n in steps:
        drive.step({"address": n}, {"address": n % 8})
    out = bench.run(drive.rows, ["a_oldest", "w_oldest"])
    a_delay, w_delay = params.row_skew + 1, params.column_skew + 1
    held = [n for n in steps for _ in range(params.interleave)]
    assert out["a_oldest"] == [0] * a_delay + held[: len(held) - a_delay]
    assert out["w_oldest"] == [0] * w_delay + [n % 8 for n in held[: len(held) - w_delay]]


def test_latency_does_not_depend_on_the_shape():
    """Clusters cost no latency: with the 4-cycle accumulation loop a result is there 13 cycles after its pass."""
    assert {Array(params).latency for params in DESIGNS.values()} == {13}
