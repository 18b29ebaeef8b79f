"""Descriptors: both ways, against bytes counted by hand, and what is refused."""

import dataclasses
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golden.formats import FORMATS
from mixdit_hw.job import (
    DESCRIPTOR_BYTES,
    FIELDS,
    MAX_SEGMENTS,
    MEANINGS,
    Data,
    Fault,
    Job,
    Operand,
    Segment,
    blocks_of,
)
from tests.support.errors import raises_exactly

PLAIN = Job(m=1, n=2, k=16, a_address=0, w_address=0, c_address=0, a_stride=64, w_stride=12, c_stride=8)


def words(data: bytes) -> dict[int, int]:
    """The words of a descriptor that are not zero."""
    found = {i: int.from_bytes(data[4 * i : 4 * i + 4], "little") for i in range(DESCRIPTOR_BYTES // 4)}
    return {i: word for i, word in found.items() if word}


formats = st.sampled_from(list(FORMATS))
segments = st.builds(Segment, blocks=st.integers(1, 65535), a=formats, w=formats)
SPECIAL = {
    "segments": st.lists(segments, max_size=MAX_SEGMENTS).map(tuple),
    "c_formats": st.tuples(formats, formats),
    **dict.fromkeys(("a_type", "w_type", "c_type"), st.sampled_from(Data)),
    **dict.fromkeys(("scale_mode", "bias_mode"), st.sampled_from(Operand)),
    **dict.fromkeys(("w_columns", "interrupt"), st.booleans()),
}
NUMBERS = {name: st.integers(0, (1 << bits) - 1) for name, (_, _, bits) in FIELDS.items() if hasattr(PLAIN, name)}
jobs = st.builds(Job, **(NUMBERS | SPECIAL))


@given(jobs)
def test_round_trip(job: Job) -> None:
    data = job.pack()
    assert len(data) == DESCRIPTOR_BYTES
    found = Job.unpack(data)
    assert found == job
    assert all(type(getattr(found, f.name)) is type(getattr(job, f.name)) for f in dataclasses.fields(Job))


@given(jobs, st.integers(0, 8 * DESCRIPTOR_BYTES - 1))
def test_every_bit_counts(job: Job, bit: int) -> None:
    """A descriptor with one bit turned is another job or none."""
    whole = int.from_bytes(job.pack(), "little") ^ 1 << bit
    data = whole.to_bytes(DESCRIPTOR_BYTES, "little")
    try:
        other = Job.unpack(data)
    except ValueError:
        return
    assert other != job
    assert other.pack() == data


def test_worked_words() -> None:
    assert words(PLAIN.pack()) == {
        0: 0x0008_0101,  # version 1, interrupt, W is MX
        2: 1,
        3: 2,
        4: 16,
        5: 0x0009_0000,  # c_formats: MX6 = 1, MX9 = 2
        11: 64,
        12: 12,
        13: 8,
    }
    job = Job(
        m=0x1122,
        n=0x3344,
        k=0x5566,
        a_address=0x0102030405060708,
        w_address=0x1112131415161718,
        c_address=0x2122232425262728,
        a_stride=0x31323334,
        w_stride=0x41424344,
        c_stride=0x51525354,
        a_type=Data.BF16,
        w_type=Data.FP32,
        c_type=Data.MX,
        w_columns=True,
        segments=(Segment(blocks=0x6162, a="mx4", w="mx9"), Segment(blocks=1, a="mx9", w="mx6")),
        outliers=0x7172,
        mask_address=0x8182838485868788,
        c_formats=("mx9", "mx4"),
        c_split=0x9192,
        c_head=0xA1A2,
        scale_mode=Operand.TENSOR,
        bias_mode=Operand.COLUMN,
        scale=0xB1B2B3B4,
        bias=0xC1C2C3C4C5C6C7C8,
        rounding=2,
        interrupt=False,
        tag=0xD1D2D3D4,
    )
    assert words(job.pack()) == {
        0: 0x01 | 1 << 16 | 2 << 20 | 1 << 22 | 1 << 24 | 2 << 26 | 2 << 28,
        1: 0xD1D2D3D4,
        2: 0x1122,
        3: 0x3344,
        4: 0x5566,
        5: 0x7172 | 2 << 16,
        6: 0x6162 | 2 << 18,
        7: 0x0001 | 2 << 16 | 1 << 18,
        10: 0xA1A29192,
        11: 0x31323334,
        12: 0x41424344,
        13: 0x51525354,
        14: 0x05060708,
        15: 0x01020304,
        16: 0x15161718,
        17: 0x11121314,
        18: 0x25262728,
        19: 0x21222324,
        20: 0x85868788,
        21: 0x81828384,
        22: 0xB1B2B3B4,
        24: 0xC5C6C7C8,
        25: 0xC1C2C3C4,
    }
    assert job.pack()[4:8] == bytes([0xD4, 0xD3, 0xD2, 0xD1])


def test_the_table_of_fields() -> None:
    """No bit is in two fields, none crosses a word but those of 64 bits, and every field has a meaning."""
    taken = Counter(32 * word + low + i for word, low, bits in FIELDS.values() for i in range(bits))
    assert set(taken.values()) == {1}
    assert max(taken) < 8 * DESCRIPTOR_BYTES
    assert all(low + bits <= 32 or (low, bits) == (0, 64) for _, low, bits in FIELDS.values())
    assert list(MEANINGS) == list(FIELDS)
    assert all(text.endswith(".") and "\n" not in text for text in MEANINGS.values())


def test_codes() -> None:
    for codes in (Data, Operand, Fault):
        assert [int(code) for code in codes] == list(range(len(codes)))
        assert all(code.meaning.endswith(".") for code in codes)
    assert Fault(6) is Fault.WINDOW


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"m": 1 << 32}, ValueError, "m must fit 32 bits, not be 4294967296"),
        ({"outliers": -1}, ValueError, "outliers must fit 16 bits, not be -1"),
        ({"a_address": 1 << 64}, ValueError, "a_address must fit 64 bits, not be 18446744073709551616"),
        ({"rounding": 4}, ValueError, "rounding must fit 2 bits, not be 4"),
        ({"segments": (Segment(blocks=65536),)}, ValueError, "segment0_blocks must fit 16 bits, not be 65536"),
        ({"segments": (Segment(blocks=1),) * 5}, ValueError, "segments must be at most 4, not 5"),
        ({"k": 1.5}, TypeError, "'float' object cannot be interpreted as an integer"),
    ],
)
def test_what_cannot_be_packed(changes: dict, error: type[Exception], text: str) -> None:
    with raises_exactly(error, text):
        dataclasses.replace(PLAIN, **changes).pack()


def with_bits(**values: int) -> bytes:
    """The plain descriptor with other bits; ``word<n>`` is a whole word."""
    whole = int.from_bytes(PLAIN.pack(), "little")
    for name, value in values.items():
        word, low, bits = (int(name[4:]), 0, 32) if name.startswith("word") else FIELDS[name]
        start = 32 * word + low
        whole = whole & ~((1 << bits) - 1 << start) | value << start
    return whole.to_bytes(DESCRIPTOR_BYTES, "little")


NOT_ZERO = "descriptor must be zero where it has no field, and have its segments without gaps"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (bytes(127), "descriptor must have 128 bytes, not 127"),
        (bytes(128), "descriptor must be of version 1, not 0"),
        (with_bits(version=2), "descriptor must be of version 1, not 2"),
        (with_bits(a_type=3), "3 is not a valid Data"),
        (with_bits(bias_mode=3), "3 is not a valid Operand"),
        (with_bits(segment0_blocks=1, segment0_a=3), "3 is not a valid code of a format"),
        (with_bits(c_format1=3), "3 is not a valid code of a format"),
        (with_bits(segment1_blocks=1), NOT_ZERO),
        (with_bits(segment0_blocks=1, segment1_w=1), NOT_ZERO),
        (with_bits(word26=1), NOT_ZERO),
        (with_bits(word31=1 << 31), NOT_ZERO),
        (with_bits(word6=1 << 20 | 1), NOT_ZERO),
    ],
)
def test_what_is_no_descriptor(data: bytes, text: str) -> None:
    with raises_exactly(ValueError, text):
        Job.unpack(data)


def test_blocks() -> None:
    job = dataclasses.replace(PLAIN, segments=(Segment(blocks=2), Segment(blocks=5)))
    assert (job.blocks, PLAIN.blocks) == (7, 0)
    assert [blocks_of(k) for k in (1, 16, 17, 65535)] == [1, 1, 2, 4096]
