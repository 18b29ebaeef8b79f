"""Train a small class-conditional DiT on scikit-learn's 8x8 digits and write `examples/digits.safetensors`.

The model has the DiT architecture and the state-dict names of its reference implementation, so that `golden.dit` reads
this checkpoint and the large published ones alike. It predicts the noise (no learned variance: `learn_sigma` is off)
under the cosine schedule, and one label in ten is dropped for classifier-free guidance.

Training is seeded, shows its progress, saves its whole state every few hundred steps and goes on from there when it is
started again; `--steps` is the total. The exported weights are the moving average (EMA), in float16::

    python -m pip install -e .[train]
    python examples/train_digits.py --bfloat16

No other file of the project needs scikit-learn; PyTorch is an extra.
"""

# PyTorch is no dependency of the project.
# pyright: reportMissingImports=false

import argparse
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save, save_file
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

INPUT_SIZE, PATCH, CHANNELS, CLASSES = 8, 1, 1, 10
HIDDEN, DEPTH, HEADS, MLP_RATIO = 144, 4, 2, 4
FREQUENCIES = 256  # width of the sinusoidal timestep embedding
DIFFUSION_STEPS = 1000
LABEL_DROPOUT = 0.1
METADATA = {"heads": str(HEADS), "schedule": "cosine", "steps": str(DIFFUSION_STEPS)}


def cosine_alpha_bar() -> Tensor:
    """Products of 1 - beta of the cosine schedule, float32 of shape (steps,); beta is at most 0.999."""
    t = torch.arange(DIFFUSION_STEPS + 1, dtype=torch.float64) / DIFFUSION_STEPS
    f = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
    return torch.cumprod(1 - (1 - f[1:] / f[:-1]).clamp(max=0.999), 0).float()


def position_embedding() -> Tensor:
    """Fixed sine-cosine embedding, (1, tokens, hidden): first half by column, second half by row."""
    grid = INPUT_SIZE // PATCH
    omega = 10000.0 ** -(torch.arange(HIDDEN // 4, dtype=torch.float64) / (HIDDEN // 4))
    row, column = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    parts = [f(axis.flatten()[:, None] * omega) for axis in (column, row) for f in (torch.sin, torch.cos)]
    return torch.cat(parts, 1).float()[None]


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Shift and scale tokens (B, T, D) by vectors (B, D)."""
    return x * (1 + scale[:, None]) + shift[:, None]


class PatchEmbedding(nn.Module):
    """Images (B, C, H, W) to tokens (B, T, D)."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv2d(CHANNELS, HIDDEN, PATCH, PATCH)
        nn.init.xavier_uniform_(self.proj.weight.flatten(1))
        nn.init.zeros_(self.proj.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class TimestepEmbedding(nn.Module):
    """Timesteps (B,) to vectors (B, D)."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(FREQUENCIES, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN))

    def forward(self, t: Tensor) -> Tensor:
        half = FREQUENCIES // 2
        angle = t[:, None].float() * torch.exp(-math.log(10000) * torch.arange(half) / half)
        return self.mlp(torch.cat([torch.cos(angle), torch.sin(angle)], 1))


class LabelEmbedding(nn.Module):
    """Labels (B,) to vectors (B, D); the last row is the null class."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(CLASSES + 1, HIDDEN)

    def forward(self, y: Tensor) -> Tensor:
        return self.embedding_table(y)


class Attention(nn.Module):
    """Multi-head self-attention with fused query, key and value projection."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(HIDDEN, 3 * HIDDEN)
        self.proj = nn.Linear(HIDDEN, HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        b, n, d = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, HEADS, d // HEADS).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d))


class Mlp(nn.Module):
    """Two linear layers around a GELU (tanh form)."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(HIDDEN, MLP_RATIO * HIDDEN)
        self.fc2 = nn.Linear(MLP_RATIO * HIDDEN, HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class Block(nn.Module):
    """Transformer block whose norms and gates come from the conditioning vector (adaLN-Zero)."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(HIDDEN, eps=1e-6, elementwise_affine=False)
        self.attn = Attention()
        self.norm2 = nn.LayerNorm(HIDDEN, eps=1e-6, elementwise_affine=False)
        self.mlp = Mlp()
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(HIDDEN, 6 * HIDDEN))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.adaLN_modulation(c).chunk(6, 1)
        x = x + gate1[:, None] * self.attn(modulate(self.norm1(x), shift1, scale1))
        return x + gate2[:, None] * self.mlp(modulate(self.norm2(x), shift2, scale2))


class FinalLayer(nn.Module):
    """Tokens to patches."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(HIDDEN, eps=1e-6, elementwise_affine=False)
        self.linear = nn.Linear(HIDDEN, PATCH * PATCH * CHANNELS)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(HIDDEN, 2 * HIDDEN))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(c).chunk(2, 1)
        return self.linear(modulate(self.norm_final(x), shift, scale))


class DiT(nn.Module):
    """The whole network: noisy images (B, 1, 8, 8), timesteps (B,) and labels (B,) to the noise (B, 1, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.x_embedder = PatchEmbedding()
        self.t_embedder = TimestepEmbedding()
        self.y_embedder = LabelEmbedding()
        self.pos_embed = nn.Parameter(position_embedding(), requires_grad=False)
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.final_layer = FinalLayer()
        self._initialize()

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for module in (self.t_embedder.mlp[0], self.t_embedder.mlp[2], self.y_embedder.embedding_table):
            nn.init.normal_(module.weight, std=0.02)  # type: ignore[arg-type]
        # Zero: every block starts as the identity, the network as the zero function.
        zeroed = [block.adaLN_modulation[1] for block in self.blocks]  # type: ignore[index]
        for module in (*zeroed, self.final_layer.adaLN_modulation[1], self.final_layer.linear):
            nn.init.zeros_(module.weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        c = self.t_embedder(t) + self.y_embedder(y)
        x = self.x_embedder(x) + self.pos_embed
        for block in self.blocks:
            x = block(x, c)
        x = self.final_layer(x, c)
        grid = INPUT_SIZE // PATCH
        x = x.view(-1, grid, grid, PATCH, PATCH, CHANNELS)
        return x.permute(0, 5, 1, 3, 2, 4).reshape(-1, CHANNELS, INPUT_SIZE, INPUT_SIZE)


class Trainer:
    """Model, its moving average and its optimizer, saved and restored as one safetensors file."""

    def __init__(self, *, steps: int, batch: int, rate: float, seed: int, bfloat16: bool) -> None:
        torch.manual_seed(seed)
        self.steps, self.batch, self.rate, self.seed, self.bfloat16 = steps, batch, rate, seed, bfloat16
        self.model = DiT()
        self.ema = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.moments = [torch.zeros_like(p) for p in self._parameters() for _ in range(2)]
        self.step = 0
        digits = load_digits()
        self.images = torch.tensor(digits.images / 8 - 1, dtype=torch.float32)[:, None]  # 0..16 to [-1, 1]
        self.labels = torch.tensor(digits.target)
        self.alpha_bar = cosine_alpha_bar()

    def _parameters(self) -> list[nn.Parameter]:
        return [p for p in self.model.parameters() if p.requires_grad]

    def learning_rate(self) -> float:
        """Linear warm-up over 200 steps, then a half cosine down to a twentieth."""
        warm = min(1.0, (self.step + 1) / 200)
        return self.rate * warm * (0.05 + 0.95 * (1 + math.cos(math.pi * self.step / self.steps)) / 2)

    def train_step(self) -> float:
        """One step on a batch drawn from (seed, step) alone, so that a resumed run goes the same way; the loss."""
        g = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
        pick = torch.randint(len(self.images), (self.batch,), generator=g)
        x, y = self.images[pick], self.labels[pick].clone()
        y[torch.rand(self.batch, generator=g) < LABEL_DROPOUT] = CLASSES
        t = torch.randint(DIFFUSION_STEPS, (self.batch,), generator=g)
        noise = torch.randn(x.shape, generator=g)
        a = self.alpha_bar[t].view(-1, 1, 1, 1)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            predicted = self.model(a.sqrt() * x + (1 - a).sqrt() * noise, t, y)
        loss = F.mse_loss(predicted.float(), noise)
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        self._update()
        return loss.item()

    @torch.no_grad()
    def _update(self) -> None:
        """Adam (0.9, 0.99) with the gradient's norm clipped to 1, then the moving average."""
        nn.utils.clip_grad_norm_(self._parameters(), 1.0)
        rate = self.learning_rate()
        self.step += 1
        for i, p in enumerate(self._parameters()):
            assert p.grad is not None
            mean, square = self.moments[2 * i : 2 * i + 2]
            mean.lerp_(p.grad, 0.1)
            square.mul_(0.99).addcmul_(p.grad, p.grad, value=0.01)
            scale = (square / (1 - 0.99**self.step)).sqrt_().add_(1e-8)
            p.addcdiv_(mean, scale, value=-rate / (1 - 0.9**self.step))
        decay = min(0.999, (1 + self.step) / (10 + self.step))
        for k, v in self.model.state_dict().items():
            self.ema[k].lerp_(v, 1 - decay)

    def save(self, path: Path) -> None:
        """Write the whole training state."""
        state = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        state |= {f"ema.{k}": v for k, v in self.ema.items()}
        state |= {f"moment.{i}": v for i, v in enumerate(self.moments)}
        state["step"] = torch.tensor(self.step)
        temporary = path.with_name(path.name + ".tmp")
        save_file(state, temporary)
        os.replace(temporary, path)

    def restore(self, path: Path) -> None:
        """Go on from a saved training state."""
        state = load_file(path)
        self.model.load_state_dict({k: state[f"model.{k}"] for k in self.ema})
        self.ema = {k: state[f"ema.{k}"] for k in self.ema}
        self.moments = [state[f"moment.{i}"] for i in range(len(self.moments))]
        self.step = int(state["step"])

    def export(self, path: Path) -> None:
        """Write the moving average in float16, with what cannot be read off the shapes as metadata."""
        weights = {k: v.half().contiguous() for k, v in self.ema.items()}
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_bytes(save(weights, metadata=METADATA))
        os.replace(temporary, path)

    @torch.no_grad()
    def reference(self, path: Path) -> None:
        """Write what the exported weights predict for a fixed input, float32 (4, 1, 8, 8): a test's expected output."""
        self.model.load_state_dict({k: v.half().float() for k, v in self.ema.items()})
        x = np.sin(np.arange(4 * 64)).astype(np.float32).reshape(4, 1, 8, 8)
        t, y = torch.tensor([0, 250, 500, 999]), torch.tensor([0, 3, 9, CLASSES])
        np.save(path, self.model.eval()(torch.from_numpy(x), t, y).numpy())


def main() -> None:
    """Command line."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="Train the example DiT on scikit-learn's digits.")
    parser.add_argument("--steps", type=int, default=7000, help="optimizer steps in all (default %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="images a step (default %(default)s)")
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and batches (default %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default %(default)s)")
    parser.add_argument("--state", type=Path, default=here.parent / "build" / "digits" / "state.safetensors")
    parser.add_argument("--output", type=Path, default=here / "digits.safetensors")
    parser.add_argument("--reference", type=Path, default=here.parent / "tests" / "model" / "data" / "dit_digits.npy")
    parser.add_argument("--bfloat16", action="store_true", help="multiply in bfloat16: faster where the CPU has it")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    trainer = Trainer(steps=args.steps, batch=args.batch, rate=args.rate, seed=args.seed, bfloat16=args.bfloat16)
    args.state.parent.mkdir(parents=True, exist_ok=True)
    if args.state.exists():
        trainer.restore(args.state)
        print(f"going on from step {trainer.step}", flush=True)
    start, first, losses = time.monotonic(), trainer.step, []
    while trainer.step < trainer.steps:
        losses.append(trainer.train_step())
        if trainer.step % 100 == 0 or trainer.step == trainer.steps:
            rate = (trainer.step - first) / (time.monotonic() - start)
            left = (trainer.steps - trainer.step) / rate / 60
            loss = float(np.mean(losses[-100:]))
            print(f"step {trainer.step}/{trainer.steps}  loss {loss:.4f}  {left:.1f} min left", flush=True)
        if trainer.step % 500 == 0 or trainer.step == trainer.steps:
            trainer.save(args.state)
    trainer.export(args.output)
    trainer.reference(args.reference)
    print(f"wrote {args.output} and {args.reference}")


if __name__ == "__main__":
    main()
