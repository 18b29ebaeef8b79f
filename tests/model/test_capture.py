"""golden.capture: operands of products and peaks of activations."""

import re

import numpy as np
import pytest

from golden.capture import Capture, Peaks, capture
from golden.diffusion import Schedule, sample
from golden.dit import DiT
from tests.support.tiny_dit import tiny_inputs, tiny_state

SCHEDULE = Schedule(steps=100)
NAMES = ["blocks.0.mlp.fc1", "blocks.1.attn.qk.1"]


def tiny_model(seed=1):
    return DiT(tiny_state(seed), heads=2)


def test_capture_keeps_copies_of_the_first_call():
    hook = Capture(["p"])
    a, w = np.eye(3, dtype=np.float32), np.arange(6, dtype=np.float32).reshape(2, 3).T
    assert np.array_equal(hook("p", a, w), w)
    hook("p", a + 1, w)
    hook("q", a, w)
    a[:] = 5
    assert list(hook.operands) == ["p"]
    kept_a, kept_w = hook.operands["p"]
    assert np.array_equal(kept_a, np.eye(3))
    assert np.array_equal(kept_w, w)
    assert kept_w.flags.c_contiguous


def test_capture_can_be_disabled():
    hook = Capture(["p"])
    hook.enabled = False
    hook("p", np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32))
    assert hook.operands == {}


@pytest.mark.parametrize("step", [0, 2, 4])
def test_operands_of_a_step(step):
    """The same operands as those that a recording of all steps has at that step."""
    recorded = {name: [] for name in NAMES}

    def record(name, a, w, /):
        if name in recorded:
            recorded[name].append((a.copy(), w.copy()) if a.ndim == 2 else (a[0].copy(), w[0].copy()))
        return a @ w

    model = tiny_model()
    sample(model, SCHEDULE, [1, 2], steps=5, seed=7, gemm=record)
    found = capture(model, SCHEDULE, [1, 2], NAMES, step=step, steps=5, seed=7)
    assert set(found) == set(NAMES)
    for name, calls in recorded.items():
        per_step = len(calls) // 5
        a, w = calls[step * per_step]
        assert np.array_equal(found[name][0], a)
        assert np.array_equal(found[name][1], w)
        assert not np.array_equal(found[name][0], calls[(step + 1) % 5 * per_step][0])


def test_capture_stops_after_its_step():
    calls = []

    def count(name, a, w, /):
        calls.append(name)
        return a @ w

    capture(tiny_model(), SCHEDULE, [0], NAMES, step=1, steps=50, gemm=count)
    assert calls.count("x_embedder.proj") == 2


@pytest.mark.parametrize("step", [-1, 5])
def test_step_out_of_range(step):
    with pytest.raises(ValueError, match=f"^step must be 0 to 4, not {step}$"):
        capture(tiny_model(), SCHEDULE, [0], NAMES, step=step, steps=5)


def test_unknown_name():
    text = "name must be that of a product of the model, not 'blocks.2.attn.qkv'"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        capture(tiny_model(), SCHEDULE, [0], [*NAMES, "blocks.2.attn.qkv"], step=1, steps=5)


def test_peaks_of_channels_and_heads():
    peaks = Peaks()
    a = np.array([[1, -5, 0], [2, 3, -0.0]], np.float32)
    assert np.array_equal(peaks("fc", a, np.eye(3, dtype=np.float32)), a)
    peaks("fc", np.array([[-4, 4, 0]], np.float32), np.full((3, 1), 99, np.float32))
    assert {name: peak.tolist() for name, peak in peaks.channels.items()} == {"fc": [4, 5, 0]}
    for name, left, right in (
        ("blocks.0.attn.qk.0", 1, -2),
        ("blocks.0.attn.qk.1", -7, 3),
        ("blocks.0.attn.av.0", 1, 6),
        ("blocks.0.attn.av.1", 1, 2),
    ):
        peaks(name, np.full((2, 2), left, np.float32), np.full((2, 2), right, np.float32))
    assert {name: peak.tolist() for name, peak in peaks.heads.items()} == {"blocks.0.attn": [6, 7]}
    assert set(peaks.channels) == {"fc"}


def test_peaks_of_a_model():
    peaks, model = Peaks(), tiny_model(2)
    plain = model(*tiny_inputs(2, 2))
    assert np.array_equal(model(*tiny_inputs(2, 2), peaks), plain)
    assert set(peaks.channels) == set(model.config.linear_layers())
    assert {name: peak.shape for name, peak in peaks.heads.items()} == {
        "blocks.0.attn": (2,),
        "blocks.1.attn": (2,),
    }
