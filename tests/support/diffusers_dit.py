"""A small `DiTTransformer2DModel` of diffusers, and its weights as a state dict of `golden.dit`."""

from typing import Any

import numpy as np
import torch
from diffusers import DiTTransformer2DModel  # pyright: ignore[reportMissingImports]
from torch import nn

HEADS = 2


def diffusers_dit(seed: int) -> Any:
    """Random weights: 4x4 images of 2 channels, learned variance, 2 blocks of 2 heads of 20, 3 classes."""
    torch.manual_seed(seed)
    model = DiTTransformer2DModel(
        num_attention_heads=HEADS,
        attention_head_dim=20,
        in_channels=2,
        out_channels=4,
        num_layers=2,
        sample_size=8,
        patch_size=2,
        num_embeds_ada_norm=3,
        norm_eps=1e-6,
    )
    for block in model.transformer_blocks:
        # All blocks embed timesteps alike, and as the reference implementation does.
        block.norm1.emb.load_state_dict(model.transformer_blocks[0].norm1.emb.state_dict())
        block.norm1.emb.time_proj.downscale_freq_shift = 0
    return model.eval().requires_grad_(False)


def golden_state(model: nn.Module) -> dict[str, np.ndarray]:
    """State dict of the same network."""
    first = model.transformer_blocks[0].norm1.emb
    layers = {
        "x_embedder.proj": [model.pos_embed.proj],
        "t_embedder.mlp.0": [first.timestep_embedder.linear_1],
        "t_embedder.mlp.2": [first.timestep_embedder.linear_2],
        "final_layer.adaLN_modulation.1": [model.proj_out_1],
        "final_layer.linear": [model.proj_out_2],
    }
    for n, block in enumerate(model.transformer_blocks):
        layers |= {
            f"blocks.{n}.adaLN_modulation.1": [block.norm1.linear],
            f"blocks.{n}.attn.qkv": [block.attn1.to_q, block.attn1.to_k, block.attn1.to_v],
            f"blocks.{n}.attn.proj": [block.attn1.to_out[0]],
            f"blocks.{n}.mlp.fc1": [block.ff.net[0].proj],
            f"blocks.{n}.mlp.fc2": [block.ff.net[2]],
        }
    state = {
        "pos_embed": model.pos_embed.pos_embed,
        "y_embedder.embedding_table.weight": first.class_embedder.embedding_table.weight,
    }
    for name, parts in layers.items():
        state[f"{name}.weight"] = torch.cat([part.weight for part in parts])
        state[f"{name}.bias"] = torch.cat([part.bias for part in parts])
    return {name: tensor.float().numpy() for name, tensor in state.items()}
