"""Formats of others: the element encodings of `ml_dtypes` searched by hand, and the rules around them."""

import numpy as np
import pytest

from golden.dit import matmul
from mixdit_hw.quality.emulate import ELEMENTS, SCHEMES, Emulated, bits_per_element, convert_int8, convert_ocp
from tests.support.errors import raises_exactly


def values_of(name: str) -> np.ndarray:
    """All finite values of an element format, ascending."""
    element = ELEMENTS[name]
    if element.dtype is None:
        return np.arange(-127, 128) / 64
    found = np.arange(2**element.bits, dtype=np.uint8).view(element.dtype).astype(np.float64)
    return np.unique(found[np.isfinite(found)])


def nearest(name: str, x: np.ndarray) -> np.ndarray:
    """Distance of x to the nearest value."""
    return np.abs(values_of(name) - x[..., np.newaxis]).min(axis=-1)


@pytest.mark.parametrize("name", ELEMENTS)
def test_table(name):
    element, values = ELEMENTS[name], values_of(name)
    assert values.max() == element.largest
    assert 2.0**element.emax <= element.largest < 2.0 ** (element.emax + 1)


@pytest.mark.parametrize("name", ELEMENTS)
@pytest.mark.parametrize("power", [-110, -20, 0, 30, 100])
def test_nearest_of_the_scaled_block(name, power):
    """Each value is one of the format's times a scale that is a power of two, and the nearest of these."""
    rng = np.random.default_rng(abs(power))
    x = (rng.standard_normal((5, 32)) * 2.0 ** rng.integers(-6, 6, (5, 32))).astype(np.float32) * np.float32(2.0**power)
    found = convert_ocp(x, name).astype(np.float64)
    top = np.floor(np.log2(np.abs(x.astype(np.float64)).max(axis=1, keepdims=True)))
    scale = 2.0 ** (top - ELEMENTS[name].emax)
    assert nearest(name, found / scale).max() == 0
    limited = np.clip(x / scale, -ELEMENTS[name].largest, ELEMENTS[name].largest)
    assert np.array_equal(np.abs(found / scale - limited), nearest(name, limited))


def test_ties_go_to_even():
    x = np.zeros((1, 32), np.float32)
    x[0, :5] = [4.0, 2.5, 3.5, -5.0, 0.25]  # scale 1: FP4 has 0, 0.5, 1, 1.5, 2, 3, 4, 6
    assert convert_ocp(x, "mxfp4")[0, :5].tolist() == [4.0, 2.0, 4.0, -4.0, 0.0]
    x[0, :5] = [1.0, 1.5 / 64, 2.5 / 64, 0, 0]
    assert convert_ocp(x, "mxint8")[0, 1:3].tolist() == [2 / 64, 2 / 64]


def test_saturation_zero_and_tails():
    x = np.zeros((2, 40), np.float32)
    x[0, 0], x[0, 39] = 7.9, 100.0
    found = convert_ocp(x, "mxfp4")
    assert found.shape == (2, 40)
    assert found[0, 0] == 6.0
    assert found[0, 39] == 96.0
    assert not found[1].any()
    least = np.full((1, 32), 1e-45, np.float32)
    assert np.isfinite(convert_ocp(least, "mxfp8-e5m2")).all()


def test_blocks_are_apart():
    x = np.concatenate([np.full((1, 32), 1.0), np.full((1, 32), 1e-6)], axis=1).astype(np.float32)
    found = convert_ocp(x, "mxfp4")
    assert np.abs(found[0, 32:] / 1e-6 - 1).max() < 0.3


def test_int8():
    x = np.array([[127.0, -63.5, 0.4, 0.6], [0, 0, 0, 0], [1e-3, 5e-4, 0, -1e-3]], np.float32)
    found = convert_int8(x)
    assert found[0].tolist() == [127.0, -64.0, 0.0, 1.0]
    assert not found[1].any()
    np.testing.assert_allclose(found[2], [1e-3, 64e-3 / 127, 0, -1e-3], rtol=1e-6)
    rng = np.random.default_rng(1)
    y = rng.standard_normal((50, 70), np.float32)
    step = np.abs(y).max(axis=1, keepdims=True) / 127
    assert (np.abs(convert_int8(y) - y) <= step * 0.5001).all()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_products(scheme):
    """Both operands along K; stacks too; weights are converted once; the ends of the network stay float32."""
    rng = np.random.default_rng(2)
    a, w = rng.standard_normal((6, 48), np.float32), rng.standard_normal((48, 5), np.float32)
    w.flags.writeable = False

    def convert(x):
        return convert_int8(x) if scheme == "int8" else convert_ocp(x, scheme)

    gemm = Emulated(scheme)
    expected = convert(a) @ convert(np.ascontiguousarray(w.T)).T
    for _ in range(2):
        np.testing.assert_allclose(gemm("blocks.0.mlp.fc1", a, w), expected, rtol=1e-5, atol=1e-5)
    stack = gemm("blocks.0.attn.qk.0", np.stack([a, 2 * a]), np.stack([w, w]))
    np.testing.assert_allclose(stack, np.stack([expected, 2 * expected]), rtol=1e-5, atol=1e-5)
    assert np.array_equal(gemm("final_layer.linear", a, w), matmul("", a, w))


def test_bits():
    assert [bits_per_element(name) for name in ("int8", "mxint8", "mxfp6-e2m3", "mxfp4")] == [8, 8.25, 6.25, 4.25]


def test_unknown_scheme():
    with raises_exactly(ValueError, f"scheme must be one of {', '.join(SCHEMES)}, not 'fp8'"):
        Emulated("fp8")
