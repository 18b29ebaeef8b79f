"""A DiT small enough to compute by hand: 4x4 images of 2 channels, 4 tokens, 2 blocks of 2 heads of 4."""

import numpy as np

from golden.dit import DiTConfig

CONFIG = DiTConfig(input_size=4, patch_size=2, in_channels=2, hidden_size=8, depth=2, heads=2, mlp_ratio=2, classes=3)


def tiny_state(seed: int | None = None) -> dict[str, np.ndarray]:
    """State dict of `CONFIG`, all zero or normally distributed."""
    generator = np.random.default_rng(seed)
    return {
        name: np.zeros(shape, np.float32) if seed is None else generator.standard_normal(shape, np.float32)
        for name, shape in CONFIG.state_shapes().items()
    }


def tiny_inputs(batch: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, timesteps and labels of that many images."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((batch, 2, 4, 4), np.float32)
    return x, generator.integers(0, 1000, batch), generator.integers(0, CONFIG.classes + 1, batch)
