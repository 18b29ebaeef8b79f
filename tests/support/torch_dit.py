"""A PyTorch DiT in the official layout, small or large, and how to give it a state dict of `golden.dit`."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from golden.dit import FREQUENCIES, DiTConfig


class Attention(nn.Module):
    """Attention with the attributes that timm's has."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.num_heads = heads
        self.scale = (width // heads) ** -0.5
        self.fused_attn = True
        self.qkv = nn.Linear(width, 3 * width)
        self.q_norm, self.k_norm = nn.Identity(), nn.Identity()
        self.proj = nn.Linear(width, width)
        self.proj_drop = nn.Dropout(0.0)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj_drop(self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)))


class Mlp(nn.Module):
    def __init__(self, width: int, wide: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, wide), nn.Linear(wide, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class Modulated(nn.Module):
    """What blocks and the final layer share."""

    def __init__(self, width: int, parts: int) -> None:
        super().__init__()
        self.parts = parts
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, parts * width))

    def modulation(self, c: Tensor) -> tuple[Tensor, ...]:
        return self.adaLN_modulation(c)[:, None].chunk(self.parts, 2)


class Block(Modulated):
    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__(width, 6)
        self.attn = Attention(width, heads)
        self.mlp = Mlp(width, ratio * width)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(c)
        x = x + gate1 * self.attn(self.norm(x) * (1 + scale1) + shift1)
        return x + gate2 * self.mlp(self.norm(x) * (1 + scale2) + shift2)


class FinalLayer(Modulated):
    def __init__(self, width: int, outputs: int) -> None:
        super().__init__(width, 2)
        self.linear = nn.Linear(width, outputs)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift, scale = self.modulation(c)
        return self.linear(self.norm(x) * (1 + scale) + shift)


class PatchEmbed(nn.Module):
    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class TimestepEmbedder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        half = FREQUENCIES // 2
        angle = t[:, None].float() * torch.exp(-math.log(10000) * torch.arange(half, device=t.device) / half)
        return self.mlp(torch.cat([angle.cos(), angle.sin()], 1).to(self.mlp[0].weight.dtype))


class LabelEmbedder(nn.Module):
    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(classes + 1, width)

    def forward(self, y: Tensor) -> Tensor:
        return self.embedding_table(y)


class DiT(nn.Module):
    """Noisy images (B, C, S, S), timesteps (B,) and labels (B,) to the noise, and the variance where it is learned."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        d, pixels = config.hidden_size, config.patch_size**2
        self.config = config
        self.x_embedder = PatchEmbed(config.in_channels, d, config.patch_size)
        self.t_embedder = TimestepEmbedder(d)
        self.y_embedder = LabelEmbedder(config.classes, d)
        self.pos_embed = nn.Parameter(torch.zeros(1, config.tokens, d))
        self.blocks = nn.ModuleList(Block(d, config.heads, config.mlp_ratio) for _ in range(config.depth))
        self.final_layer = FinalLayer(d, pixels * config.out_channels)

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        cfg = self.config
        c = self.t_embedder(t) + self.y_embedder(y)
        x = self.x_embedder(x) + self.pos_embed
        for block in self.blocks:
            x = block(x, c)
        x = self.final_layer(x, c).view(-1, cfg.grid, cfg.grid, cfg.patch_size, cfg.patch_size, cfg.out_channels)
        return x.permute(0, 5, 1, 3, 2, 4).reshape(-1, cfg.out_channels, cfg.input_size, cfg.input_size)


def torch_dit(config: DiTConfig, state: Mapping[str, np.ndarray]) -> DiT:
    """A DiT with the weights of a state dict."""
    model = DiT(config).eval().requires_grad_(False)
    model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in state.items()})
    return model
