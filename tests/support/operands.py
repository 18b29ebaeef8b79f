"""Operands of jobs in memory, and what their buffers must hold, slot after slot."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

import golden
from golden.formats import BLOCK_SIZE
from golden.tensor import MXTensor, Segment
from mixdit_hw.bus.layouts import JobLayout
from mixdit_hw.job import Data, blocks_of
from mixdit_hw.params import ROUNDINGS, Params
from mixdit_hw.sim.images import containers
from tests.support.matrices import KINDS, random_matrix
from tests.support.streams import to_bits

LINE_BYTES = {Data.FP32: 64, Data.BF16: 32}  # of a K block


@dataclass(frozen=True, kw_only=True)
class Slot:
    """Lines (rows of A, columns of W) and K blocks of one slot."""

    lines: range
    blocks: range
    last: bool
    advance: bool


@dataclass(frozen=True, kw_only=True)
class Operand:
    """A job, as one side of it sees it.

    Parameters
    ----------
    segments
        Blocks and format of each.
    mask
        Outlier channels, as bits of each K block's word.
    short_chunks
        More outliers than go in one pass.
    """

    params: Params
    side: str
    m: int
    n: int
    k: int
    kind: Data
    segments: tuple[tuple[int, str], ...]
    columns: bool = True
    outliers: tuple[int, ...] = ()
    group: int = 1
    address: int = 0
    stride: int = 0
    rounding: int = 0
    mask: list[int] = field(default_factory=list)
    short_chunks: bool = False

    @property
    def blocks(self) -> int:
        return sum(count for count, _ in self.segments)

    @property
    def ends(self) -> list[int]:
        ends = np.cumsum([count for count, _ in self.segments]).tolist()
        return ends + ends[-1:] * (4 - len(ends))

    @property
    def lines(self) -> int:
        return self.m if self.side == "a" else self.n

    @property
    def chunked(self) -> bool:
        return self.short_chunks or self.blocks > self.params.k_depth

    @property
    def chunk(self) -> int:
        """K blocks of a slot."""
        return min(self.params.k_depth, self.params.outlier_depth) if self.short_chunks else self.params.k_depth

    @property
    def formats(self) -> list[str]:
        """Of each K block."""
        return [name for count, name in self.segments for _ in range(count)]

    def bits(self) -> int:
        """The job, as hardware has it."""
        codes = [golden.FORMATS[name].code for _, name in self.segments]
        side = self.side
        fields = {
            "m": self.m,
            "n": self.n,
            "k": self.k,
            f"{side}_type": int(self.kind),
            "w_columns": int(self.columns),
            "ends": self.ends,
            f"{side}_formats": codes + [0] * (4 - len(codes)),
            "outliers": int(bool(self.outliers)),
            f"{side}_address": self.address,
            f"{side}_stride": self.stride,
            "rounding": self.rounding,
            "chunked": int(self.chunked),
            "short_chunks": int(self.short_chunks),
            "group": self.group,
        }
        return to_bits(JobLayout(self.params), fields)

    def slots(self) -> Iterator[Slot]:
        """In the order in which they are filled."""
        p = self.params
        chunks = [range(b, min(b + self.chunk, self.blocks)) for b in range(0, self.blocks, self.chunk)]
        panels = [range(b, min(b + p.tile_rows, self.m)) for b in range(0, self.m, p.tile_rows)]
        tiles = [range(b, min(b + p.columns, self.n)) for b in range(0, self.n, p.columns)]
        if self.side == "a":
            repeats = len(tiles) if self.chunked else 1
            order = [(panel, i == repeats - 1) for panel in panels for i in range(repeats)]
        else:
            order = [(tile, tile is not tiles[-1]) for _ in range(0, len(panels), self.group) for tile in tiles]
        for lines, advance in order:
            for chunk in chunks:
                last = chunk is chunks[-1]
                yield Slot(lines=lines, blocks=chunk, last=last, advance=last and advance)

    def runs(self) -> Iterator[tuple[int, int, int]]:
        """Address, bytes and item of what is to be read, in order."""
        word = LINE_BYTES.get(self.kind, 0) // BLOCK_SIZE
        for slot in self.slots():
            channels = range(slot.blocks.start * BLOCK_SIZE, min(slot.blocks.stop * BLOCK_SIZE, self.k))
            if not self.columns:
                for first in range(slot.lines.start, slot.lines.stop, BLOCK_SIZE):
                    size = word * len(range(first, min(first + BLOCK_SIZE, slot.lines.stop)))
                    yield from ((self.address + self.stride * k + word * first, size, size) for k in channels)
                continue
            for line in slot.lines:
                begin = self.address + self.stride * line
                if self.kind != Data.MX:
                    part = range(self.k) if self.outliers else channels
                    yield begin + word * part.start, word * len(part), word * BLOCK_SIZE
                    continue
                block = 0
                for count, name in self.segments:
                    size = golden.FORMATS[name].block_bytes
                    part = range(max(block, slot.blocks.start), min(block + count, slot.blocks.stop))
                    if part:
                        yield begin + (part.start - block) * size, len(part) * size, size
                    block += count
                    begin += count * size

    def entries(self, slot: Slot) -> Iterator[tuple[int, int, int, int]]:
        """Line, K block, bank, and entry within the slot, of all blocks of a slot, in the order of lines."""
        t = self.params.interleave if self.side == "a" else 1
        for line in slot.lines:
            at = line - slot.lines.start
            for block in slot.blocks:
                yield line, block, at // t, (block - slot.blocks.start) * t + at % t


def random_segments(rng: np.random.Generator, params: Params, blocks: int) -> tuple[tuple[int, str], ...]:
    """So many blocks in one to four segments."""
    cuts = sorted(set(rng.integers(1, blocks, rng.integers(0, 4)).tolist())) if blocks > 1 else []
    borders = [0, *cuts, blocks]
    return tuple((b - a, str(rng.choice(params.formats))) for a, b in pairwise(borders))


def random_operand(
    rng: np.random.Generator, params: Params, side: str, *, kind: Data | None = None, most: int = 0
) -> Operand:
    """One of any kind; with ``most``, of about so many blocks at most, counted for each time that they are read."""
    kind = Data(int(rng.integers(3))) if kind is None else kind
    columns = side == "a" or kind == Data.MX or bool(rng.random() < 0.3)
    depth = params.k_depth
    while True:
        blocks = _pick(rng, 1, depth - 1, depth, depth + 1, 2 * depth, int(rng.integers(1, 3 * depth + 2)))
        m = _length(rng, params.tile_rows, 3)
        n = _length(rng, params.columns, 3)
        k = blocks * BLOCK_SIZE - _pick(rng, 0, 1, 15, rng.integers(16))
        segments = random_segments(rng, params, blocks)
        outliers: tuple[int, ...] = ()
        short_chunks = False
        mask = [int(word) for word in rng.integers(0, 1 << BLOCK_SIZE, blocks)]  # to no effect
        if side == "a" and kind != Data.MX and "mx9" in params.formats and rng.random() < 0.7:
            outliers = _outliers(rng, k, 16 * params.outlier_depth + 15)
            short_chunks = len(outliers) > 16 * params.outlier_depth + 15
            segments = (*_joined(segments), (blocks_of(len(outliers)), "mx9"))
            mask = [sum(1 << c % BLOCK_SIZE for c in outliers if c // BLOCK_SIZE == b) for b in range(blocks)]
            if k % BLOCK_SIZE:  # behind the last channel marks mean nothing
                mask[-1] |= int(rng.integers(1 << BLOCK_SIZE)) >> k % BLOCK_SIZE << k % BLOCK_SIZE
        if side == "w" and kind == Data.MX and "mx9" in params.formats and rng.random() < 0.3:
            short_chunks = blocks > params.outlier_depth + 2  # at least one in place, and so many of outliers
        operand = Operand(
            params=params,
            side=side,
            m=m,
            n=n,
            k=k,
            kind=kind,
            segments=segments,
            columns=columns,
            outliers=outliers,
            rounding=int(rng.integers(3)) if params.rounding == "runtime" else 0,
            mask=mask,
            short_chunks=short_chunks,
        )
        group = 1 if operand.chunked else int(rng.integers(1, params.a_slots + 1))
        operand = _placed(rng, operand, group)
        if not most or sum(len(s.lines) * len(s.blocks) for s in operand.slots()) <= most:
            return operand


def _pick(rng: np.random.Generator, *options: Any) -> int:
    return int(options[int(rng.integers(len(options)))])


def _length(rng: np.random.Generator, tile: int, most: int) -> int:
    return _pick(rng, 1, tile, tile + 1, 2 * tile, rng.integers(1, most * tile + 1))


def _joined(segments: tuple[tuple[int, str], ...]) -> tuple[tuple[int, str], ...]:
    """At most three of them."""
    if len(segments) < 4:
        return segments
    return (*segments[:2], (segments[2][0] + segments[3][0], segments[2][1]))


def _outliers(rng: np.random.Generator, k: int, most: int) -> tuple[int, ...]:
    """Channels, at least one: a few anywhere, all of some blocks, or the last ones; at times more than ``most``."""
    if k > most and rng.random() < 0.4:
        count = _pick(rng, most + 1, k, rng.integers(most + 1, k + 1))
    else:
        most = min(k, most)
        count = _pick(rng, 1, most, rng.integers(1, most + 1), min(most, 16))
    if rng.random() < 0.3:
        return tuple(range(k - count, k))
    if rng.random() < 0.3:
        return tuple(range(count))
    return tuple(sorted(int(c) for c in rng.choice(k, count, replace=False)))


def _placed(rng: np.random.Generator, operand: Operand, group: int) -> Operand:
    """With an address and a stride."""
    align = 4 if operand.kind == Data.FP32 else 2
    if operand.kind == Data.MX:
        size = sum(count * golden.FORMATS[name].block_bytes for count, name in operand.segments)
    else:
        size = (operand.k if operand.columns else operand.n) * LINE_BYTES[operand.kind] // BLOCK_SIZE
    stride = size + align * _pick(rng, 0, 1, rng.integers(40))
    address = align * int(rng.integers(1 << operand.params.address_bits - 4))
    return Operand(**{**vars(operand), "group": group, "address": address, "stride": stride})


@dataclass(frozen=True, kw_only=True)
class Stored:
    """The bytes of an operand, and its blocks in the core's container, as integers by line and K block."""

    operand: Operand
    image: np.ndarray
    inside: np.ndarray
    blocks: list[list[int]]

    def item(self, address: int, size: int) -> int:
        """Bytes of memory, all of which must be the operand's."""
        part = slice(address - self.operand.address, address - self.operand.address + size)
        assert part.start >= 0
        assert part.stop <= len(self.image)
        assert self.inside[part].all(), f"{size} bytes at {address:#x} are not all of the operand's"
        return int.from_bytes(self.image[part].tobytes(), "little")


def stored(rng: np.random.Generator, operand: Operand) -> Stored:
    """The operand with random contents."""
    tensor, lines = _contents(rng, operand)
    size = lines.shape[1]
    image = rng.integers(0, 256, operand.stride * len(lines), np.uint8)
    inside = np.zeros(len(image), bool)
    for number, line in enumerate(lines):
        at = slice(number * operand.stride, number * operand.stride + size)
        image[at], inside[at] = line, True
    data = containers(tensor, slice(0, tensor.rows), slice(0, tensor.blocks), operand.params)
    blocks = [[int.from_bytes(block.tobytes(), "little") for block in row] for row in data]
    return Stored(operand=operand, image=image, inside=inside, blocks=blocks)


def _contents(rng: np.random.Generator, operand: Operand) -> tuple[MXTensor, np.ndarray]:
    """The tensor, and the bytes of each line of memory."""
    p, shape = operand.params, (operand.lines, operand.k)
    if operand.kind == Data.MX:
        segments = [Segment(format=golden.get_format(f), length=BLOCK_SIZE * count) for count, f in operand.segments]
        size = sum(count * golden.FORMATS[f].block_bytes for count, f in operand.segments)
        data = rng.integers(0, 256, (operand.lines, size), np.uint8)
        return golden.unpack(data.reshape(-1), segments, (operand.lines, BLOCK_SIZE * operand.blocks)), data
    x = random_matrix(rng, shape, str(rng.choice(KINDS)))
    if operand.kind == Data.BF16:
        words = golden.to_bfloat16(x)
        words = np.where(rng.random(shape) < 0.05, rng.integers(0, 1 << 16, shape, np.uint16), words)
        x = golden.from_bfloat16(words)
    else:
        words = x.view(np.uint32)
    words = words if operand.columns else words.T
    options = {
        "rounding": ROUNDINGS[operand.rounding] if p.rounding == "runtime" else p.rounding,
        "subnormals": p.subnormals,
        "nonfinite": p.nonfinite,
    }
    names = {name for _, name in operand.segments[:-1]}
    if operand.outliers and len(names) == 1:
        tensor = golden.split_outliers(x, operand.outliers, names.pop(), "mx9", axis=1, **options)
    else:
        outliers = list(operand.outliers)
        first = x.copy()
        first[:, outliers] = 0
        parts, block = [], 0
        for count, name in operand.segments[: len(operand.segments) - bool(outliers)]:
            part = first[:, BLOCK_SIZE * block : BLOCK_SIZE * (block + count)]
            parts.append(golden.quantize(part, name, axis=1, **options))
            block += count
        if outliers:
            parts.append(golden.quantize(x[:, outliers], "mx9", axis=1, **options))
        tensor = golden.concat(parts)
    return tensor, np.ascontiguousarray(words).view(np.uint8)
