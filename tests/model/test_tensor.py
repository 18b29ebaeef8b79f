"""Fields, decoding, packing and concatenation; the reference decodes elements one at a time in Python integers."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from golden import FORMATS, MX4, MX6, MX9, MXTensor, Segment, concat, exact, quantize, unpack
from tests.support.errors import raises_exactly
from tests.support.mx_data import assert_same_bits, bits, block_words, floats, random_tensor

NAMES = list(FORMATS)


def same(x, y):
    assert (x.shape, x.axis, x.segments) == (y.shape, y.axis, y.segments)
    for field in ("exponents", "micro", "elements"):
        np.testing.assert_array_equal(getattr(x, field), getattr(y, field))


def pairs(fmt, exponent=127):
    """All encodings of a pair: D and two elements, one row each, in every pair of its block."""
    n = 1 << fmt.element_bits
    d, first, second = np.meshgrid(np.arange(2), np.arange(n), np.arange(n), indexing="ij")
    fields = np.stack([first.ravel(), second.ravel()] * 8, axis=1)
    elements = (fields >> fmt.magnitude_bits << 7 | fields & fmt.max_magnitude).astype(np.uint8)
    rows = d.size
    return MXTensor(
        shape=(rows, 16),
        axis=1,
        segments=(Segment(format=fmt, length=16),),
        exponents=np.full((rows, 1), exponent, np.uint8),
        micro=np.where(d.reshape(-1, 1), 255, 0).astype(np.uint8),
        elements=elements[:, np.newaxis],
    )


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
def test_every_value(fmt):
    """All E, D, sign and magnitude: 131072 values of MX9."""
    e, d, byte = (v.ravel() for v in np.meshgrid(np.arange(256), np.arange(2), np.arange(256), indexing="ij"))
    keep = (byte & 127) <= fmt.max_magnitude
    e, d, byte = e[keep], d[keep], byte[keep]
    t = MXTensor(
        shape=(e.size, 16),
        axis=1,
        segments=(Segment(format=fmt, length=16),),
        exponents=e.astype(np.uint8).reshape(-1, 1),
        micro=(d << 5).astype(np.uint8).reshape(-1, 1),
        elements=np.pad(byte.astype(np.uint8).reshape(-1, 1, 1), ((0, 0), (0, 0), (11, 4))),
    )
    m = fmt.magnitude_bits
    wanted = []
    for exponent, micro, element in zip(e.tolist(), d.tolist(), byte.tolist(), strict=True):
        sign, magnitude = element >> 7, element & 127
        if exponent == 255:
            wanted.append(0x7FC00000)
        else:
            wanted.append(exact.round_word(magnitude, exponent - 127 - micro - (m - 1), "ieee") | sign << 31)
    decoded = bits(t.dequantize())
    np.testing.assert_array_equal(decoded[:, 11], np.array(wanted, np.uint32))
    others = np.where(e == 255, np.uint32(0x7FC00000), np.uint32(0))[:, np.newaxis]
    np.testing.assert_array_equal(np.delete(decoded, 11, axis=1), np.broadcast_to(others, (e.size, 15)))


@pytest.mark.parametrize("fmt", [MX6, MX4], ids=str)
def test_every_pair_packs_and_decodes(fmt):
    t = pairs(fmt)
    packed = t.pack().reshape(-1, fmt.block_bytes)
    values = t.dequantize()
    for row, data in enumerate(packed):
        block = exact.block_of(t, row, 0)
        integer = block.exponent | block.micro << 8
        for i in range(16):
            field = block.signs[i] << fmt.magnitude_bits | block.magnitudes[i]
            integer |= field << 16 + i * fmt.element_bits
        assert int.from_bytes(data.tobytes(), "little") == integer
        assert bits(values[row]).tolist() == exact.decode_words(block, fmt)
    same(unpack(t.pack(), fmt, t.shape), t)


@pytest.mark.parametrize("fmt", [MX6, MX4], ids=str)
@pytest.mark.parametrize("rounding", ["nearest-even", "truncate", "half-away"])
def test_every_pair_converts_again(fmt, rounding):
    values = pairs(fmt).dequantize()
    values[:, 4] = 1.0  # keeps the shared exponent, and D = 0 in its pair
    again = quantize(values, fmt, rounding=rounding)
    for row, words in enumerate(bits(values).tolist()):
        assert exact.block_of(again, row, 0) == exact.quantize_block(words, fmt, rounding)
    # Where both elements of a pair are below 1, D = 1 holds either scale; so nothing is lost but beside the 1.
    np.testing.assert_array_equal(np.delete(again.dequantize(), 5, axis=1), np.delete(values, 5, axis=1))


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
def test_any_bytes_survive(fmt):
    rng = np.random.default_rng(7)
    shape, axis = (3, 50, 5), 1
    data = rng.integers(0, 256, 15 * 4 * fmt.block_bytes).astype(np.uint8)
    t = unpack(data, fmt.name, shape, axis)
    np.testing.assert_array_equal(t.pack(), data)
    assert t.dequantize().shape == shape
    assert t.magnitudes.max() <= fmt.max_magnitude
    assert t.signs.max() == 1


def test_fields_and_their_order():
    """Row r of a tensor of shape (2, K, 3) is x[r // 3, :, r % 3]."""
    x = np.random.default_rng(1).standard_normal((2, 37, 3)).astype(np.float32)
    t = quantize(x, "mx6", axis=1)
    assert (t.rows, t.blocks, t.axis) == (6, 3, 1)
    assert t.formats == (MX6, MX6, MX6)
    assert t.segments == (Segment(format=MX6, length=37),)
    assert repr(t) == "MXTensor(shape=(2, 37, 3), axis=1, segments=[37 mx6])"
    for r in range(6):
        row = quantize(np.ascontiguousarray(x[r // 3, :, r % 3]), "mx6")
        np.testing.assert_array_equal(t.exponents[r], row.exponents[0])
        np.testing.assert_array_equal(t.micro[r], row.micro[0])
        np.testing.assert_array_equal(t.signs[r], row.signs[0])
        np.testing.assert_array_equal(t.magnitudes[r], row.magnitudes[0])
        assert_same_bits(t.dequantize()[r // 3, :, r % 3].copy(), row.dequantize())
    assert t.dequantize().flags.c_contiguous
    assert not t.elements[:, 2, 5:].any()  # padding is +0


def test_decode_in_pieces():
    """More elements than are decoded at a time."""
    words = block_words(np.random.default_rng(2), 700, 200)
    t = quantize(floats(words), "mx9")
    assert_same_bits(
        t.dequantize(), np.concatenate([quantize(floats(w), "mx9").dequantize()[np.newaxis] for w in words])
    )


@given(
    names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=4),
    lengths=st.lists(st.integers(1, 40), min_size=4, max_size=4),
    axis=st.integers(0, 2),
    seed=st.integers(0, 2**32 - 1),
)
def test_concat(names, lengths, axis, seed):
    rng = np.random.default_rng(seed)
    parts, values = [], []
    for name, length in zip(names, lengths, strict=False):
        shape = [2, 3, 2]
        shape[axis] = length
        x = np.moveaxis(floats(block_words(rng, 12 // [2, 3, 2][axis], length)), -1, 0)
        x = np.ascontiguousarray(np.moveaxis(x.reshape(length, *shape[:axis], *shape[axis + 1 :]), 0, axis))
        parts.append(quantize(x, name, axis=axis))
        values.append(parts[-1].dequantize())
    t = concat(parts)
    assert_same_bits(t.dequantize(), np.concatenate(values, axis=axis))
    assert t.formats == tuple(f for part in parts for f in part.formats)
    per_row = [part.pack().reshape(t.rows, -1) for part in parts]
    np.testing.assert_array_equal(t.pack(), np.concatenate(per_row, axis=1).ravel())
    same(unpack(t.pack(), t.segments, t.shape, t.axis), t)


def test_concat_errors():
    x = np.ones((2, 16), np.float32)
    t = quantize(x, "mx6")
    with raises_exactly(ValueError, "parts must hold at least one tensor, not []"):
        concat([])
    with raises_exactly(TypeError, "parts must hold MXTensors, not ndarray"):
        concat([t, x])
    with raises_exactly(ValueError, "parts must be blocked along the same axis, not 1 and 0"):
        concat([t, quantize(x, "mx6", axis=0)])
    with raises_exactly(ValueError, "parts must agree in all axes but 1, not (2, 16) and (3, 16)"):
        concat([t, quantize(np.ones((3, 16), np.float32), "mx9")])
    with raises_exactly(ValueError, "parts must agree in all axes but 1, not (2, 16) and (2, 16, 1)"):
        concat([t, quantize(np.ones((2, 16, 1), np.float32), "mx9", axis=1)])


def test_unpack_errors():
    data = np.zeros(24, np.uint8)
    same(unpack(data, "mx6", [2, 5]), unpack(data, MX6, (2, 5), 1))
    with raises_exactly(ValueError, "data must have 24 bytes for shape (2, 16), not 23"):
        unpack(data[:23], "mx6", (2, 16))
    with raises_exactly(ValueError, "data must have 36 bytes for shape (2, 16), not 24"):
        unpack(data, "mx9", (2, 16))
    with raises_exactly(ValueError, "data must be 1-D, not of shape (2, 12)"):
        unpack(data.reshape(2, 12), "mx6", (2, 16))
    with raises_exactly(TypeError, "data must be a uint8 array, not bytes"):
        unpack(bytes(24), "mx6", (2, 16))  # type: ignore[arg-type]
    with raises_exactly(TypeError, "data must be a uint8 array, not int8"):
        unpack(data.view(np.int8), "mx6", (2, 16))
    with raises_exactly(ValueError, "data must have at least one element, not shape (0,)"):
        unpack(data[:0], "mx6", (2, 16))
    with raises_exactly(ValueError, "format must be one of mx9, mx6, mx4, not 'fp8'"):
        unpack(data, "fp8", (2, 16))
    with raises_exactly(ValueError, "format must be one of mx9, mx6, mx4, not 6"):
        unpack(data, 6, (2, 16))  # type: ignore[arg-type]
    with raises_exactly(ValueError, "axis must be -2 to 1, not 2"):
        unpack(data, "mx6", (2, 16), 2)
    with raises_exactly(ValueError, "shape must have axes of at least one position, not (2, 0)"):
        unpack(data, "mx6", (2, 0))
    with raises_exactly(ValueError, "shape must have axes of at least one position, not ()"):
        unpack(data, "mx6", ())
    with raises_exactly(TypeError, "shape must be an integer, not 2.0"):
        unpack(data, "mx6", (2.0, 16))  # type: ignore[arg-type]
    with raises_exactly(TypeError, "shape must be a sequence of integers, not 16"):
        unpack(data, "mx6", 16)  # type: ignore[arg-type]
    with raises_exactly(ValueError, f"data must have {2**63 * 18} bytes for shape ({2**63}, 16), not 24"):
        unpack(data, "mx9", (2**63, 16))
    with raises_exactly(TypeError, "fmt must be a format or a sequence of Segments, not [1]"):
        unpack(data, [1], (2, 16))  # type: ignore[list-item]
    with raises_exactly(ValueError, "data must have 0 bytes for shape (2, 16), not 24"):
        unpack(data, [], (2, 16))
    with raises_exactly(ValueError, "shape must have 17 positions along axis 1, not (2, 16)"):
        unpack(np.zeros(48, np.uint8), (Segment(format=MX6, length=17),), (2, 16))


def test_segments():
    assert [Segment(format=MX6, length=n).blocks for n in (1, 16, 17)] == [1, 1, 2]
    for wrong in (0, -1):
        with raises_exactly(ValueError, f"length must be at least 1, not {wrong}"):
            Segment(format=MX6, length=wrong)
    with raises_exactly(TypeError, "length must be an integer, not 16.0"):
        Segment(format=MX6, length=16.0)  # type: ignore[arg-type]
    with raises_exactly(TypeError, "format must be a Format, not 'mx6'"):
        Segment(format="mx6", length=16)  # type: ignore[arg-type]


@pytest.mark.parametrize("sign", [0, 128])
@pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
def test_magnitude_above_its_formats(fmt, sign):
    """Every byte is checked against the format of its own block."""
    t = random_tensor(np.random.default_rng(4), 3, ["mx9", fmt.name, "mx9"])
    elements = t.elements.copy()
    for magnitude in range(128):
        elements[2, 1, 7] = sign | magnitude
        if magnitude <= fmt.max_magnitude:
            same(unpack(replace(t, elements=elements).pack(), t.segments, t.shape), replace(t, elements=elements))
            continue
        text = f"elements[2, 1, 7] must have a magnitude of 0 to {fmt.max_magnitude} in {fmt}, not {magnitude}"
        with raises_exactly(ValueError, text):
            replace(t, elements=elements)


def test_lengths_of_blocks():
    parts = [quantize(np.ones((2, k), np.float32), "mx6") for k in (16, 33, 1, 15, 32)]
    t = concat(parts)
    assert t.lengths == (16, 16, 16, 1, 1, 15, 16, 16)
    assert len(t.lengths) == t.blocks
    assert sum(t.lengths) == t.shape[1]


def test_fields_that_do_not_fit():
    t = random_tensor(np.random.default_rng(3), 2, ["mx9", "mx4"])
    assert t.formats == (MX9, MX4)
    with raises_exactly(ValueError, "exponents must be uint8 of shape (2, 2), not uint8 of (2, 1)"):
        replace(t, exponents=t.exponents[:, :1])
    with raises_exactly(ValueError, "micro must be uint8 of shape (2, 2), not int64 of (2, 2)"):
        replace(t, micro=t.micro.astype(np.int64))
    with raises_exactly(ValueError, "elements must be uint8 of shape (2, 2, 16), not uint8 of (2, 32)"):
        replace(t, elements=t.elements.reshape(2, 32))
