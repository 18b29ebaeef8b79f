"""The software half of the demo on a tiny DiT."""

import numpy as np
import pytest

from golden import gemm, reference_gemm, sqnr_db
from golden.diffusion import Schedule
from golden.dit import DiT
from mixdit_hw.report.study import Layer, capture_layers, make_policies, quantize_layer, sample_images
from tests.support.tiny_dit import CONFIG, tiny_state

STEPS = 2


@pytest.fixture(scope="module")
def model():
    return DiT(tiny_state(3), heads=CONFIG.heads)


def test_policies_and_images(model):
    policies, peaks = make_policies(model, Schedule(), outliers=3, heads=1, steps=STEPS)
    assert list(policies) == ["mx6", "mixed", "mx9"]
    for name, channels in policies["mixed"].outliers.items():
        assert len(channels) == 3
        others = np.delete(peaks.channels[name], channels)
        assert peaks.channels[name][list(channels)].min() >= others.max()
    said: list[str] = []
    images = sample_images(model, Schedule(), policies, steps=STEPS, done=said.append)
    assert said == list(images) == ["float32", "mx6", "mixed", "mx9"]
    assert all(x.shape == images["float32"].shape for x in images.values())
    assert sqnr_db(images["float32"], images["mx9"]) > sqnr_db(images["float32"], images["mx6"])


def test_layers(model):
    names = ["blocks.0.mlp.fc1", "blocks.0.attn.qk.0"]
    layers = capture_layers(model, Schedule(), names, labels=[0], steps=STEPS)
    assert [layer.name for layer in layers] == names
    assert layers[0].shape == (*layers[0].a.shape, layers[0].w.shape[1])


def test_quantized_layer(model):
    """Results are golden's, and SQNR grows with precision."""
    rng = np.random.default_rng(1)
    a, w = rng.standard_normal((8, 64), np.float32), rng.standard_normal((64, 8), np.float32)
    policies, _ = make_policies(model, Schedule(), outliers=0, heads=0, steps=STEPS)
    layer = Layer(name="blocks.0.mlp.fc1", a=a, w=w)
    found = {name: quantize_layer(layer, policy) for name, policy in policies.items()}
    for precision in found.values():
        assert np.array_equal(precision.result, gemm(precision.a, precision.w))
        assert precision.sqnr == sqnr_db(reference_gemm(a, w), precision.result)
    assert found["mx9"].sqnr > found["mx6"].sqnr + 10
