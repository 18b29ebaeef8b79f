"""Jobs for the output stage: the core's results, operands in memory, and what has to be written."""

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import golden
from golden.formats import BLOCK_SIZE, get_format
from mixdit_hw.bus.layouts import ItemLayout, JobLayout, RunLayout, TileLayout
from mixdit_hw.job import Data, Operand
from mixdit_hw.params import ROUNDINGS, Params
from mixdit_hw.shapes import ResultBeatLayout
from tests.support.streams import to_bits

SPECIAL = np.array([0, 0x3F800000, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7F7FFFFF, 0x00800000, 0x80800000], np.uint32)
OF_OPERANDS = np.array([0x7F800001, 0xFFC12345, 0x80000000, 0x00000001, 0x807FFFFF], np.uint32)
MODES = NONE, TENSOR, COLUMN = tuple(Operand)
MARGIN = 96  # bytes around a result that must stay as they are
UNTOUCHED = 0xA5


@dataclass(kw_only=True)
class Results:
    """A job with random results of a wide range; all from the seed."""

    params: Params
    m: int
    n: int
    c_type: Data = Data.FP32
    formats: tuple[str, str] = ("mx6", "mx9")
    split: int = 0
    head: int = 0
    modes: tuple[Operand, Operand] = (NONE, NONE)
    group: int = 1
    rounding: int = 0
    address: int = 0x1000
    gap: int = 0  # bytes between rows
    addresses: tuple[int, int] = (0x2_0000, 0x5_0004)
    seed: int = 0
    acc: np.ndarray = field(init=False, repr=False)
    operands: list[np.ndarray] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.acc = wide(rng, (self.m, self.n), SPECIAL)
        self.operands = [wide(rng, (self.n,), np.concatenate([SPECIAL, OF_OPERANDS])) for _ in self.modes]

    @property
    def parts(self) -> list[tuple[int, int, str]]:
        """First and last columns of what is blocked by itself, and its format."""
        if self.c_type != Data.MX:
            return [(0, self.n, self.formats[0])]
        step = self.head or max(self.split, 1)
        parts = [(k, min(k + step, self.split), self.formats[0]) for k in range(0, self.split, step)]
        return parts + [(self.split, self.n, self.formats[1])] * (self.split < self.n)

    @property
    def blocks(self) -> list[tuple[int, int, str]]:
        """First column, length and format of each block of a row."""
        return [
            (k, min(BLOCK_SIZE, last - k), fmt)
            for first, last, fmt in self.parts
            for k in range(first, last, BLOCK_SIZE)
        ]

    def rows(self) -> np.ndarray:
        """Bytes of each row, uint8 (m, bytes)."""
        words = (
            None if mode == NONE else operand if mode == COLUMN else operand[0]
            for mode, operand in zip(self.modes, self.operands, strict=True)
        )
        y = golden.scale_and_bias(self.acc, *words)
        if self.c_type == Data.FP32:
            return y.view(np.uint8)
        if self.c_type == Data.BF16:
            return golden.to_bfloat16(y).view(np.uint8)
        p = self.params
        options: dict[str, Any] = {"subnormals": p.subnormals, "nonfinite": p.nonfinite}
        options["rounding"] = ROUNDINGS[self.rounding] if p.rounding == "runtime" else p.rounding
        packed = [golden.quantize(y[:, a:b], fmt, axis=1, **options).pack() for a, b, fmt in self.parts]
        return np.concatenate([part.reshape(self.m, -1) for part in packed], axis=1)

    @property
    def stride(self) -> int:
        size = {Data.FP32: 4, Data.BF16: 2}.get(self.c_type)
        return self.gap + (size * self.n if size else sum(get_format(fmt).block_bytes for _, _, fmt in self.blocks))

    def check(self, pieces: list[tuple[int, bytes]]) -> None:
        """Write pieces into memory around the result, and compare all of it."""
        image = np.full(self.m * self.stride + 2 * MARGIN, UNTOUCHED, np.uint8)
        want, written = image.copy(), np.zeros(len(image), bool)
        for r, row in enumerate(self.rows()):
            want[MARGIN + r * self.stride :][: len(row)] = row
        for address, content in pieces:
            at = address - self.address + MARGIN
            assert 0 <= at <= len(image) - len(content), f"{address:#x} is far from the result"
            part = slice(at, at + len(content))
            assert not written[part].any(), f"{address:#x} is written twice"
            written[part] = True
            image[part] = np.frombuffer(content, np.uint8)
        assert np.array_equal(image, want), f"byte {np.argmax(image != want) - MARGIN}: {self}"

    def job(self) -> int:
        """Raw bits of the job."""
        fields: dict[str, Any] = {
            "m": self.m,
            "n": self.n,
            "c_type": int(self.c_type),
            "c_formats": [get_format(f).code for f in self.formats],
            "c_split": self.split,
            "c_head": self.head,
            "c_address": self.address,
            "c_stride": self.stride,
            "rounding": self.rounding,
            "group": self.group,
        }
        for k, name in enumerate(("scale", "bias")):
            word, mode = int(self.operands[k].view(np.uint32)[0]), self.modes[k]
            fields |= {f"{name}_mode": int(mode), name: word if mode == TENSOR else self.addresses[k]}
        return to_bits(JobLayout(self.params), fields)

    def tiles(self) -> list[tuple[dict[str, int], int, int]]:
        """Fields of each tile, and its first row and column."""
        tiles = []
        height, width = self.params.tile_rows, self.params.columns
        for top in range(0, self.m, height * self.group):
            panels = range(top, min(self.m, top + height * self.group), height)
            for n in range(0, self.n, width):
                for panel, r in enumerate(panels):
                    last = n + width >= self.n
                    fields = {
                        "rows": min(height, self.m - r),
                        "columns": min(width, self.n - n),
                        "panel": panel,
                        "first": int(n == 0),
                        "last": int(last),
                        "final": int(last and r + height >= self.m),
                    }
                    tiles.append((fields, r, n))
        return tiles

    def tile_bits(self) -> list[int]:
        return [to_bits(TileLayout(), fields) for fields, _, _ in self.tiles()]

    def tile_words(self) -> list[np.ndarray]:
        """Words of each tile in the core's order, (beats, drain, columns); junk where there is no row or column."""
        rng = np.random.default_rng(self.seed + 1)
        p = self.params
        tiles = []
        for _, r, n in self.tiles():
            tile = rng.integers(0, 1 << 32, (p.tile_rows, p.columns), np.uint32)
            part = self.acc[r : r + p.tile_rows, n : n + p.columns].view(np.uint32)
            tile[: part.shape[0], : part.shape[1]] = part
            tiles.append(tile.reshape(p.drain, p.tile_beats, p.columns).swapaxes(0, 1))
        return tiles

    def beats(self) -> list[int]:
        """Raw bits of the core's results."""
        p = self.params
        last = ResultBeatLayout(p.drain, p.columns)["last"].offset
        return [
            int.from_bytes(beat.tobytes(), "little") | (i == p.tile_beats - 1) << last
            for tile in self.tile_words()
            for i, beat in enumerate(tile)
        ]

    def fetches(self) -> list[tuple[int, bytes]]:
        """Address and bytes of each read of scale and bias."""
        return [
            (address + 4 * n, words[n : n + fields["columns"]].tobytes())
            for fields, _, n in self.tiles()
            if fields["panel"] == 0
            for mode, address, words in zip(self.modes, self.addresses, self.operands, strict=True)
            if mode == COLUMN
        ]

    def runs(self) -> list[int]:
        """Raw bits of the reads."""
        item = 4 * self.params.store_lanes
        return [
            to_bits(RunLayout(self.params), {"address": address, "bytes": len(content), "item": item})
            for address, content in self.fetches()
        ]

    def items(self) -> list[int]:
        """Raw bits of what is read."""
        item = 4 * self.params.store_lanes
        return [
            to_bits(
                ItemLayout(),
                {"data": int.from_bytes(content[k : k + item], "little"), "last": int(k + item >= len(content))},
            )
            for _, content in self.fetches()
            for k in range(0, len(content), item)
        ]


def wide(rng: np.random.Generator, shape: tuple[int, ...], special: np.ndarray) -> np.ndarray:
    """FP32 words, most of a row near each other, some anywhere in the range, and some special ones."""
    near = rng.integers(40, 215, (*shape[:-1], 1))
    exponents = np.where(rng.random(shape) < 0.8, near + rng.integers(-6, 7, shape), rng.integers(1, 255, shape))
    words = exponents << 23 | rng.integers(0, 1 << 23, shape) | rng.integers(0, 2, shape) << 31
    return np.where(rng.random(shape) < 0.02, rng.choice(special, shape), words.astype(np.uint32)).view(np.float32)


def random_results(params: Params, seed: int, tiles: int) -> Results:
    """A job of about so many tiles."""
    rng = random.Random(seed)
    columns = rng.randint(1, tiles)
    n = columns * params.columns - rng.randrange(params.columns)
    m = max(1, tiles // columns) * params.tile_rows - rng.randrange(params.tile_rows)
    c_type = rng.choice([Data.FP32, Data.BF16, Data.MX, Data.MX])
    split = rng.choice([0, n, rng.randint(0, n)]) if c_type == Data.MX else 0
    head = rng.choice([0, min(n, 8), min(n, 24), rng.randint(1, n)]) if split else 0
    high = (1 << params.address_bits) - (1 << 24)
    address = rng.choice([0x1000, high]) + 2 * rng.randrange(2048)
    return Results(
        params=params,
        m=m,
        n=n,
        c_type=c_type,
        formats=(rng.choice(params.formats), rng.choice(params.formats)),
        split=split,
        head=head,
        modes=(rng.choice(MODES), rng.choice(MODES)),
        group=rng.randint(1, params.a_slots),
        rounding=rng.randrange(len(ROUNDINGS)),
        address=address & ~3 if c_type == Data.FP32 else address,
        gap=4 * rng.choice([0, 1, 16]),
        seed=seed,
    )
