"""Features and the Fréchet distance."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mixdit_hw.errors import InputError
from mixdit_hw.quality.features import CLASSIFIER, Classifier, Components, frechet, moments


def test_distance_of_known_normals():
    """Diagonal covariances: the distance is that of means and of standard deviations."""
    x = type(moments(np.eye(3)))(np.array([1.0, 2.0, 3.0]), np.diag([4.0, 9.0, 1.0]))
    y = x._replace(mean=np.array([1.0, 0.0, 3.5]), covariance=np.diag([1.0, 16.0, 0.0]))
    expected = 2.0**2 + 0.5**2 + (2 - 1) ** 2 + (3 - 4) ** 2 + 1
    assert frechet(x, y) == pytest.approx(expected, rel=1e-12)
    assert frechet(y, x) == pytest.approx(expected, rel=1e-9)
    assert abs(frechet(x, x)) < 1e-12


def test_distance_does_not_depend_on_the_axes():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((200, 6)), rng.standard_normal((200, 6)) * [1, 2, 3, 1, 1, 0.1] + 1
    rotation, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    straight = frechet(moments(a), moments(b))
    assert straight > 5
    assert frechet(moments(a @ rotation), moments(b @ rotation)) == pytest.approx(straight, rel=1e-9)


def test_moments_with_counts():
    rng = np.random.default_rng(1)
    x, counts = rng.standard_normal((20, 4)), rng.integers(0, 4, 20).astype(np.float64)
    repeated = np.repeat(x, counts.astype(int), axis=0)
    found = moments(x, counts)
    np.testing.assert_allclose(found.mean, repeated.mean(axis=0))
    np.testing.assert_allclose(found.covariance, np.cov(repeated.T))
    np.testing.assert_allclose(moments(x).covariance, np.cov(x.T))


def test_classifier():
    """It knows digits that it has not learned from as well as its file says."""
    classifier = Classifier()
    assert classifier.images.shape == (1797, 1, 8, 8)
    held = np.arange(1797) % 5 == 0
    right = (classifier.classify(classifier.images) == classifier.labels)[held].mean()
    assert f"{right:.4f}" == classifier.accuracy
    assert right > 0.95
    features = classifier(classifier.images[:7])
    assert (features.shape, features.dtype) == ((7, 32), np.float64)
    assert np.array_equal(classifier(np.full((1, 1, 8, 8), 9.0, np.float32)), classifier(np.ones((1, 1, 8, 8))))


def test_components():
    rng = np.random.default_rng(2)
    images = rng.standard_normal((50, 2, 4, 4), np.float32)
    images[:, 0, 0, 0] *= 100
    components = Components(images, count=3)
    found = components(images)
    assert found.shape == (50, 3)
    assert abs(np.corrcoef(found[:, 0], images[:, 0, 0, 0])[0, 1]) > 0.999
    assert np.abs(found.mean(axis=0)).max() < 1e-4
    assert components.name == "the first 3 principal components of float32 samples from other noise"
    assert Components(images[:4]).name.startswith("the first 3 ")


@pytest.mark.parametrize("name", ["layers.1.bias", "images", "labels"])
def test_classifier_that_lacks_something(tmp_path, name):
    tensors = load_file(CLASSIFIER)
    del tensors[name]
    save_file(tensors, path := tmp_path / "c.safetensors")
    with pytest.raises(InputError, match=rf"c.safetensors must hold '{name}', which is missing\Z"):
        Classifier(path)


def test_classifier_whose_layers_do_not_fit(tmp_path):
    tensors = load_file(CLASSIFIER)
    tensors["layers.1.weight"] = tensors["layers.1.weight"][:, :100].copy()
    save_file(tensors, path := tmp_path / "c.safetensors")
    with pytest.raises(InputError, match="layers must fit each other"):
        Classifier(path)
