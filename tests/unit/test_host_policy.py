"""Jobs built from a policy, on the model of the accelerator: what they leave is what the golden model computes."""

from typing import Any

import numpy as np
import pytest

import golden
from golden.dit import DiT
from golden.policy import MXGemm, PrecisionPolicy
from mixdit_hw.host import Accelerator, Arena, Stored, policy_job
from mixdit_hw.presets import PRESETS
from mixdit_hw.sim.memory import Memory
from mixdit_hw.sim.model_transport import ModelTransport
from tests.support.errors import raises_exactly
from tests.support.matrices import random_matrix
from tests.support.mx_data import assert_same_bits
from tests.support.tiny_dit import tiny_inputs, tiny_state

FC1 = "blocks.0.mlp.fc1"
SIZE = 1 << 17
POLICY = PrecisionPolicy(
    outliers={FC1: (3, 17, 18), "blocks.1.attn.qkv": (0,), "blocks.0.attn.proj": tuple(range(8))},
    heads={"blocks.0.attn": (1,)},
    head_v_format="mx6",
    weight_format="mx4",
    outlier_weight_format="mx9",
)


class Device:
    """A driver of the model, which multiplies as a `Gemm` does."""

    def __init__(self, policy: PrecisionPolicy, **changes: Any) -> None:
        transport = ModelTransport(PRESETS["tiny"].replace(**changes), Memory(bytes(SIZE)))
        self.arena = Arena(transport, 0, SIZE)
        self.accelerator = Accelerator(transport, self.arena)
        self.policy = policy

    def __call__(self, name: str, a: np.ndarray, w: np.ndarray, /) -> np.ndarray:
        """One job; what is exempt in NumPy."""
        if self.policy.is_exempt(name):
            return a @ w
        if a.ndim == 3:  # a head of all images: a job for each
            return np.stack([self.product(name, x, y) for x, y in zip(a, w, strict=True)])
        return self.product(name, a, w)

    def product(self, name: str, a: np.ndarray, w: np.ndarray) -> np.ndarray:
        """One job."""
        return self.run(name, self.arena.store(a), self.arena.store_weight(self.policy, name, w))

    def run(self, name: str, a: Stored, w: Stored) -> np.ndarray:
        c = self.arena.result(a.shape[0], w.shape[1])
        k = a.shape[1]
        mask = self.arena.store_channels(self.policy, name, k)
        self.accelerator.run(policy_job(self.policy, name, a, w, c, mask_address=mask))
        result = self.arena.load(c).copy()
        for place in (a, w, c, *([mask] if name in self.policy.outliers else [])):
            self.arena.free(place)
        return result


def operands(seed: int, k: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return random_matrix(rng, (6, k), "gaussian"), random_matrix(rng, (k, 5), "wide")


@pytest.mark.parametrize("rounding", ["nearest-even", "half-away"])
def test_a_whole_dit_of_jobs(rounding: str) -> None:
    """Every product of the blocks is a job under one policy; the noise is the golden model's, bit for bit."""
    outliers = {name: channels for name, channels in POLICY.outliers.items() if name != FC1} | {FC1: (1, 6)}
    policy = PrecisionPolicy.from_dict(POLICY.to_dict() | {"outliers": outliers, "rounding": rounding})
    model, inputs = DiT(tiny_state(7), heads=2), tiny_inputs(2, 7)
    device = Device(policy, rounding="runtime")
    assert_same_bits(model(*inputs, device), model(*inputs, MXGemm(policy)))


@pytest.mark.parametrize("name", [FC1, "blocks.0.mlp.fc2", "blocks.0.attn.av.1", "blocks.0.attn.av.0"])
def test_every_bit_is_goldens(name: str) -> None:
    a, w = operands(1)
    assert_same_bits(Device(POLICY)(name, a, w), MXGemm(POLICY)(name, a, w))
    assert_same_bits(Device(POLICY, rounding="truncate")(name, a, w), run_truncated(name, a, w))


def run_truncated(name: str, a: np.ndarray, w: np.ndarray) -> np.ndarray:
    """With a design's own rounding for A; W was packed under the policy."""
    truncated = PrecisionPolicy.from_dict(POLICY.to_dict() | {"rounding": "truncate"})
    return golden.gemm(truncated.quantize_a(name, a), POLICY.quantize_w(name, w))


def test_bfloat16() -> None:
    a, w = operands(2)
    device = Device(POLICY)
    short = golden.to_bfloat16(a)
    result = device.run(FC1, device.arena.store(short), device.arena.store_weight(POLICY, FC1, w))
    assert_same_bits(result, MXGemm(POLICY)(FC1, golden.from_bfloat16(short), w))


@pytest.mark.parametrize("name", ["blocks.0.attn.qk.1", "blocks.0.attn.av.1", "blocks.0.mlp.fc2"])
def test_both_operands_converted_by_the_accelerator(name: str) -> None:
    a, w = operands(3)
    device = Device(POLICY)
    result = device.run(name, device.arena.store(a), device.arena.store(w))
    assert_same_bits(result, MXGemm(POLICY)(name, a, w))


@pytest.mark.parametrize("order", ["in-place", "gathered"])
def test_a_packed_by_the_host(order: str) -> None:
    """It is stored in the policy's order, and needs no mask."""
    a, w = operands(4)
    policy = PrecisionPolicy(outliers={FC1: (3, 17)}, order=order)
    device = Device(policy)
    stored = device.arena.store_mx(policy.quantize_a(FC1, a)), device.arena.store_weight(policy, FC1, w)
    c = device.arena.result(6, 5)
    job = policy_job(policy, FC1, *stored, c)
    assert (job.outliers, job.mask_address) == (0, 0)
    device.accelerator.run(job)
    assert_same_bits(device.arena.load(c), MXGemm(policy)(FC1, a, w))


def test_no_channels_no_mask() -> None:
    device = Device(PrecisionPolicy(outliers={FC1: ()}))
    assert device.arena.store_channels(device.policy, FC1, 40) == 0
    assert device.arena.store_channels(device.policy, "blocks.0.mlp.fc2", 40) == 0


def test_products_that_do_not_fit() -> None:
    a, w = operands(5)
    device = Device(POLICY)
    arena, c = device.arena, device.arena.result(6, 5)
    stored, weight = arena.store(a), arena.store_weight(POLICY, FC1, w)

    def wrong(text: str, policy: PrecisionPolicy, name: str, a: Stored, w: Stored) -> None:
        with raises_exactly(ValueError, text):
            policy_job(policy, name, a, w, c)

    exempt = "x_embedder.proj must not be exempt, which the policy leaves in float32"
    wrong(exempt, POLICY, "x_embedder.proj", stored, weight)
    with raises_exactly(ValueError, exempt):
        arena.store_weight(POLICY, "x_embedder.proj", w)
    wrong(
        "w must be stored as the policy has blocks.0.mlp.fc2, 40 mx4, not 40 mx4 + 3 mx9",
        POLICY,
        "blocks.0.mlp.fc2",
        stored,
        weight,
    )
    wrong(
        f"a must be stored as the policy has {FC1}, 37 mx6 + 3 mx9, not 40 mx9",
        POLICY,
        FC1,
        arena.store_mx(golden.quantize(a, "mx9")),
        weight,
    )
    gathered = PrecisionPolicy.from_dict(POLICY.to_dict() | {"order": "gathered"})
    wrong("order must be in-place where the accelerator converts a, not gathered", gathered, FC1, stored, weight)
    short = arena.store(a[:, :16].copy())
    wrong(f"outliers of '{FC1}' must be 0 to 15, not 18", POLICY, FC1, short, weight)
    with raises_exactly(ValueError, f"outliers of '{FC1}' must be 0 to 15, not 18"):
        arena.store_weight(POLICY, FC1, w[:16].copy())
    wrong("outliers need a of FP32 or BF16, and w of MX", POLICY, FC1, stored, arena.store(w))
