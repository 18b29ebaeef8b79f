"""Sampling from a DiT: noise schedules and the DDIM/DDPM sampler with classifier-free guidance.

Sources: Ho et al., "Denoising Diffusion Probabilistic Models" (2020); Nichol and Dhariwal, "Improved Denoising
Diffusion Probabilistic Models" (2021) for the cosine schedule and the learned variance (equation 15); Song et al.,
"Denoising Diffusion Implicit Models" (2021), equations 12 and 16; Ho and Salimans, "Classifier-Free Diffusion Guidance"
(2022).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .checks import check_choice, check_integer
from .dit import DiT, Gemm, matmul

SCHEDULES = ("cosine", "linear")
VARIANCES = ("small", "learned")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Noise over time: x_t = sqrt(alpha_bar_t) * x_0 + sqrt(1 - alpha_bar_t) * noise.

    Parameters
    ----------
    name
        ``cosine``, or ``linear`` (beta from 0.1/steps to 20/steps: 1e-4 to 0.02 for 1000 steps).
    steps
        Timesteps 0 to steps - 1 that the model was trained on; at least 20.

    Raises
    ------
    TypeError
        A value is of the wrong kind.
    ValueError
        A value is out of range.
    """

    name: str = "linear"
    steps: int = 1000

    def __post_init__(self) -> None:
        if not isinstance(self.steps, int) or isinstance(self.steps, bool):
            raise TypeError(f"steps must be an integer, not {self.steps!r}")
        if self.steps < 20:
            raise ValueError(f"steps must be at least 20, not {self.steps}")
        if self.name not in SCHEDULES:
            raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, not {self.name!r}")

    def alpha_bar(self) -> np.ndarray:
        """Signal power left at each timestep, float64 (steps,), falling."""
        if self.name == "linear":
            beta = np.linspace(0.1 / self.steps, 20 / self.steps, self.steps)
        else:
            f = np.cos((np.arange(self.steps + 1) / self.steps + 0.008) / 1.008 * np.pi / 2) ** 2
            beta = np.minimum(1 - f[1:] / f[:-1], 0.999)
        return np.cumprod(1 - beta)

    def timesteps(self, count: int) -> np.ndarray:
        """``count`` evenly spaced timesteps from the noisiest to 0, int64; ValueError unless 2 <= count <= steps."""
        if not 2 <= count <= self.steps:
            raise ValueError(f"count must be 2 to {self.steps}, not {count}")
        return np.round(np.linspace(self.steps - 1, 0, count)).astype(np.int64)


def denoise(
    model: DiT,
    schedule: Schedule,
    labels: Sequence[int],
    *,
    steps: int = 50,
    guidance: float = 1.5,
    guided_channels: int | None = None,
    eta: float = 0.0,
    variance: str = "small",
    clip: float | None = 1.0,
    seed: int = 0,
    gemm: Gemm = matmul,
) -> Iterator[np.ndarray]:
    """Sample images, one step at each iteration.

    Parameters
    ----------
    model, schedule
        What to sample from.
    labels
        Class of each of the B images.
    steps
        Steps to take, 2 to ``schedule.steps``.
    guidance
        Weight g of the conditional prediction of the noise: null + g * (conditional - null); at 1 the null class is
        not evaluated, otherwise a step evaluates 2*B images, the conditional ones first.
    guided_channels
        The first channels of the noise are guided, the others and the variance are the conditional prediction; None
        for all C. The published sampler of DiT guides 3 of 4.
    eta
        0 is DDIM, which draws noise only for the start; 1 is DDPM.
    variance
        Of DDPM's noise: ``small``, the smaller of its two bounds, beta * (1 - later) / (1 - now), which any ``eta``
        scales; or ``learned``, between this bound and beta, where a model that learns sigma says, for an ``eta`` of 1.
    clip
        Bound of the predicted clean image's magnitude, or None for latents, which have no bound.
    seed
        Image i draws its noise from the generator of (seed, i), whatever the others are.
    gemm
        Used for every matrix product of the model.

    Yields
    ------
    The images (B, C, S, S) after each step, float32; the last one is the sample.

    Raises
    ------
    TypeError, ValueError
        At the first iteration, for no labels, a label that is no integer, a number out of range, or a learned variance
        where there is none.
    """
    if len(labels) == 0:
        raise ValueError("labels must name at least one image")
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must be 0 to 1, not {eta}")
    cfg = model.config
    check_choice("variance", variance, VARIANCES)
    if variance == "learned" and not cfg.learn_sigma:
        raise ValueError("variance must be 'small' for a model that does not learn sigma, not 'learned'")
    if variance == "learned" and eta != 1:
        raise ValueError(f"eta must be 1 for a learned variance, not {eta}")
    guided = cfg.in_channels if guided_channels is None else check_integer("guided_channels", guided_channels)
    if not 1 <= guided <= cfg.in_channels:
        raise ValueError(f"guided_channels must be 1 to {cfg.in_channels}, not {guided}")
    shape = (cfg.in_channels, cfg.input_size, cfg.input_size)
    noise = [np.random.default_rng([seed, i]) for i in range(len(labels))]
    times = schedule.timesteps(steps)
    alpha_bar = np.append(schedule.alpha_bar()[times], 1.0)
    y = np.array([check_integer("labels", label) for label in labels])
    x = np.stack([g.standard_normal(shape, np.float32) for g in noise])
    for i, t in enumerate(times):
        now, later = float(alpha_bar[i]), float(alpha_bar[i + 1])
        eps, fraction = np.split(_predict(model, x, int(t), y, guidance, guided, gemm), [cfg.in_channels], axis=1)
        clean = (x - (1 - now) ** 0.5 * eps) * now**-0.5
        if clip is not None:
            clean = np.clip(clean, -clip, clip)
            eps = (x - now**0.5 * clean) * (1 - now) ** -0.5
        sigma = eta * ((1 - later) / (1 - now) * (1 - now / later)) ** 0.5
        x = later**0.5 * clean + max(1 - later - sigma**2, 0.0) ** 0.5 * eps
        if sigma > 0:
            spread = sigma if variance == "small" else _learned_sigma(fraction, sigma, (1 - now / later) ** 0.5)
            x += spread * np.stack([g.standard_normal(shape, np.float32) for g in noise])
        yield x


def sample(model: DiT, schedule: Schedule, labels: Sequence[int], **options: Any) -> np.ndarray:
    """The last images of `denoise`, which takes the same arguments."""
    *_, images = denoise(model, schedule, labels, **options)
    return images


def _predict(model: DiT, x: np.ndarray, t: int, y: np.ndarray, guidance: float, guided: int, gemm: Gemm) -> np.ndarray:
    """The model's output for images (B, C, S, S), of which the first channels are guided."""
    if guidance == 1:
        return model(x, np.full(len(x), t), y, gemm)
    null = np.full_like(y, model.config.classes)
    both = model(np.concatenate([x, x]), np.full(2 * len(x), t), np.concatenate([y, null]), gemm)
    output, unconditional = np.split(both, 2)
    output, unconditional = output.copy(), unconditional[:, :guided]
    output[:, :guided] = unconditional + guidance * (output[:, :guided] - unconditional)
    return output


def _learned_sigma(v: np.ndarray, low: float, high: float) -> np.ndarray:
    """Standard deviation between two bounds, geometrically: v is -1 for the lower one and 1 for the upper one."""
    fraction = (v + 1) * np.float32(0.5)
    return np.exp(fraction * np.float32(np.log(high)) + (1 - fraction) * np.float32(np.log(low)))
