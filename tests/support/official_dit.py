"""Checkpoints with the names and shapes of the published ones, of few blocks, written out by hand."""

from dataclasses import dataclass

import numpy as np

from golden.dit import DiTConfig

DEPTH = 2


@dataclass(frozen=True)
class Official:
    """A published geometry: width, heads, patch and side of the latent."""

    hidden: int
    heads: int
    patch: int
    side: int

    @property
    def config(self) -> DiTConfig:
        """What is to be inferred."""
        return DiTConfig(
            input_size=self.side, patch_size=self.patch, hidden_size=self.hidden, heads=self.heads, depth=DEPTH
        )

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the tensors, in the order of the published state dicts."""
        d, p = self.hidden, self.patch
        shapes: dict[str, tuple[int, ...]] = {
            "pos_embed": (1, (self.side // p) ** 2, d),
            "x_embedder.proj.weight": (d, 4, p, p),
            "x_embedder.proj.bias": (d,),
            "t_embedder.mlp.0.weight": (d, 256),
            "t_embedder.mlp.0.bias": (d,),
            "t_embedder.mlp.2.weight": (d, d),
            "t_embedder.mlp.2.bias": (d,),
            "y_embedder.embedding_table.weight": (1001, d),
        }
        for n in range(DEPTH):
            shapes |= {
                f"blocks.{n}.attn.qkv.weight": (3 * d, d),
                f"blocks.{n}.attn.qkv.bias": (3 * d,),
                f"blocks.{n}.attn.proj.weight": (d, d),
                f"blocks.{n}.attn.proj.bias": (d,),
                f"blocks.{n}.mlp.fc1.weight": (4 * d, d),
                f"blocks.{n}.mlp.fc1.bias": (4 * d,),
                f"blocks.{n}.mlp.fc2.weight": (d, 4 * d),
                f"blocks.{n}.mlp.fc2.bias": (d,),
                f"blocks.{n}.adaLN_modulation.1.weight": (6 * d, d),
                f"blocks.{n}.adaLN_modulation.1.bias": (6 * d,),
            }
        return shapes | {
            "final_layer.linear.weight": (p * p * 8, d),
            "final_layer.linear.bias": (p * p * 8,),
            "final_layer.adaLN_modulation.1.weight": (2 * d, d),
            "final_layer.adaLN_modulation.1.bias": (2 * d,),
        }


OFFICIAL = {
    "DiT-XL/2 of 256 pixels": Official(1152, 16, 2, 32),
    "DiT-XL/2 of 512 pixels": Official(1152, 16, 2, 64),
    "DiT-XL/8": Official(1152, 16, 8, 32),
    "DiT-L/4": Official(1024, 16, 4, 32),
    "DiT-B/8": Official(768, 12, 8, 32),
    "DiT-S/2": Official(384, 6, 2, 32),
}


def official_state(name: str, seed: int) -> dict[str, np.ndarray]:
    """A state dict in float16, whose layers keep values of about 1 in size."""
    g = np.random.default_rng(seed)
    return {
        name: (g.standard_normal(shape, np.float32) * np.prod(shape[1:]) ** -0.5 / 2).astype(np.float16)
        for name, shape in OFFICIAL[name].shapes().items()
    }
