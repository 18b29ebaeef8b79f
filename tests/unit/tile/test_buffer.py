"""Operand buffers: what is written slot by slot comes out as the core wants it, tile by tile."""

import random
from typing import Any

import pytest

from mixdit_hw.bus.layouts import JobLayout, TileLayout
from mixdit_hw.params import Params
from mixdit_hw.shapes import BlockLayout
from mixdit_hw.tile.buffer import OperandBuffer
from mixdit_hw.tile.slots import bank_count, bank_depth, block_entries, slot_count, slot_entries
from tests.support.blocks import join
from tests.support.clocked import Clocked
from tests.support.streams import pattern, to_bits
from tests.unit.tile.test_plan import expected_tiles

DESIGNS = {
    "2x2": Params(rows=2, columns=2, a_depth=16, c_depth=32, k_depth=4, outlier_depth=1),
    "3x5": Params(rows=3, columns=5, interleave=5, a_depth=32, c_depth=16, k_depth=8, a_slots=3, outlier_depth=3),
    "deep": Params(rows=2, columns=2, a_depth=16, c_depth=32, k_depth=4, outlier_depth=5),  # short chunks fill a slot
}


class Product:
    """A job with random blocks, and what loader and buffer make of it.

    ``slots`` are the contents in the order of filling, each a dict of (bank, offset) to block; ``uses`` the beats that
    the core gets, each (slot's number, offset, format).
    """

    def __init__(self, rng: random.Random, params: Params, side: str) -> None:
        panels, tiles = rng.randint(1, 5), rng.randint(1, 4)
        m = panels * params.tile_rows - rng.randrange(params.tile_rows)
        n = tiles * params.columns - rng.randrange(params.columns)
        counts = [rng.randint(1, 4) for _ in range(rng.randint(1, 4))]
        ends = [sum(counts[: i + 1]) for i in range(4)]
        total = ends[-1]
        short = total > params.outlier_depth + 2 and rng.random() < 0.3
        chunked = short or total > params.k_depth
        group = 1 if chunked else params.a_slots if panels <= params.a_slots else params.a_slots - 1
        formats = [rng.randrange(3) for _ in range(4)]
        self.job = {"m": m, "n": n, "ends": ends, f"{side}_formats": formats, "chunked": chunked, "group": group}
        self.job["short_chunks"] = short
        self.tiles = expected_tiles(params, m, n, group)
        entries, banks = block_entries(params, side), bank_count(params, side)
        bits = BlockLayout(params.magnitude_bits).size

        def content(blocks: int) -> dict[tuple[int, int], int]:
            return {(b, e): rng.randrange(1 << bits) for b in range(banks) for e in range(blocks * entries)}

        self.slots: list[dict[tuple[int, int], int]] = []
        self.uses: list[tuple[int, int, int]] = []
        here: dict[int, int] = {}
        for tile in self.tiles:
            size = min(params.k_depth, params.outlier_depth) if short else params.k_depth
            pieces = [min(size, total - k) for k in range(0, total, size)]
            k = 0
            for blocks in pieces:
                if chunked or (tile["first"] if side == "a" else tile["panel"] == 0):
                    here[tile["panel"]] = len(self.slots)
                    self.slots.append(content(blocks))
                slot = here[tile["panel"] if side == "a" or chunked else 0]
                for b in range(blocks):
                    fmt = formats[next(i for i in range(4) if k + b < ends[i])]
                    self.uses += [(slot, b * entries + e, fmt) for e in range(entries)]
                k += blocks
        self.banks = banks

    def beats(self, params: Params) -> list[int]:
        """The core's beats, as bits."""
        bits = BlockLayout(params.magnitude_bits).size
        return [
            join([self.slots[slot][b, offset] for b in range(self.banks)], bits) | fmt << self.banks * bits
            for slot, offset, fmt in self.uses
        ]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("side", ["a", "w"])
@pytest.mark.parametrize("params", DESIGNS.values(), ids=DESIGNS)
def test_products(params, side, seed):
    """Jobs one after the other, with slots filled and beats taken at random times; never more slots than there are."""
    rng = random.Random(seed)
    bench = Clocked(OperandBuffer(params, side))
    layout, tile_layout = JobLayout(params), TileLayout()
    per_slot, slots = slot_entries(params, side), slot_count(params, side)
    wanted: list[int] = []
    history: list[dict[str, int]] = []

    def sent(name: str) -> int:
        """The input of the last cycle."""
        return history[-1].get(name, 0)

    def steps():
        for _ in range(3):
            product = Product(rng, params, side)
            wanted.extend(product.beats(params))
            job = to_bits(layout, product.job)
            yield {"start": 1, "job": job}
            willing, feeding = pattern(rng.choice(("always", "random", "bursts")), seed), pattern("mostly", seed)
            tiles = [to_bits(tile_layout, tile) for tile in product.tiles]
            writes = [
                (n, [(b, n % slots * per_slot + o, block) for (b, o), block in slot.items()])
                for n, slot in enumerate(product.slots)
            ]
            unfreed, done = 0, 0
            pending: list[Any] = []
            while done < len(product.uses):
                row: dict[str, int] = {"job": job, "o.ready": next(willing)}
                if tiles:
                    row |= {"tile.valid": 1, "tile.payload": tiles[0]}
                if not pending and writes and unfreed < slots and rng.randrange(3):
                    pending = writes.pop(0)[1]
                    unfreed += 1
                if pending and next(feeding):
                    bank, address, block = pending.pop(0)
                    row |= {"write": 1, "write_bank": bank, "write_address": address, "write_block": block}
                    row["filled"] = not pending
                yield row
                unfreed -= bench.outputs["free"][-1]
                done += sent("o.ready") & bench.outputs["o.valid"][-1]
                if tiles and bench.outputs["tile.ready"][-1]:
                    tiles.pop(0)
            assert not tiles
            assert unfreed == 0, "all slots must be free at the end"

    def recorded():
        for row in steps():
            history.append(row)
            yield row

    out = bench.run(recorded(), ["o.valid", "o.payload", "tile.ready", "free"])
    offers = zip(history, out["o.valid"], out["o.payload"], strict=True)
    assert [payload for row, valid, payload in offers if valid and row.get("o.ready")] == wanted
    assert bank_depth(params, side) == slots * per_slot


def test_full_rate():
    """A full slot leaves beat by beat in every cycle, 2 cycles after it was told to be there."""
    params = DESIGNS["2x2"]
    bench = Clocked(OperandBuffer(params, "a"))
    job = to_bits(JobLayout(params), {"m": 8, "n": 8, "ends": [3] * 4, "group": 2})
    tile = to_bits(TileLayout(), {"rows": 8, "columns": 2, "first": 1, "turn": 1})
    common = {"job": job, "tile.valid": 1, "tile.payload": tile, "o.ready": 1}
    rows = [{"start": 1, "job": job}, common, common | {"filled": 1}, *[common] * (3 * 12 + 4)]
    out = bench.run(rows, ["o.valid", "tile.ready"])
    assert out["o.valid"] == [0] * 4 + [1] * (3 * 12 + 3)
    assert out["o.valid"].index(1) == 2 + OperandBuffer.latency
    assert sum(out["tile.ready"]) == 3


def test_side():
    with pytest.raises(ValueError, match="side must be a or w, not 'c'"):
        OperandBuffer(DESIGNS["2x2"], "c")
