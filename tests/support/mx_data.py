"""Random FP32 words and MX tensors that reach the corners of the number formats."""

import numpy as np

from golden import MXTensor, Segment, get_format

# Fractions are cut to few bits half of the time, so that ties of every format's rounding are common.
FRACTION_MASKS = np.array([0x7FFFFF, 0x7FFFFF, 0x7F0000, 0x7E0000, 0x700000, 0x7FFFFF ^ 1, 0x780001, 0], np.uint32)


def block_words(rng: np.random.Generator, rows: int, length: int, low: int = 0, high: int = 255) -> np.ndarray:
    """FP32 words (rows, length); each run of 16 has exponent fields a little below a top of its own.

    Tops are within `low` to `high`; 0 gives zeros and subnormals, 255 some Inf and NaN.
    """
    top = np.repeat(rng.integers(low, high + 1, (rows, -(-length // 16))), 16, axis=1)[:, :length]
    fields = np.clip(top - rng.integers(0, 28, (rows, length)) // rng.integers(1, 4, (rows, length)), 0, 255)
    fractions = rng.integers(0, 1 << 23, (rows, length), dtype=np.uint32)
    fractions &= rng.choice(FRACTION_MASKS, (rows, length))
    signs = rng.integers(0, 2, (rows, length), dtype=np.uint32)
    return signs << 31 | fields.astype(np.uint32) << 23 | fractions


def random_tensor(
    rng: np.random.Generator,
    rows: int,
    formats: list[str],
    *,
    axis: int = 1,
    low: int = 0,
    high: int = 254,
    nan_rate: float = 0.0,
    zero_rate: float = 0.0,
) -> MXTensor:
    """A 2-D tensor of one whole block for each of `formats`, with any E from `low` to `high`, any D, S and M."""
    blocks = len(formats)
    exponents = rng.integers(low, high + 1, (rows, blocks)).astype(np.uint8)
    exponents[rng.random((rows, blocks)) < nan_rate] = 255
    limits = np.array([get_format(f).max_magnitude for f in formats])[:, np.newaxis]
    magnitudes = rng.integers(0, limits + 1, (rows, blocks, 16))
    magnitudes[rng.random((rows, blocks)) < zero_rate] = 0
    magnitudes[rng.random((rows, blocks, 16)) < 0.2] = 0
    full = np.broadcast_to(limits, magnitudes.shape)
    magnitudes = np.where(rng.random(magnitudes.shape) < 0.1, np.where(magnitudes, full, 0), magnitudes)
    signs = rng.integers(0, 2, magnitudes.shape)
    length = 16 * blocks
    return MXTensor(
        shape=(rows, length) if axis == 1 else (length, rows),
        axis=axis,
        segments=tuple(Segment(format=get_format(f), length=16) for f in formats),
        exponents=exponents,
        micro=rng.integers(0, 256, (rows, blocks)).astype(np.uint8),
        elements=(signs << 7 | magnitudes).astype(np.uint8),
    )


def floats(words: object) -> np.ndarray:
    """float32 array with those bits, from integers, arrays of them or hex words in a string."""
    if isinstance(words, str):
        words = [int(w, 16) for w in words.split()]
    return np.array(words, np.uint32).view(np.float32)


def bits(x: np.ndarray) -> np.ndarray:
    """uint32 bits of a float32 array."""
    return np.ascontiguousarray(x).view(np.uint32)


def assert_same_bits(x: np.ndarray, y: np.ndarray) -> None:
    """Equality bit for bit, NaN and the sign of zero included."""
    assert x.dtype == y.dtype == np.float32
    np.testing.assert_array_equal(bits(x), bits(y))
