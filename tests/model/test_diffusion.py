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

    def __init__(self, answer, variance=lambda x, t, y: np.nan):
        self.config = CONFIG
        self.answer = answer
        self.variance = variance
        self.calls = []

    def __call__(self, x, t, y, gemm=matmul):
        self.calls.append((x.shape, t.tolist(), y.tolist()))
        eps = np.broadcast_to(self.answer(x, t, y), x.shape).astype(np.float32)
        return np.concatenate([eps, np.broadcast_to(self.variance(x, t, y), x.shape).astype(np.float32)], axis=1)


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


def ddpm_step(x, eps, v, z, t, before, alpha_bar):
    """A step of DDPM in float64, from its betas: the mean of the posterior, and a variance between its bounds."""
    now, earlier = alpha_bar[t], 1.0 if before is None else alpha_bar[before]
    beta = 1 - now / earlier
    clean = (x - (1 - now) ** 0.5 * eps) / now**0.5
    mean = earlier**0.5 * beta / (1 - now) * clean + (now / earlier) ** 0.5 * (1 - earlier) / (1 - now) * x
    if before is None:
        return mean
    small = beta * (1 - earlier) / (1 - now)
    return mean + np.exp((v + 1) / 2 * np.log(beta) + (1 - v) / 2 * np.log(small)) ** 0.5 * z


@pytest.mark.parametrize(("name", "steps"), [("linear", 50), ("linear", 7), ("cosine", 10)])
def test_learned_variance(name, steps):
    """All steps, with a v that differs from value to value and from step to step; some steps are skipped."""
    schedule = Schedule(name=name, steps=50)

    def variance(x, t, y):
        return np.sin(np.arange(x.size).reshape(x.shape) + t[0]).astype(np.float32)

    labels = [0, 1]
    model = Fake(lambda x, t, y: x / 2, variance)
    options = {"steps": steps, "eta": 1, "variance": "learned", "guidance": 1, "clip": None, "seed": 6}
    images = list(denoise(model, schedule, labels, **options))
    noise = [np.random.default_rng([6, i]) for i in range(2)]
    x, *draws = (
        np.stack([g.standard_normal((2, 4, 4), np.float32) for g in noise]).astype(np.float64) for _ in range(steps)
    )
    times = [*schedule.timesteps(steps), None]
    for i, found in enumerate(images):
        v = variance(x, [times[i]], None).astype(np.float64)
        x = ddpm_step(x, x / 2, v, draws[i] if i + 1 < steps else 0, times[i], times[i + 1], schedule.alpha_bar())
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, x, rtol=1e-3, atol=1e-5 * np.abs(x).max())


def test_learned_variance_has_the_small_one_as_its_lower_bound():
    options = {"steps": 5, "eta": 1, "seed": 2}
    small = sample(Fake(lambda x, t, y: x / 2), SCHEDULE, [0], **options)
    lowest = sample(Fake(lambda x, t, y: x / 2, lambda x, t, y: -1), SCHEDULE, [0], variance="learned", **options)
    highest = sample(Fake(lambda x, t, y: x / 2, lambda x, t, y: 1), SCHEDULE, [0], variance="learned", **options)
    np.testing.assert_allclose(lowest, small, rtol=1e-5, atol=1e-6)
    assert np.abs(highest - small).max() > 0.01


def test_guided_channels():
    """Channel 0 is guided, channel 1 and the variance are those of the label: by hand, in one step of DDPM."""

    def answer(x, t, y):
        return np.where(y == 3, 0.25, 0.5).reshape(-1, 1, 1, 1)

    def variance(x, t, y):
        return np.where(y == 3, np.nan, 0.5).reshape(-1, 1, 1, 1)

    options = {"steps": 4, "guidance": 3, "guided_channels": 1, "clip": None, "eta": 1, "variance": "learned"}
    found = next(denoise(Fake(answer, variance), SCHEDULE, [1], **options))
    g = np.random.default_rng([0, 0])
    x, z = (g.standard_normal((2, 4, 4), np.float32).astype(np.float64) for _ in range(2))
    eps = np.array([0.25 + 3 * 0.25, 0.5]).reshape(2, 1, 1)
    np.testing.assert_allclose(found[0], ddpm_step(x, eps, 0.5, z, 99, 66, SCHEDULE.alpha_bar()), rtol=1e-5, atol=1e-5)


def test_all_channels_are_guided_by_default():
    models = [Fake(lambda x, t, y: y.reshape(-1, 1, 1, 1)) for _ in range(2)]
    options = {"steps": 3, "guidance": 2}
    default = sample(models[0], SCHEDULE, [1], **options)
    assert np.array_equal(default, sample(models[1], SCHEDULE, [1], guided_channels=2, **options))


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
        ({"variance": "large"}, "variance must be one of small, learned, not 'large'"),
        ({"variance": "learned"}, "eta must be 1 for a learned variance, not 0.0"),
        ({"guided_channels": 0}, "guided_channels must be 1 to 2, not 0"),
        ({"guided_channels": 3}, "guided_channels must be 1 to 2, not 3"),
    ],
)
def test_bad_arguments(change, text):
    model = DiT(tiny_state(), heads=2)
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        sample(model, SCHEDULE, **({"labels": [0]} | change))


def test_label_must_be_an_integer():
    with pytest.raises(TypeError, match=r"^labels must be an integer, not 1\.5$"):
        sample(DiT(tiny_state(), heads=2), SCHEDULE, [0, 1.5])  # type: ignore[list-item]


def test_variance_that_no_model_learned():
    state = tiny_state()
    state["final_layer.linear.weight"] = state["final_layer.linear.weight"][:8]
    state["final_layer.linear.bias"] = state["final_layer.linear.bias"][:8]
    text = "variance must be 'small' for a model that does not learn sigma, not 'learned'"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        sample(DiT(state, heads=2), SCHEDULE, [0], eta=1, variance="learned")
