"""diffusers' DiT, quantized, against `golden.dit` with the same weights under the same policy."""

from typing import Any

import diffusers  # pyright: ignore[reportMissingImports]
import numpy as np
import pytest
import torch
from torch import Tensor

from golden.capture import Peaks
from golden.dit import DiT
from golden.policy import MXGemm, PrecisionPolicy, calibrate
from mixdit_hw.torch import calibrate_model, quantize_model
from mixdit_hw.torch.layouts import find_sites
from tests.support.diffusers_dit import HEADS, diffusers_dit, golden_state

SEED = 1


def inputs(model: DiT, seed: int, batch: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng, cfg = np.random.default_rng(seed), model.config
    x = rng.standard_normal((batch, cfg.in_channels, cfg.input_size, cfg.input_size), np.float32)
    return x, rng.integers(0, 1000, batch), rng.integers(0, cfg.classes + 1, batch)


def run(model: Any, arrays: tuple[np.ndarray, ...]) -> Tensor:
    x, t, y = map(torch.from_numpy, arrays)
    return model(x, timestep=t, class_labels=y).sample


@pytest.mark.parametrize("order", [None, "in-place", "gathered"])
def test_it_is_golden_dit(order: str | None) -> None:
    """In float, and with every product emulated, outliers and heads of their own."""
    model = diffusers_dit(SEED)
    reference = DiT(golden_state(model), heads=HEADS)
    arrays = inputs(reference, 2)
    plain = run(model, arrays)
    np.testing.assert_allclose(plain.numpy(), reference(*arrays), rtol=1e-3, atol=1e-5)
    if order is None:
        policy = PrecisionPolicy()
    else:
        rng = np.random.default_rng(3)
        layers = reference.config.linear_layers().items()
        policy = PrecisionPolicy(
            outliers={name: tuple(rng.choice(k, max(1, k // 8), replace=False).tolist()) for name, (k, _) in layers},
            heads={"blocks.0.attn": (1,), "blocks.1.attn": (0, 1)},
            outlier_weight_format="mx9",
            order=order,
            exempt=(),
        )
    summary = quantize_model(model, policy)
    found, wanted = run(model, arrays).numpy(), reference(*arrays, MXGemm(policy))
    distance, quantization = (np.sqrt(np.mean((x - wanted) ** 2)) for x in (found, plain.numpy()))
    assert distance < quantization
    assert all(policy.is_exempt(site.name) == (site.path in summary.exempt) for site in find_layers(SEED))
    summary.restore()
    assert torch.equal(run(model, arrays), plain)


def find_layers(seed: int) -> Any:
    return find_sites(diffusers_dit(seed)).layers


def test_names() -> None:
    """Every product of `golden.dit` is there, with its channels; the three projections are one name."""
    model = diffusers_dit(SEED)
    sites = find_sites(model)
    channels = {site.name: site.inputs for site in sites.layers}
    layers = DiT(golden_state(model), heads=HEADS).config.linear_layers()
    assert channels == {name: k for name, (k, _) in layers.items()}
    of_qkv = [site.path for site in sites.layers if site.name == "blocks.1.attn.qkv"]
    assert of_qkv == [f"transformer_blocks.1.attn1.to_{part}" for part in "qkv"]
    paths = {path for path, module in model.named_modules() if type(module) in (torch.nn.Linear, torch.nn.Conv2d)}
    assert paths == {site.path for site in sites.layers}
    assert [(a.name, a.path, a.heads) for a in sites.attentions] == [
        (f"blocks.{n}.attn", f"transformer_blocks.{n}.attn1", HEADS) for n in range(2)
    ]


def test_calibration() -> None:
    model = diffusers_dit(SEED)
    reference, peaks = DiT(golden_state(model), heads=HEADS), Peaks()
    reference(*inputs(reference, 4), peaks)
    policy = calibrate_model(model, lambda: run(model, inputs(reference, 4)), "10%", "50%", exempt=())
    assert policy == calibrate(peaks, "10%", "50%", exempt=())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_other_types(dtype: torch.dtype) -> None:
    model = diffusers_dit(SEED)
    x, t, y = map(torch.from_numpy, inputs(DiT(golden_state(model), heads=HEADS), 5))
    plain = model(x, timestep=t, class_labels=y).sample
    model.to(dtype)
    quantize_model(model, PrecisionPolicy(inlier_format="mx9", weight_format="mx9"))
    found = model(x.to(dtype), timestep=t, class_labels=y).sample
    assert found.dtype == dtype
    assert (found.float() - plain).square().mean() <= 0.001 * plain.square().mean()


def test_in_a_pipeline() -> None:
    """The pipeline goes on using the model that is quantized."""
    model = diffusers_dit(SEED)
    scheduler = diffusers.DDIMScheduler()
    scheduler.set_timesteps(3)
    x = torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    with quantize_model(model, PrecisionPolicy()):
        for t in scheduler.timesteps:
            noise = model(x, timestep=t.expand(2), class_labels=torch.tensor([0, 3])).sample[:, :2]
            x = scheduler.step(noise, t, x).prev_sample
    assert torch.isfinite(x).all()


def test_other_models() -> None:
    with pytest.raises(TypeError, match=r"^transformer_blocks\.0 must have self-attention only, as in a DiT$"):
        quantize_model(
            diffusers.PixArtTransformer2DModel(
                num_attention_heads=2, attention_head_dim=8, num_layers=1, cross_attention_dim=16, sample_size=8
            ),
            PrecisionPolicy(),
        )
    model = diffusers_dit(SEED)
    for block in model.transformer_blocks:
        block.attn1.fuse_projections()
    with pytest.raises(TypeError, match=r"^transformer_blocks\.0\.attn1 must have separate projections: call unfuse_"):
        quantize_model(model, PrecisionPolicy())
    model = diffusers_dit(SEED)
    quantize_model(model, PrecisionPolicy())
    with pytest.raises(ValueError, match=r"^encoder_hidden_states must be left out in an emulated attention$"):
        model.transformer_blocks[0].attn1(torch.zeros(1, 4, 40), torch.zeros(1, 4, 40))
