"""What bytes of memory a job reads and writes. No hardware.

Rows are those in memory: the rows of A and C, the columns of W where it is MX or stored column by column, and the rows
of W otherwise. Row i begins at address + i * stride.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from golden.formats import FORMATS, Format

from .job import MAX_SEGMENTS, Data, Operand, blocks_of

FORMAT_OF_CODE = {f.code: f for f in FORMATS.values()}
WORD_BYTES = {Data.FP32: 4, Data.BF16: 2}


@dataclass(frozen=True, kw_only=True)
class Region:
    """Equal pieces of memory at equal distances.

    Parameters
    ----------
    name
        What lies there: ``a``, ``w``, ``c``, ``mask``, ``scale`` or ``bias``.
    address
        Of the first byte.
    stride
        Bytes from one row to the next.
    rows
        How many, at least 1.
    row_bytes
        Bytes of one row, at least 1.
    element
        Bytes that address and stride must be multiples of.
    """

    name: str
    address: int
    stride: int
    rows: int
    row_bytes: int
    element: int

    @property
    def end(self) -> int:
        """The address behind the last byte."""
        return self.address + (self.rows - 1) * self.stride + self.row_bytes


def result_runs(n: int, split: int, head: int) -> list[tuple[int, int]]:
    """Columns that are converted together in an MX result, as (number of the format, columns), in order.

    The columns before ``split`` have format 0 and begin anew every ``head`` columns (0: never); those from there on
    have format 1 and follow each other. Each run starts a block of its own, and its last block is padded with +0.
    """
    step = head or max(split, 1)
    runs = [(0, min(step, split - first)) for first in range(0, split, step)]
    return runs + ([(1, n - split)] if split < n else [])


def packed_bytes(blocks: Sequence[tuple[int, Format]]) -> int:
    """Bytes of packed blocks: pairs of a number of them and their format."""
    return sum(count * fmt.block_bytes for count, fmt in blocks)


def regions_of(raw: Mapping[str, Any]) -> dict[str, Region]:
    """All memory of a job by its raw fields (`job.FIELDS`), which must be free of the faults SIZE and FORMAT.

    Its reads: ``a``, ``w`` and, where the job has them, ``mask``, ``scale`` and ``bias``; its writes: ``c``. The mask
    is read in words of 16 channels.
    """
    m, n, k = raw["m"], raw["n"], raw["k"]
    segments = [
        (raw[f"segment{i}_blocks"], FORMAT_OF_CODE[raw[f"segment{i}_a"]], FORMAT_OF_CODE[raw[f"segment{i}_w"]])
        for i in range(MAX_SEGMENTS)
        if raw[f"segment{i}_blocks"]
    ]

    def matrix(name: str, rows: int, length: int, packed: list[tuple[int, Format]]) -> Region:
        kind = raw[f"{name}_type"]
        size = packed_bytes(packed) if kind == Data.MX else length * WORD_BYTES[kind]
        return Region(
            name=name,
            address=raw[f"{name}_address"],
            stride=raw[f"{name}_stride"],
            rows=rows,
            row_bytes=size,
            element=WORD_BYTES.get(kind, 2),
        )

    def list_of(name: str, address: int, size: int, element: int) -> Region:
        return Region(name=name, address=address, stride=0, rows=1, row_bytes=size, element=element)

    w_rows, w_length = (n, k) if raw["w_columns"] else (k, n)
    formats = [FORMAT_OF_CODE.get(raw[f"c_format{i}"]) for i in range(2)]
    runs = result_runs(n, raw["c_split"], raw["c_head"]) if raw["c_type"] == Data.MX else []
    packed_c = [(blocks_of(length), fmt) for number, length in runs if (fmt := formats[number]) is not None]
    regions = [
        matrix("a", m, k, [(blocks, a) for blocks, a, _ in segments]),
        matrix("w", w_rows, w_length, [(blocks, w) for blocks, _, w in segments]),
        matrix("c", m, n, packed_c),
    ]
    if raw["outliers"]:
        regions.append(list_of("mask", raw["mask_address"], 2 * blocks_of(k), 2))
    for name in ("scale", "bias"):
        if raw[f"{name}_mode"] == Operand.COLUMN:
            regions.append(list_of(name, raw[name], 4 * n, 4))
    return {region.name: region for region in regions}
