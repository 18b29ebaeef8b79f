"""Stream images: MX operands as the beats of the core's streams, and recorded beats as a result.

A block of a beat stands in the core's container, that of the design's widest format: narrower magnitudes are shifted
to its top. Images hold the most significant byte of each beat first; `read_beats` gives them back as the design sees
them.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from golden import MXTensor
from golden.formats import BLOCK_SIZE
from golden.operands import check_operands

from ..params import Params
from .bench import COMMAND_BYTES, beat_bytes, block_bytes, result_words
from .plan import MAX_IMAGE_BYTES, Plan

_CHUNK_BYTES = 1 << 23  # of an image, made at a time


def make_plan(a: MXTensor, w: MXTensor, params: Params, **options: int) -> Plan:
    """The plan of A (M, K) times W (K, N), both stored in blocks along K, on a design.

    Raises
    ------
    ValueError
        The operands do not fit each other (as `golden.gemm`) or the design: a format that it does not have, or an
        image above 2 GiB.
    """
    check_operands(a, w)
    for name, t in (("a", a), ("w", w)):
        for fmt in t.formats:
            if fmt.name not in params.formats:
                raise ValueError(f"{name} must be in a format of the design ({', '.join(params.formats)}), not {fmt}")
    plan = Plan(params=params, m=a.rows, n=w.rows, blocks=a.blocks, **options)
    for name, size in beat_bytes(params).items():
        stream = plan.streams[name]
        if (total := stream.section * stream.sections * size) > MAX_IMAGE_BYTES:
            raise ValueError(f"the image of stream {name} must be at most {MAX_IMAGE_BYTES} bytes, not {total}")
    return plan


def write_images(a: MXTensor, w: MXTensor, plan: Plan, folder: Path) -> None:
    """Write ``a.bin``, ``w.bin`` and ``cmd.bin`` for a plan of `make_plan`."""
    write_beats(folder / "a.bin", a_beats(a, plan))
    write_beats(folder / "w.bin", w_beats(w, plan))
    write_beats(folder / "cmd.bin", (command_beats(plan),))


def write_beats(path: Path, chunks: Iterable[np.ndarray]) -> None:
    """Write chunks of beats, uint8 (beats, bytes) with the least significant byte first, as an image."""
    with open(path, "wb") as file:
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk[:, ::-1]).data)


def read_beats(path: Path, size: int) -> np.ndarray:
    """Beats of an image, uint8 (beats, size), the least significant byte first."""
    return np.fromfile(path, np.uint8).reshape(-1, size)[:, ::-1]


def containers(t: MXTensor, rows: slice, blocks: slice, params: Params) -> np.ndarray:
    """Blocks in the design's container, uint8 (rows, blocks, bytes), the least significant byte first.

    ``rows`` may end beyond the tensor: what is missing are +0 blocks.
    """
    m = params.magnitude_bits
    exponents = t.exponents[rows, blocks]
    shifts = np.array([m - f.magnitude_bits for f in t.formats[blocks]], np.uint8)
    elements = t.elements[rows, blocks]
    fields = (elements >> 7 << m) | ((elements & np.uint8(0x7F)) << shifts[:, np.newaxis])
    if m != 7:  # fields of less than a byte
        bits = np.unpackbits(fields.astype(np.uint8)[..., np.newaxis], axis=-1, count=m + 1, bitorder="little")
        fields = np.packbits(bits.reshape(*fields.shape[:2], BLOCK_SIZE * (m + 1)), axis=-1, bitorder="little")
    out = np.zeros((rows.stop - rows.start, exponents.shape[1], block_bytes(params)), np.uint8)
    out[: len(exponents), :, 0] = exponents
    out[: len(exponents), :, 1] = t.micro[rows, blocks]
    out[: len(exponents), :, 2:] = fields
    return out


def a_beats(a: MXTensor, plan: Plan) -> Iterator[np.ndarray]:
    """Beats of stream a, uint8 (beats, bytes), in chunks: for each row of tiles, for each K block, T beats."""
    p = plan.params
    size = beat_bytes(p)["a"]
    for tile in range(plan.m_tiles):
        rows = slice(tile * p.tile_rows, (tile + 1) * p.tile_rows)
        for blocks in _chunks(plan.blocks, p.interleave * size):
            data = containers(a, rows, blocks, p)
            count = data.shape[1]
            beats = np.empty((count, p.interleave, size), np.uint8)
            grid = data.reshape(p.rows, p.interleave, count, -1).transpose(2, 1, 0, 3)
            beats[..., :-1] = grid.reshape(count, p.interleave, -1)
            beats[..., -1] = _codes(a, blocks)[:, np.newaxis]
            yield beats.reshape(-1, size)


def w_beats(w: MXTensor, plan: Plan) -> Iterator[np.ndarray]:
    """Beats of stream w, uint8 (beats, bytes), in chunks: for each column of tiles, one for each K block."""
    p = plan.params
    size = beat_bytes(p)["w"]
    for tile in range(plan.n_tiles):
        columns = slice(tile * p.columns, (tile + 1) * p.columns)
        for blocks in _chunks(plan.blocks, size):
            data = containers(w, columns, blocks, p)
            beats = np.empty((data.shape[1], size), np.uint8)
            beats[:, :-1] = data.transpose(1, 0, 2).reshape(data.shape[1], -1)
            beats[:, -1] = _codes(w, blocks)
            yield beats


def command_beats(plan: Plan) -> np.ndarray:
    """Beats of stream cmd for one tile, uint8 (commands, 3): block count in bits 0-15, accumulate in bit 16."""
    words = np.array([blocks | accumulate << 16 for blocks, accumulate in plan.commands], "<u4")
    return words.view(np.uint8).reshape(-1, 4)[:, :COMMAND_BYTES]


def read_result(path: Path, plan: Plan) -> np.ndarray:
    """The output, float32 (M, N), from the recorded beats of a plan.

    Raises
    ------
    ValueError
        The record has a wrong size, or ``last`` does not mark exactly each tile's last beat.
    """
    p = plan.params
    words = result_words(p)
    if path.stat().st_size != 4 * words * plan.result_beats:
        raise ValueError(f"{path.name} must have {4 * words * plan.result_beats} bytes, not {path.stat().st_size}")
    record = np.memmap(path, "=u4", "r", shape=(plan.m_tiles, plan.n_tiles, p.tile_beats, words))
    result = np.empty((plan.m, plan.n), np.float32)
    last = np.arange(p.tile_beats) == p.tile_beats - 1
    for tile, beats in enumerate(record):
        if (beats[..., -1] != last).any():
            raise ValueError(f"{path.name} must have last on the last beat of each tile and on no other")
        grid = beats[..., :-1].reshape(plan.n_tiles, p.tile_beats, p.drain, p.columns).transpose(2, 1, 0, 3)
        rows = grid.reshape(p.tile_rows, plan.n_tiles * p.columns)
        first = tile * p.tile_rows
        result.view(np.uint32)[first : first + p.tile_rows] = rows[: plan.m - first, : plan.n]
    return result


def _codes(t: MXTensor, blocks: slice) -> np.ndarray:
    return np.array([f.code for f in islice(t.formats, blocks.start, blocks.stop)], np.uint8)


def _chunks(blocks: int, block_size: int) -> Iterator[slice]:
    step = max(1, _CHUNK_BYTES // block_size)
    for start in range(0, blocks, step):
        yield slice(start, min(start + step, blocks))
