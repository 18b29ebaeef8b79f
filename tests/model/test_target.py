"""Calibration to an error target."""

from dataclasses import replace

import numpy as np
import pytest

from golden.diffusion import Schedule, sample
from golden.dit import DiT
from golden.policy import PrecisionPolicy
from golden.target import Samples, meet_target, product_sqnr
from tests.support.errors import raises_exactly
from tests.support.tiny_dit import CONFIG, tiny_state

LAYER, HEAD = "blocks.0.mlp.fc1", "blocks.0.attn.qk.0"


def layer_samples(seed: int = 0) -> Samples:
    """A layer of 64 channels, of which 5 and 40 are far larger than the others."""
    rng = np.random.default_rng(seed)
    samples = Samples(rows=16)
    a = rng.standard_normal((100, 64), np.float32)
    a[:, [5, 40]] *= 64
    samples(LAYER, a, rng.standard_normal((64, 32), np.float32))
    return samples


def test_samples_keep_rows_and_the_first_image():
    samples = Samples(rows=3)
    a, w = np.arange(50, dtype=np.float32).reshape(10, 5), np.ones((5, 2), np.float32)
    assert np.array_equal(samples(LAYER, a, w), a @ w)
    samples(LAYER, a[:2], w)
    rows, kept = samples.layers[LAYER]
    assert [r[:, 0].tolist() for r in rows] == [[0, 20, 45], [0, 5]]
    assert kept is w
    stack = np.stack([a, a + 1])
    samples(HEAD, stack, np.ones((2, 5, 3), np.float32))
    ((q, k),) = samples.heads[HEAD]
    assert q[:, 0].tolist() == [0, 10, 20, 25, 35, 45]
    assert k.shape == (5, 3)


def test_samples_are_bounded():
    """Of many calls every second, fourth and so on is kept, and nothing of what is exempt."""
    samples = Samples(rows=1, calls=4, exempt=("final_layer.*",))
    w = np.ones((1, 1), np.float32)
    rows: list[np.ndarray] = []
    for i in range(40):
        a = np.full((1, 1), i, np.float32)
        samples(LAYER, a, w)
        samples("final_layer.linear", a, w)
        rows, _ = samples.layers[LAYER]
        assert len(rows) <= 4
    assert [int(r[0, 0]) for r in rows] == [0, 16, 32]
    assert list(samples.layers) == [LAYER]


def test_fewest_channels():
    """One multiple less misses the target, and the channels are those of the largest magnitude."""
    samples = layer_samples()
    (rows,), w = samples.layers[LAYER]
    base = PrecisionPolicy(outlier_weight_format="mx9")
    for multiple in (1, 16):
        policy = meet_target(samples, 30.0, multiple=multiple, outlier_weight_format="mx9")
        channels = policy.outliers[LAYER]
        assert 0 < len(channels) < 64
        assert len(channels) % multiple == 0
        assert {5, 40} <= set(channels)
        assert product_sqnr(policy, LAYER, [(rows, w)]) >= 30
        magnitudes = np.abs(rows).max(axis=0)
        fewer = tuple(sorted(channels, key=lambda k: -magnitudes[k]))[: len(channels) - multiple]
        assert product_sqnr(replace(base, outliers={LAYER: fewer}), LAYER, [(rows, w)]) < 30


def test_targets_that_need_nothing_or_all():
    samples = layer_samples()
    assert meet_target(samples, 0.0).outliers == {LAYER: ()}
    assert meet_target(samples, 90.0).outliers == {LAYER: tuple(range(64))}


def test_heads_are_wide_where_one_product_misses():
    rng = np.random.default_rng(3)
    samples = Samples()

    def pair(k: int) -> tuple[np.ndarray, np.ndarray]:
        return rng.standard_normal((1, 16, k), np.float32), rng.standard_normal((1, k, 16), np.float32)

    easy = np.full((1, 16, 16), 1.0, np.float32)
    for head in (0, 1):
        samples(f"blocks.2.attn.qk.{head}", easy, easy)
        samples(f"blocks.2.attn.av.{head}", *((easy, easy) if head == 0 else pair(16)))
    assert meet_target(samples, 40.0).heads == {"blocks.2.attn": (1,)}
    assert meet_target(samples, 5.0).heads == {"blocks.2.attn": ()}


def test_of_a_whole_model():
    samples = Samples()
    sample(DiT(tiny_state(1), heads=2), Schedule(), [0, 1], steps=3, guidance=2.0, gemm=samples)
    policy = meet_target(samples, 20.0)
    policy.check(CONFIG)
    layers = {f"blocks.{n}.{part}" for n in range(2) for part in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")}
    assert set(policy.outliers) == layers
    assert set(policy.heads) == {"blocks.0.attn", "blocks.1.attn"}


@pytest.mark.parametrize("target", [float("nan"), float("inf")])
def test_bad_targets(target):
    with pytest.raises(ValueError, match="target must be a finite number"):
        meet_target(layer_samples(), target)


def test_bad_numbers():
    with raises_exactly(ValueError, "multiple must be at least 1, not 0"):
        meet_target(layer_samples(), 30.0, multiple=0)
    with raises_exactly(ValueError, "rows must be at least 1, not 0"):
        Samples(rows=0)
    with raises_exactly(ValueError, "calls must be even and at least 2, not 3"):
        Samples(calls=3)
    with raises_exactly(TypeError, "rows must be an integer, not 1.5"):
        Samples(rows=1.5)  # pyright: ignore[reportArgumentType]
