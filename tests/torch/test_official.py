"""Models of the official layout: the digits DiT in PyTorch, quantized, against `golden.dit` under the same policy."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from golden.capture import Peaks
from golden.dit import DiT as GoldenDiT
from golden.dit import DiTConfig
from golden.policy import MXGemm, PrecisionPolicy, calibrate
from mixdit_hw.checkpoint import DIGITS, load_dit, read_checkpoint
from mixdit_hw.torch import calibrate_model, matmul, quantize_model, record_peaks, restore
from mixdit_hw.torch.modules import CHILD
from tests.support.mx_data import assert_same_bits
from tests.support.tiny_dit import CONFIG, tiny_inputs, tiny_state
from tests.support.torch_dit import DiT, torch_dit

POLICIES = {
    "mx6": PrecisionPolicy(),
    "mx9": PrecisionPolicy(inlier_format="mx9", weight_format="mx9"),
    "mx4 and everything": PrecisionPolicy(inlier_format="mx4", weight_format="mx4", exempt=(), rounding="half-away"),
    "some exempt": PrecisionPolicy(
        heads={"blocks.1.attn": (1,)}, exempt=("*.mlp.fc1", "*.qk.0", "blocks.0.attn.av.*", "final_layer.*")
    ),
}


def mixed(config: DiTConfig, order: str, **settings: Any) -> PrecisionPolicy:
    """Random outliers and heads."""
    rng = np.random.default_rng(1)
    layers = {name: k for name, (k, _) in config.linear_layers().items() if "embedder" not in name}
    outliers = {name: tuple(rng.choice(k, max(1, k // 20), replace=False).tolist()) for name, k in layers.items()}
    heads = {f"blocks.{n}.attn": (n % config.heads,) for n in range(config.depth)}
    return PrecisionPolicy(outliers=outliers, heads=heads, order=order, **settings)


def digits() -> tuple[GoldenDiT, DiT]:
    reference, _ = load_dit()
    state, _ = read_checkpoint(DIGITS)
    return reference, torch_dit(reference.config, state)


def digits_inputs(config: DiTConfig, batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((batch, config.in_channels, config.input_size, config.input_size), np.float32)
    return x, rng.integers(0, 1000, batch), rng.integers(0, config.classes + 1, batch)


def run(model: nn.Module, inputs: tuple[np.ndarray, ...]) -> Tensor:
    return model(*map(torch.from_numpy, inputs))


class Products:
    """Hooks on the emulated products that compare each with `golden`, on the operands that it had."""

    def __init__(self, model: nn.Module, reference: GoldenDiT, policy: PrecisionPolicy) -> None:
        self.seen: set[str] = set()
        self._reference = reference
        self._gemm = MXGemm(policy)
        for path, module in model.named_modules():
            if path.endswith(f".{CHILD}"):
                module.register_forward_hook(self._hook(path.removesuffix(f".{CHILD}")))

    def _hook(self, name: str) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: tuple[Any, ...], result: Tensor) -> None:
            if name.endswith(".attn"):
                product, a, w = inputs
                for image, head in np.ndindex(a.shape[:2]):
                    key = f"{name}.{product}.{head}"
                    self._compare(key, a[image, head], w[image, head].T.numpy(), result[image, head])
            else:
                self._compare(name, inputs[0], self._reference.weight(name), result)

        return hook

    def _compare(self, name: str, a: Tensor, w: np.ndarray, result: Tensor) -> None:
        self.seen.add(name)
        wanted = self._gemm(name, np.ascontiguousarray(a.numpy()), np.ascontiguousarray(w))
        if self._gemm.policy.is_exempt(name):
            np.testing.assert_allclose(result.numpy(), wanted, rtol=1e-4, atol=1e-4)
        else:
            assert_same_bits(np.ascontiguousarray(result.numpy()), wanted)


def product_names(config: DiTConfig) -> set[str]:
    heads = {
        f"blocks.{n}.attn.{product}.{head}"
        for n in range(config.depth)
        for product in ("qk", "av")
        for head in range(config.heads)
    }
    return heads | set(config.linear_layers())


@pytest.mark.parametrize("name", [*POLICIES, "in-place", "gathered"])
def test_digits(name: str) -> None:
    """Every product is bit-equal; the outputs differ where softmax, GELU and normalisation are rounded otherwise."""
    reference, model = digits()
    v_format = {"head_v_format": "mx4"} if "head_v_format" in PrecisionPolicy.__dataclass_fields__ else {}
    policy = POLICIES.get(name) or mixed(reference.config, name, outlier_weight_format="mx9", **v_format)
    inputs = digits_inputs(reference.config, 2)
    plain = run(model, inputs)
    summary = quantize_model(model, policy)
    products = Products(model, reference, policy)
    found = run(model, inputs).numpy()
    wanted = reference(*inputs, MXGemm(policy))
    names = product_names(reference.config)
    exempt = {name for name in names if policy.is_exempt(name)}
    assert set(summary.products) == names - exempt
    assert set(summary.exempt) == exempt
    assert names - exempt <= products.seen

    # An element close to the middle of two neighbours may be rounded to the other one.
    distance, quantization = (np.sqrt(np.mean((x - wanted) ** 2)) for x in (found, plain.numpy()))
    assert distance < quantization

    summary.restore()
    assert torch.equal(run(model, inputs), plain)


def tiny(policy: PrecisionPolicy | None = None) -> DiT:
    """A tiny model, quantized where there is a policy."""
    model = torch_dit(CONFIG, tiny_state(1))
    if policy is not None:
        quantize_model(model, policy)
    return model


def all_mixed(order: str = "in-place") -> PrecisionPolicy:
    return mixed(CONFIG, order, exempt=())


def test_exempt_layers_are_untouched() -> None:
    policy = PrecisionPolicy(exempt=("*.mlp.*", "blocks.0.attn.??.*", "*embedder*", "*adaLN*", "final_layer.*"))
    model = tiny(policy)
    emulated = {path.removesuffix(f".{CHILD}") for path, _ in model.named_modules() if path.endswith(CHILD)}
    assert emulated == {
        "blocks.0.attn.qkv",
        "blocks.0.attn.proj",
        "blocks.1.attn.qkv",
        "blocks.1.attn.proj",
        "blocks.1.attn",
    }
    nothing = PrecisionPolicy(exempt=("*",))
    model, inputs = tiny(), tiny_inputs(2, 1)
    plain = run(model, inputs)
    summary = quantize_model(model, nothing)
    assert summary.products == {}
    assert torch.equal(run(model, inputs), plain)


def test_it_is_the_same_model() -> None:
    """Its state dict, its classes and what modules are called stay; copies are quantized too."""
    model, before = tiny(all_mixed()), tiny()
    assert list(model.state_dict()) == list(before.state_dict())
    assert isinstance(model.blocks[0].attn, type(before.blocks[0].attn))
    assert isinstance(model.blocks[0].mlp.fc1, nn.Linear)
    inputs = tiny_inputs(2, 2)
    found = run(model, inputs)
    assert not torch.equal(found, run(before, inputs))
    twin = copy.deepcopy(model)
    assert torch.equal(run(twin, inputs), found)
    restore(twin)
    assert torch.equal(run(twin, inputs), run(before, inputs))
    assert torch.equal(run(model, inputs), found)
    restore(twin)  # nothing happens


def test_context_manager() -> None:
    model, inputs = tiny(), tiny_inputs(1, 3)
    plain = run(model, inputs)
    with quantize_model(model, all_mixed()) as summary:
        assert not torch.equal(run(model, inputs), plain)
        assert summary.policy == all_mixed()
    assert torch.equal(run(model, inputs), plain)


def test_summary() -> None:
    policy = mixed(CONFIG, "in-place", outlier_weight_format="mx4")
    assert str(quantize_model(tiny(), policy)) == (
        "8 products mx6 + mx9 by mx6 + mx4\n4 products mx9 by mx9\n4 products mx6 by mx6\n7 products as they were"
    )


def test_buffers_follow_the_model() -> None:
    model = tiny(all_mixed())
    buffers = {name: b for name, b in model.named_buffers() if CHILD in name}
    assert buffers
    assert not any(b.is_floating_point() for b in buffers.values())
    model.to("meta")
    assert all(b.device.type == "meta" for name, b in model.named_buffers() if CHILD in name)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types(dtype: torch.dtype) -> None:
    """Operands are widened to float32, bias and sum too, and results have the input's type."""
    policy = all_mixed()
    model = tiny().to(dtype)
    quantize_model(model, policy)
    layer = model.blocks[0].mlp.fc2
    x = torch.randn(3, 5, layer.in_features, generator=torch.Generator().manual_seed(1)).to(dtype)
    product = matmul(policy, "blocks.0.mlp.fc2", x.flatten(0, 1).float(), layer.weight.float().T)
    assert torch.equal(layer(x), (product + layer.bias.float()).view(3, 5, -1).to(dtype))
    images, t, y = map(torch.from_numpy, tiny_inputs(2, 4))
    found = model(images.to(dtype), t, y)
    assert found.dtype == dtype
    assert torch.isfinite(found).all()


def test_a_type_given_later() -> None:
    """What was converted stays as it was."""
    model = tiny(all_mixed())
    words = model.blocks[0].attn.qkv.mixdit.words.clone()
    model.half()
    assert torch.equal(model.blocks[0].attn.qkv.mixdit.words, words)
    images, t, y = map(torch.from_numpy, tiny_inputs(1, 4))
    assert model(images.half(), t, y).dtype == torch.float16


def test_patches() -> None:
    """The patch embedding is a product with the patches."""
    policy = all_mixed()
    model, reference = tiny(policy), GoldenDiT(tiny_state(1), heads=CONFIG.heads)
    x = tiny_inputs(3, 5)[0]
    captured: list[Tensor] = []
    model.x_embedder.proj.mixdit.register_forward_hook(
        lambda _, inputs, result: captured.extend((*inputs, result.clone()))
    )
    y = model.x_embedder.proj(torch.from_numpy(x))
    a, product = captured
    wanted = reference._embed_patches(x, lambda name, p, w: (np.testing.assert_array_equal(p, a.numpy()), p @ w)[1])
    assert y.shape == (3, 8, 2, 2)
    np.testing.assert_array_equal(y.flatten(2).transpose(1, 2).reshape(-1, 8), product + model.x_embedder.proj.bias)
    assert wanted.shape == (3, 4, 8)


def test_weights_that_change() -> None:
    model = tiny(PrecisionPolicy())
    inputs = tiny_inputs(1, 6)
    run(model, inputs)
    model.load_state_dict(tiny().state_dict())
    with pytest.raises(RuntimeError, match=r"^weights changed after quantize_model: restore the model and quantize it"):
        run(model, inputs)
    restore(model)
    with torch.inference_mode():
        other = tiny(PrecisionPolicy())
        assert torch.isfinite(run(other, inputs)).all()


def test_calibration() -> None:
    """Peaks and policies are those of a run of the NumPy model."""
    model, reference = tiny(), GoldenDiT(tiny_state(1), heads=CONFIG.heads)
    peaks, batches = Peaks(), [tiny_inputs(2, seed) for seed in (7, 8)]
    for inputs in batches:
        reference(*inputs, peaks)

    def use() -> None:
        for inputs in batches:
            run(model, inputs)

    with record_peaks(model) as found:
        use()
    assert set(found.channels) == set(peaks.channels)
    for name, peak in peaks.channels.items():
        np.testing.assert_allclose(found.channels[name], peak, rtol=1e-3, atol=1e-3)
    for name, peak in peaks.heads.items():
        np.testing.assert_allclose(found.heads[name], peak, rtol=1e-3, atol=1e-3)
    settings = {"outlier_weight_format": "mx9", "exempt": ("*embedder*",)}
    plain = run(model, batches[0])
    policy = calibrate_model(model, use, "25%", 1, **settings)
    assert policy == calibrate(peaks, "25%", 1, **settings)
    assert all(policy.heads.values())
    assert torch.equal(run(model, batches[0]), plain)
    quantize_model(model, policy)


def test_calibration_with_nan() -> None:
    """As in `golden`, a channel with a NaN is above all others."""
    model = tiny()
    with record_peaks(model) as found:
        x = torch.zeros(2, 8)
        x[0, 3], x[1, 5] = float("nan"), float("-inf")
        model.blocks[0].mlp.fc1(x)
    assert calibrate(found, 1).outliers == {"blocks.0.mlp.fc1": (3,)}


def test_calibration_that_fails() -> None:
    model = tiny()
    with pytest.raises(ValueError, match=r"^run must use the model, which was not called$"):
        calibrate_model(model, lambda: None, 1)
    with pytest.raises(ValueError, match=r"^amount must be 0% to 100%, not '101%'$"):
        calibrate_model(model, lambda: run(model, tiny_inputs(1, 1)), "101%")
    quantize_model(model, PrecisionPolicy())
    with pytest.raises(ValueError, match=r"^model must be restored first: its products are emulated or watched al"):
        calibrate_model(model, lambda: None, 1)


def test_a_failure_leaves_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError

    model, inputs = tiny(), tiny_inputs(1, 9)
    plain = run(model, inputs)
    monkeypatch.setattr("mixdit_hw.torch.model.HeadProducts", fail)
    with pytest.raises(MemoryError):
        quantize_model(model, PrecisionPolicy())
    assert torch.equal(run(model, inputs), plain)
    assert not any(CHILD in path for path, _ in model.named_modules())


class NoHeads(DiT):
    def __init__(self) -> None:
        super().__init__(CONFIG)
        del self.blocks[0].attn.num_heads


class OtherLinear(DiT):
    def __init__(self) -> None:
        super().__init__(CONFIG)
        self.blocks[1].mlp.fc2 = nn.Bilinear(2, 2, 2)


class Overlapping(DiT):
    def __init__(self) -> None:
        super().__init__(CONFIG)
        self.x_embedder.proj = nn.Conv2d(2, 8, 3, 2)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (object(), "model must be a PyTorch module, of a pipeline its transformer, not object"),
        (nn.Linear(2, 2), "model must be a DiT of the official layout or diffusers' DiTTransformer2DModel, not Linear"),
        (NoHeads(), "blocks.0.attn must have its number of heads as num_heads, not None"),
        (OtherLinear(), "blocks.1.mlp.fc2 must be a Linear of PyTorch, not Bilinear"),
        (Overlapping(), "x_embedder.proj must cut patches that do not overlap"),
    ],
)
def test_models_of_other_kinds(model: Any, text: str) -> None:
    with pytest.raises(TypeError) as error:
        quantize_model(model, PrecisionPolicy())
    assert str(error.value) == text


def test_policies_of_other_models() -> None:
    model = tiny()
    for policy, text in (
        (
            PrecisionPolicy(outliers={"blocks.2.attn.qkv": (1,)}),
            "outliers must name layers of the model, not 'bl",
        ),
        (
            PrecisionPolicy(outliers={"blocks.1.attn.qkv": (8,)}),
            "outliers of 'blocks.1.attn.qkv' must be 0 to 7",
        ),
        (PrecisionPolicy(heads={"blocks.0.attn": (2,)}), "heads of 'blocks.0.attn' must be 0 to 1, not 2"),
    ):
        with pytest.raises(ValueError, match="^" + text):
            quantize_model(model, policy)
    with pytest.raises(TypeError, match=r"^policy must be a PrecisionPolicy, not dict$"):
        quantize_model(model, {})  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"^attn_mask must be left out in an emulated attention$"):
        tiny(PrecisionPolicy()).blocks[0].attn(torch.zeros(1, 4, 8), attn_mask=torch.zeros(4, 4))
