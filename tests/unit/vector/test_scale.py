"""Scale, bias and BF16 against the golden model."""

import numpy as np
import pytest

import golden
from mixdit_hw.vector.scale import ScaleBias
from tests.support.clocked import Clocked
from tests.support.errors import raises_exactly

CORNERS = np.array(
    [
        0x00000000, 0x00800000, 0x80800000, 0x3F800000, 0xBF800000, 0x3F808000, 0x3F818000, 0x3F7FFFFF, 0x7F7FFFFF,
        0xFF7FFFFF, 0x7F7F8000, 0x7F7F7FFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0x34000000, 0x4B000000,
    ],
    dtype=np.uint32,
)  # fmt: skip
SUBNORMALS = np.array([0x80000000, 0x00000001, 0x807FFFFF], dtype=np.uint32)


def check(acc: np.ndarray, scale: np.ndarray, bias: np.ndarray, loop_latency: int) -> None:
    dut = ScaleBias(loop_latency)
    columns = (x.tolist() for x in (acc, scale, bias))
    rows = [{"acc": x, "scale": s, "bias": b} for x, s, b in zip(*columns, strict=True)]
    out = Clocked(dut).run(rows, ["y", "bf16"], tail=dut.latency)
    want = golden.scale_and_bias(*(x.view(np.float32) for x in (acc, scale, bias)))
    assert out["y"][dut.latency :] == want.view(np.uint32).tolist()
    assert out["bf16"][dut.latency :] == golden.to_bfloat16(want).tolist()


@pytest.mark.parametrize(("loop_latency", "seed"), [(4, 1), (8, 2)])
def test_corners(loop_latency: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    words = np.concatenate([CORNERS, SUBNORMALS])
    acc, scale = (x.ravel() for x in np.meshgrid(CORNERS, words))
    check(acc.copy(), scale.copy(), rng.choice(words, len(acc)), loop_latency)


@pytest.mark.parametrize(("loop_latency", "seed"), [(4, 3), (8, 4)])
def test_random(loop_latency: int, seed: int) -> None:
    """Of a wide range, the bias near the product, so that sums cancel and round."""
    rng = np.random.default_rng(seed)
    shape = (3, 500)
    fields, fractions, signs = (rng.integers(low, high, shape) for low, high in ((60, 200), (0, 1 << 23), (0, 2)))
    acc, scale, near = (signs << 31 | fields << 23 | fractions).astype(np.uint32)
    product = golden.scale_and_bias(acc.view(np.float32), scale.view(np.float32)).view(np.uint32)
    bias = np.where(rng.random(shape[1]) < 0.5, product ^ 0x80000000, product).astype(np.int64)
    bias = np.clip((bias & 0x7FFFFFFF) + rng.integers(-3 << 22, 3 << 22, shape[1]), 1 << 23, 0x7F7FFFFF)
    bias = np.where(rng.random(shape[1]) < 0.7, bias | rng.integers(0, 2, shape[1]) << 31, near)
    check(acc, scale, bias.astype(np.uint32), loop_latency)


def test_neutral_operands() -> None:
    """A scale of 1 and a bias of 0 change nothing."""
    dut = ScaleBias()
    out = Clocked(dut).run([{"acc": int(x), "scale": 0x3F800000} for x in CORNERS], ["y"], tail=dut.latency)["y"]
    assert out[dut.latency :] == CORNERS.tolist()


def test_latency() -> None:
    assert [ScaleBias(latency).latency for latency in (4, 8)] == [11, 18]
    assert ScaleBias(4).unit_key != ScaleBias(8).unit_key
    with raises_exactly(ValueError, "loop_latency must be 4 or 8, not 5"):
        ScaleBias(5)
