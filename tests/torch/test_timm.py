"""Models of the official layout with timm's own attention and MLP, as the reference implementation has them."""

import pytest
import torch
from timm.models.vision_transformer import Attention, Mlp  # pyright: ignore[reportMissingImports]
from torch import nn

from golden.policy import PrecisionPolicy
from mixdit_hw.torch import quantize_model, record_peaks
from mixdit_hw.torch.modules import CHILD
from tests.support.tiny_dit import CONFIG, tiny_inputs, tiny_state
from tests.support.torch_dit import DiT, torch_dit


def model(**options: object) -> DiT:
    """The tiny model with other attentions, the same where there are no options."""
    dit = torch_dit(CONFIG, tiny_state(1))
    torch.manual_seed(1)
    for block in dit.blocks:
        attention = Attention(8, num_heads=2, qkv_bias=True, norm_layer=nn.LayerNorm, **options).eval()
        mlp = Mlp(8, 16, act_layer=lambda: nn.GELU(approximate="tanh"), drop=0).eval()
        attention.load_state_dict(block.attn.state_dict(), strict=False)
        mlp.load_state_dict(block.mlp.state_dict())
        block.attn, block.mlp = attention, mlp
    return dit.requires_grad_(False)


def test_it_is_the_same() -> None:
    arrays = tuple(map(torch.from_numpy, tiny_inputs(2, 1)))
    first, second = model(), torch_dit(CONFIG, tiny_state(1))
    torch.testing.assert_close(first(*arrays), second(*arrays))
    policy = PrecisionPolicy(heads={"blocks.0.attn": (1,)})
    quantize_model(first, policy)
    quantize_model(second, policy)
    assert torch.equal(first(*arrays), second(*arrays))


@pytest.mark.parametrize("fused", [False, True])
def test_norms(fused: bool) -> None:
    """Norms of queries, keys and results stay, and what is in training mode."""
    dit = model(qk_norm=True, scale_norm=True)
    for block in dit.blocks:
        block.attn.fused_attn = fused
    dit.blocks[1].train()
    arrays = tuple(map(torch.from_numpy, tiny_inputs(2, 2)))
    plain = dit(*arrays)
    with record_peaks(dit) as peaks:
        torch.testing.assert_close(dit(*arrays), plain, rtol=1e-4, atol=1e-4)
    assert set(peaks.heads) == {"blocks.0.attn", "blocks.1.attn"}
    assert (dit.blocks[0].attn.training, dit.blocks[1].attn.proj_drop.training) == (False, True)
    quantize_model(dit, PrecisionPolicy(inlier_format="mx9", weight_format="mx9"))
    error = dit(*arrays) - plain
    assert 0 < error.square().mean() < 0.001 * plain.square().mean()


def test_gate() -> None:
    """What an emulated attention does not do is noticed."""
    dit = model(gated=True)
    with pytest.raises(
        TypeError, match=r"^blocks\.0\.attn must be the attention of a DiT: Attention computes another$"
    ):
        quantize_model(dit, PrecisionPolicy())
    assert not any(CHILD in path for path, _ in dit.named_modules())
