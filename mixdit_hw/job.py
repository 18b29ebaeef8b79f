"""Jobs: what the accelerator is asked to do, as 128 bytes of memory. No hardware; `bus/job.py` has it.

A job multiplies A (M x K) by W (K x N) from memory and stores C (M x N), each with an address of its first byte and a
stride in bytes from row to row. A descriptor is 32 little-endian 32-bit words (`FIELDS`).
"""

import operator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Self

from golden.formats import BLOCK_SIZE, FORMATS, get_format

WORD_BITS = 32
DESCRIPTOR_BYTES = 128
DESCRIPTOR_VERSION = 1
MAX_SIZE = 65535  # M, N, K
MAX_SEGMENTS = 4


class _Code(IntEnum):
    """Numbers that each have a meaning, one line for users."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member


class Data(_Code):
    """How a matrix lies in memory."""

    FP32 = 0, "FP32 words."
    BF16 = 1, "BF16 words."
    MX = 2, "Packed MX blocks, one after the other."


class Operand(_Code):
    """Where scale or bias come from."""

    NONE = 0, "There is none."
    TENSOR = 1, "One FP32 word for all, in the descriptor."
    COLUMN = 2, "One FP32 word for each column of C, in memory."


class Fault(_Code):
    """Why a job stopped. The first that applies is told."""

    NONE = 0, "There is none."
    VERSION = 1, "The descriptor is of another version, or has a bit set that must be zero."
    SIZE = 2, "M, N or K is 0 or above 65535."
    FORMAT = (
        3,
        "A type, format or segment that the design lacks, or that contradicts others (docs/system.md, Limits).",
    )
    ALIGNMENT = 4, "An address or stride is no multiple of its element."
    WRAP = 5, "A matrix goes beyond the last address."
    WINDOW = 6, "A matrix, or the descriptor, is outside of the window."
    MASK = 7, "The mask does not mark as many channels as the descriptor says."
    READ_SLAVE = 8, "SLVERR on a read."
    READ_DECODE = 9, "DECERR on a read."
    WRITE_SLAVE = 10, "SLVERR on a write."
    WRITE_DECODE = 11, "DECERR on a write."
    ABORT = 12, "Stopped by the host."


@dataclass(frozen=True, kw_only=True)
class Segment:
    """K blocks that follow each other in one pair of formats.

    Parameters
    ----------
    blocks
        How many, 1 to 65535.
    a, w
        Names of the formats of A and W in them.
    """

    blocks: int
    a: str = "mx6"
    w: str = "mx6"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One product, scaled, biased and stored.

    Parameters
    ----------
    m, n, k
        Sizes, 1 to 65535.
    a_address, w_address, c_address
        Byte addresses.
    a_stride, w_stride, c_stride
        Bytes from one row in memory to the next. Rows of A and C are rows; those of W are its columns where W is MX or
        ``w_columns`` is set, and its rows otherwise.
    a_type, w_type, c_type
        `Data`. FP32 is aligned to 4 bytes, all else to 2.
    w_columns
        W, of FP32 or BF16, is stored column by column (N x K).
    segments
        Of the stored K blocks, 1 to 4. Those of FP32 or BF16 are converted to the formats here: all K channels in
        place, then the outliers.
    outliers
        Channels of A that go to MX9 blocks of their own, behind all others, as golden.split_outliers does; A is FP32 or
        BF16 then, and W is MX and has its rows repeated.
    mask_address
        Where there are outliers: a bit for each channel, channel k in bit k%8 of byte k//8, in words of 16; even.
    c_formats
        MX results: format of the columns before ``c_split``, and of those from there on.
    c_split
        First column of the second format; n where there is none.
    c_head
        MX results: blocks of the first format start again every so many columns; 0: only where the formats change.
    scale_mode, bias_mode
        `Operand`.
    scale, bias
        Bits of an FP32 word for TENSOR, address (a multiple of 4) for COLUMN.
    rounding
        Code of the rounding (`params.ROUNDINGS`), where the design has it at run time.
    interrupt
        Raise the job interrupt when done.
    tag
        32 bits that come back in CSRs.
    """

    m: int
    n: int
    k: int
    a_address: int
    w_address: int
    c_address: int
    a_stride: int
    w_stride: int
    c_stride: int
    a_type: Data = Data.FP32
    w_type: Data = Data.MX
    c_type: Data = Data.FP32
    w_columns: bool = False
    segments: tuple[Segment, ...] = field(default=())
    outliers: int = 0
    mask_address: int = 0
    c_formats: tuple[str, str] = ("mx6", "mx9")
    c_split: int = 0
    c_head: int = 0
    scale_mode: Operand = Operand.NONE
    bias_mode: Operand = Operand.NONE
    scale: int = 0
    bias: int = 0
    rounding: int = 0
    interrupt: bool = True
    tag: int = 0

    @property
    def blocks(self) -> int:
        """K blocks of all segments."""
        return sum(s.blocks for s in self.segments)

    def pack(self) -> bytes:
        """The descriptor. Nothing is checked: the accelerator does that.

        Raises
        ------
        TypeError
            A field is no integer.
        ValueError
            A field does not fit its bits, a format is unknown, or there are too many segments.
        """
        raw = self._raw()
        whole = 0
        for name, (word, low, bits) in FIELDS.items():
            value = operator.index(raw.get(name, 0))
            if not 0 <= value < 1 << bits:
                raise ValueError(f"{name} must fit {bits} bits, not be {value}")
            whole |= value << WORD_BITS * word + low
        return whole.to_bytes(DESCRIPTOR_BYTES, "little")

    def _raw(self) -> dict[str, Any]:
        if len(self.segments) > MAX_SEGMENTS:
            raise ValueError(f"segments must be at most {MAX_SEGMENTS}, not {len(self.segments)}")
        raw: dict[str, Any] = {name: getattr(self, name) for name in FIELDS if hasattr(self, name)}
        raw["version"] = DESCRIPTOR_VERSION
        for i, s in enumerate(self.segments):
            raw |= {f"segment{i}_blocks": s.blocks}
            raw |= {f"segment{i}_a": get_format(s.a).code, f"segment{i}_w": get_format(s.w).code}
        raw |= {f"c_format{i}": get_format(f).code for i, f in enumerate(self.c_formats)}
        return raw

    @classmethod
    def unpack(cls, data: bytes) -> "Job":
        """Read a descriptor back.

        Raises
        ------
        ValueError
            It has another size or version, an unknown code, or a bit set that must be zero.
        """
        if len(data) != DESCRIPTOR_BYTES:
            raise ValueError(f"descriptor must have {DESCRIPTOR_BYTES} bytes, not {len(data)}")
        raw: dict[str, Any] = raw_fields(data)
        version = raw.pop("version")
        if version != DESCRIPTOR_VERSION:
            raise ValueError(f"descriptor must be of version {DESCRIPTOR_VERSION}, not {version}")
        segments = []
        for i in range(MAX_SEGMENTS):
            blocks, a, w = (raw.pop(f"segment{i}_{part}") for part in ("blocks", "a", "w"))
            if blocks:
                segments.append(Segment(blocks=blocks, a=_format_name(a), w=_format_name(w)))
        raw["c_formats"] = tuple(_format_name(raw.pop(f"c_format{i}")) for i in range(2))
        raw |= {name: Data(raw[name]) for name in ("a_type", "w_type", "c_type")}
        raw |= {name: Operand(raw[name]) for name in ("scale_mode", "bias_mode")}
        raw |= {name: bool(raw[name]) for name in ("w_columns", "interrupt")}
        job = cls(segments=tuple(segments), **raw)
        if job.pack() != data:
            raise ValueError("descriptor must be zero where it has no field, and have its segments without gaps")
        return job


def raw_fields(descriptor: bytes) -> dict[str, int]:
    """All fields of a descriptor of 128 bytes as numbers, whatever they are."""
    whole = int.from_bytes(descriptor, "little")
    return {name: whole >> WORD_BITS * word + low & (1 << bits) - 1 for name, (word, low, bits) in FIELDS.items()}


def reserved_mask() -> int:
    """The bits of a descriptor, as one little-endian number, that are in no field."""
    used = sum((1 << bits) - 1 << WORD_BITS * word + low for word, low, bits in FIELDS.values())
    return (1 << 8 * DESCRIPTOR_BYTES) - 1 & ~used


def _format_name(code: int) -> str:
    for name, fmt in FORMATS.items():
        if fmt.code == code:
            return name
    raise ValueError(f"{code} is not a valid code of a format")


def blocks_of(k: int) -> int:
    """K blocks of so many channels."""
    return -(-k // BLOCK_SIZE)


_TABLE: tuple[tuple[str, int, int, int, str], ...] = (
    ("version", 0, 0, 8, f"Of the descriptor: {DESCRIPTOR_VERSION}."),
    ("interrupt", 0, 8, 1, "Raise the job interrupt when done."),
    ("a_type", 0, 16, 2, "How A lies in memory (data)."),
    ("w_type", 0, 18, 2, "How W lies in memory (data)."),
    ("c_type", 0, 20, 2, "How C is to lie in memory (data)."),
    ("w_columns", 0, 22, 1, "W is stored column by column (N x K); packed W always is."),
    ("scale_mode", 0, 24, 2, "Where the scale comes from (operand)."),
    ("bias_mode", 0, 26, 2, "Where the bias comes from (operand)."),
    ("rounding", 0, 28, 2, "Rounding of the conversions (rounding), where the design chooses at run time; else 0."),
    ("tag", 1, 0, 32, "Any number; it comes back in JOB_TAG or FAULT_TAG."),
    ("m", 2, 0, 32, f"Rows of A and C, 1 to {MAX_SIZE}."),
    ("n", 3, 0, 32, f"Columns of W and C, 1 to {MAX_SIZE}."),
    ("k", 4, 0, 32, f"Columns of A and rows of W, 1 to {MAX_SIZE}."),
    ("outliers", 5, 0, 16, "Channels of A that the mask marks: they go to MX9 blocks of their own, behind all others."),
    ("c_format0", 5, 16, 2, "MX results: format of the columns before c_split (format)."),
    ("c_format1", 5, 18, 2, "MX results: format of the columns from c_split on (format)."),
    *(
        entry
        for i in range(MAX_SEGMENTS)
        for entry in (
            (f"segment{i}_blocks", 6 + i, 0, 16, f"K blocks of segment {i}; 0 where there is none, nor one behind it."),
            (f"segment{i}_a", 6 + i, 16, 2, f"Format of A in segment {i} (format)."),
            (f"segment{i}_w", 6 + i, 18, 2, f"Format of W in segment {i} (format)."),
        )
    ),
    (
        "c_split",
        10,
        0,
        16,
        "MX results: first column of the second format; n where there is none, 0 for it alone.",
    ),
    ("c_head", 10, 16, 16, "MX results: blocks of the first format start again every so many columns; 0: never."),
    ("a_stride", 11, 0, 32, "Bytes from one row of A to the next."),
    ("w_stride", 12, 0, 32, "Bytes from one row of W to the next; from column to column where W lies so, as MX does."),
    ("c_stride", 13, 0, 32, "Bytes from one row of C to the next."),
    ("a_address", 14, 0, 64, "First byte of A."),
    ("w_address", 16, 0, 64, "First byte of W."),
    ("c_address", 18, 0, 64, "First byte of C."),
    ("mask_address", 20, 0, 64, "First byte of the mask: channel k is in bit k%8 of byte k/8."),
    ("scale", 22, 0, 64, "FP32 word, or address of the first column's, a multiple of 4."),
    ("bias", 24, 0, 64, "FP32 word, or address of the first column's, a multiple of 4."),
)
# Word, lowest bit and bits of each field; what is in none must be zero.
FIELDS: dict[str, tuple[int, int, int]] = {name: (word, low, bits) for name, word, low, bits, _ in _TABLE}
MEANINGS: dict[str, str] = {name: meaning for name, *_, meaning in _TABLE}  # one line for users, of each field
