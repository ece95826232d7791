"""The distance between features: closed forms, another route, and its error against its spread."""

from pathlib import Path

import pytest
import torch
from oracle import seeded
from torch import Tensor

from mdcore.codecs import CODECS
from mdcore.evaluation import Estimate
from training.features import (
    Classifier,
    Moments,
    features_of,
    frechet_distance,
    images_of,
    load_classifier,
    save_classifier,
)
from training.judges import FeatureDistance, read_judge

SIZE = {"height": 8, "width": 6, "channels": 1}
GREY = CODECS.build({"name": "pixels", **SIZE})
RGB = CODECS.build({"name": "pixels", **SIZE, "channels": 3})


def spread(seed: int, size: int = 4) -> Tensor:
    """A covariance whose axes are its own."""
    root = torch.randn(size, size, generator=seeded(seed), dtype=torch.float64)
    return root @ root.T


def test_moments_of_a_few_points() -> None:
    moments = Moments.of(torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 4.0]]))
    torch.testing.assert_close(moments.mean, torch.tensor([2.0, 2.0]).double())
    expected = torch.tensor([[4.0, 3.0], [3.0, 3.0]]).double()
    torch.testing.assert_close(moments.covariance, expected)


def test_the_distance_along_axes_is_that_of_each_axis() -> None:
    """In one dimension it is (m1 - m2)^2 + (s1 - s2)^2."""
    first = Moments(torch.tensor([1.0, -2.0]).double(), torch.tensor([9.0, 0.25]).double().diag())
    second = Moments(torch.tensor([3.0, -2.0]).double(), torch.tensor([1.0, 4.0]).double().diag())
    assert frechet_distance(first, second) == pytest.approx(2**2 + 2**2 + 1.5**2)


def test_the_distance_is_symmetric_zero_and_the_eigenvalues_route() -> None:
    zero = torch.zeros(4, dtype=torch.float64)
    first, second = Moments(zero, spread(0)), Moments(zero + 1, spread(1))
    # the eigenvalues of C1 C2 are real and positive, though the product is not symmetric
    both = torch.linalg.eigvals(first.covariance @ second.covariance).real.sqrt().sum()
    traces = first.covariance.trace() + second.covariance.trace()
    found = frechet_distance(first, second)
    assert found == pytest.approx((4 + traces - 2 * both).item())
    assert frechet_distance(second, first) == pytest.approx(found)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-6)
    flat = Moments(zero, torch.zeros(4, 4, dtype=torch.float64))  # fewer samples than features
    assert frechet_distance(first, flat) == pytest.approx(first.covariance.trace().item())


class Raw(Classifier):
    """Its features are two pixels."""

    def features(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :2]


def test_the_standard_error_is_the_spread_of_distances() -> None:
    """Of 200 sets of 100 samples; ten groups give an error to 1 / sqrt(18) = 24 % each."""
    generator = seeded()
    tokens = torch.randint(256, (20_000, GREY.length), generator=generator)
    reference = Moments(torch.tensor([0.6, 0.0]).double(), torch.eye(2).double())
    judge = FeatureDistance(Raw((8, 6, 1), 2), reference, GREY)
    found = [judge.quality(tokens[i * 100 : (i + 1) * 100]) for i in range(200)]
    means = torch.tensor([estimate.mean for estimate in found])
    errors = torch.tensor([estimate.standard_error for estimate in found])
    assert means.std().item() == pytest.approx(errors.square().mean().sqrt().item(), rel=0.2)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Classifier((8, 6, 1), 3).eval()


def test_images_are_those_of_the_codec() -> None:
    tokens = torch.randint(256, (5, GREY.length), generator=seeded())
    images = images_of(GREY, tokens)
    assert images.shape == (5, 1, 8, 6)
    torch.testing.assert_close(images.flatten(1), tokens / 127.5 - 1)


@torch.no_grad()
def test_a_classifier_comes_back(tmp_path: Path, classifier: Classifier) -> None:
    tokens = torch.randint(256, (30, GREY.length), generator=seeded())
    features = features_of(classifier, GREY, tokens)
    save_classifier(tmp_path, classifier, Moments.of(features))
    loaded, reference = load_classifier(tmp_path)
    assert torch.equal(features_of(loaded, GREY, tokens), features)
    judge = read_judge(tmp_path, GREY, torch.device("cpu"))
    assert isinstance(judge, FeatureDistance)
    assert judge.length == GREY.length
    result = judge.quality(tokens)
    assert isinstance(result, Estimate)
    assert result.mean == pytest.approx(0, abs=1e-6)  # they are the reference itself
    torch.testing.assert_close(reference.mean, features.double().mean(0))


def test_a_judge_of_something_else_says_so(tmp_path: Path, classifier: Classifier) -> None:
    save_classifier(tmp_path, classifier, Moments(torch.zeros(32), torch.eye(32)))
    device = torch.device("cpu")
    with pytest.raises(ValueError, match=r"images of \(8, 6, 1\), the samples are \(8, 6, 3\)"):
        read_judge(tmp_path, RGB, device)
    text = CODECS.build({"name": "characters", "length": 8})
    with pytest.raises(ValueError, match="a classifier of images, the samples are text"):
        read_judge(tmp_path, text, device)
    (tmp_path / "classifier.safetensors").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"no whole classifier .* training\.classifier"):
        read_judge(tmp_path, GREY, device)
