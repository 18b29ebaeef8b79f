"""golden.diffusion with models whose answer is known."""

import re

import numpy as np
import pytest

from golden.diffusion import Schedule, denoise, sample
from golden.dit import DiT, matmul
from tests.support.tiny_dit import CONFIG, tiny_state

SCHEDULE = Schedule(name="linear", steps=100)


class Fake(DiT):
    """A model of the tiny geometry that answers with a function of (x, t, y), in the noise's channels."""

    def __init__(self, answer):
        self.config = CONFIG
        self.answer = answer
        self.calls = []

    def __call__(self, x, t, y, gemm=matmul):
        self.calls.append((x.shape, t.tolist(), y.tolist()))
        eps = np.broadcast_to(self.answer(x, t, y), x.shape).astype(np.float32)
        return np.concatenate([eps, np.full_like(eps, np.nan)], axis=1)  # the variance, which is not used


def start(labels, seed):
    """The noise that sampling starts from."""
    return [np.random.default_rng([seed, i]).standard_normal((2, 4, 4), np.float32) for i in range(len(labels))]


def test_linear_schedule():
    beta = np.linspace(1e-4, 0.02, 1000)
    alpha_bar = Schedule(name="linear").alpha_bar()
    assert alpha_bar.dtype == np.float64
    np.testing.assert_allclose(alpha_bar[[0, 1]], [1 - beta[0], (1 - beta[0]) * (1 - beta[1])], rtol=1e-14)
    np.testing.assert_allclose(alpha_bar[-1], np.exp(np.log1p(-beta).sum()), rtol=1e-12)


def test_cosine_schedule():
    alpha_bar = Schedule(name="cosine", steps=1000).alpha_bar()
    f = np.cos((np.arange(1001) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(alpha_bar[:999], (f / f[0])[1:1000], rtol=1e-9)  # the product telescopes
    assert alpha_bar[999] == alpha_bar[998] * (1 - 0.999)


def test_timesteps():
    assert SCHEDULE.timesteps(4).tolist() == [99, 66, 33, 0]
    assert SCHEDULE.timesteps(100).tolist() == list(range(99, -1, -1))


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_known_clean_image_is_returned(name, eta):
    """The noise implies a clean image of ±4, clipped to ±1: exact, whatever came before."""
    schedule = Schedule(name=name, steps=50)
    alpha_bar = schedule.alpha_bar()
    clean = np.where(np.arange(32).reshape(2, 4, 4) % 3, 1, -1).astype(np.float32)

    def answer(x, t, y):
        a = alpha_bar[t[0]]
        return (x - a**0.5 * 4 * clean) / (1 - a) ** 0.5

    images = sample(Fake(answer), schedule, [0, 1], steps=7, eta=eta)
    assert images.dtype == np.float32
    assert np.array_equal(images, [clean, clean])


def test_ddim_step():
    """One step of equation 12 with eta = 0, for a noise of zero: the image is only rescaled."""
    images = next(denoise(Fake(lambda x, t, y: 0), SCHEDULE, [0], steps=4, clip=None, seed=3))
    now, later = SCHEDULE.alpha_bar()[[99, 66]]
    np.testing.assert_allclose(images, np.array(start([0], 3)) * (later / now) ** 0.5, rtol=1e-6)


def test_ddpm_step_adds_noise_of_the_smaller_variance():
    """A step of DDPM by its own formula: mean from clean image and x, variance beta (1 - before) / (1 - now)."""
    images = next(denoise(Fake(lambda x, t, y: 0.5), SCHEDULE, [0], steps=100, eta=1, clip=None, seed=4))
    g = np.random.default_rng([4, 0])
    x, z = (g.standard_normal((2, 4, 4), np.float32).astype(np.float64) for _ in range(2))
    before, now = SCHEDULE.alpha_bar()[[98, 99]]
    beta = 1 - now / before
    clean = (x - (1 - now) ** 0.5 * 0.5) / now**0.5
    mean = before**0.5 * beta / (1 - now) * clean + (1 - beta) ** 0.5 * (1 - before) / (1 - now) * x
    np.testing.assert_allclose(images[0], mean + (beta * (1 - before) / (1 - now)) ** 0.5 * z, rtol=1e-4, atol=1e-5)


def test_guidance_weighs_label_against_null():
    """Labels 1 and 2 answer their number, the null class 3 answers 0: guidance 2 doubles them."""

    def answer(x, t, y):
        return np.where(y == 3, 0, y).reshape(-1, 1, 1, 1)

    model = Fake(answer)
    guided = sample(model, SCHEDULE, [1, 2], steps=2, guidance=2, clip=None)
    assert model.calls == [((4, 2, 4, 4), [t] * 4, [1, 2, 3, 3]) for t in (99, 0)]
    plain = sample(Fake(lambda x, t, y: 2 * answer(x, t, y)), SCHEDULE, [1, 2], steps=2, guidance=1, clip=None)
    assert np.array_equal(guided, plain)


def test_without_guidance_the_null_class_is_not_evaluated():
    model = Fake(lambda x, t, y: 0)
    sample(model, SCHEDULE, [1, 2], steps=2, guidance=1)
    assert model.calls == [((2, 2, 4, 4), [t] * 2, [1, 2]) for t in (99, 0)]


def test_noise_of_an_image_does_not_depend_on_the_others():
    model = Fake(lambda x, t, y: x / 2)
    alone = sample(model, SCHEDULE, [1], steps=5, eta=1, seed=9)
    together = sample(model, SCHEDULE, [1, 1, 0], steps=5, eta=1, seed=9)
    assert np.array_equal(together[:1], alone)
    assert not np.array_equal(together[0], together[1])
    assert not np.array_equal(sample(model, SCHEDULE, [1], steps=5, eta=1, seed=10), alone)


def test_every_product_goes_through_gemm():
    names = set()

    def gemm(name, a, w, /):
        names.add(name)
        return a @ w

    images = sample(DiT(tiny_state(1), heads=2), SCHEDULE, [0], steps=2, gemm=gemm)
    assert images.shape == (1, 2, 4, 4)
    assert {"x_embedder.proj", "blocks.1.attn.av.1", "final_layer.linear"} < names


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"steps": 1e3}, TypeError, "steps must be an integer, not 1000.0"),
        ({"steps": 19}, ValueError, "steps must be at least 20, not 19"),
        ({"name": "sigmoid"}, ValueError, "schedule must be one of cosine, linear, not 'sigmoid'"),
    ],
)
def test_bad_schedule(change, error, text):
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        Schedule(**change)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"labels": []}, "labels must name at least one image"),
        ({"steps": 1}, "count must be 2 to 100, not 1"),
        ({"steps": 101}, "count must be 2 to 100, not 101"),
        ({"eta": 1.5}, "eta must be 0 to 1, not 1.5"),
        ({"labels": [4]}, "y must be 0 to 3, not [4, 3]"),
    ],
)
def test_bad_arguments(change, text):
    model = DiT(tiny_state(), heads=2)
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        sample(model, SCHEDULE, **({"labels": [0]} | change))


def test_label_must_be_an_integer():
    with pytest.raises(TypeError, match=r"^labels must be an integer, not 1\.5$"):
        sample(DiT(tiny_state(), heads=2), SCHEDULE, [0, 1.5])  # type: ignore[list-item]
