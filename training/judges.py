"""Judges of samples: how good they look to a model that was trained apart from what drew them."""

import abc
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mdcore.autoregressive import Autoregressive
from mdcore.checkpoint import load_any_checkpoint
from mdcore.codecs import Codec, ImageCodec, TextCodec
from mdcore.evaluation import Estimate, estimate
from training.features import (
    CLASSIFIER_FILE,
    Classifier,
    Moments,
    features_of,
    frechet_distance,
    images_of,
    load_classifier,
)


class Judge(abc.ABC):
    """Says how good samples are.

    Attributes:
        unit: of the quality, less of which is better.
        least: samples that it needs.
        length: tokens of a sample.
    """

    unit: str
    least: int
    length: int

    @abc.abstractmethod
    def quality(self, samples: Tensor) -> Estimate:
        """Of samples (n, length) in the tokens of the model that drew them, n >= least."""


class Scorer(Judge):
    """Bits per character that a causal model needs for the text of the samples.

    A text longer than the scorer reads is cut into parts, each read on its own.

    Args:
        model: the scorer, in evaluation mode.
        own: text <-> the scorer's tokens.
        codec: text <-> the samples' tokens.
    """

    unit = "bits per character"
    least = 2

    def __init__(self, model: Autoregressive, own: TextCodec, codec: TextCodec) -> None:
        self.model, self.own, self.codec = model, own, codec
        self.length = codec.length

    @torch.no_grad()
    def quality(self, samples: Tensor) -> Estimate:
        """The mean over samples of bits per character.

        Raises:
            ValueError: the scorer does not know the samples' characters.
        """
        return estimate([self._bits(self.codec.decode(sample)) for sample in samples])

    def _bits(self, text: str) -> float:
        device = next(self.model.parameters()).device
        parts = torch.split(self.own.tokenize(text).to(device), self.own.length)
        nats = sum(self.model.nats(part[None]).item() for part in parts)
        return nats / math.log(2) / max(1, len(text))


class FeatureDistance(Judge):
    """Frechet distance between the features of samples and of real images.

    The features are those of a small classifier, so it is no FID and compares with nothing but
    itself. It is larger for fewer samples, by the same for all that are judged together. The
    standard error is the jackknife's, over ten groups of samples.

    Args:
        classifier: in evaluation mode.
        reference: moments of the features of real images.
        codec: image <-> the samples' tokens.

    Raises:
        ValueError: the classifier is for images of another size.
    """

    unit = "feature distance"
    least = 20
    groups = 10

    def __init__(self, classifier: Classifier, reference: Moments, codec: ImageCodec) -> None:
        blank = torch.zeros(1, codec.length, dtype=torch.long)
        channels, height, width = images_of(codec, blank)[0].shape
        if (height, width, channels) != tuple(classifier.shape):
            raise ValueError(
                f"The classifier is for images of {classifier.shape}, the samples are "
                f"{(height, width, channels)}; train one with this model's checkpoint."
            )
        self.classifier, self.reference, self.codec = classifier, reference, codec
        self.length = codec.length

    def quality(self, samples: Tensor) -> Estimate:
        """The distance of all samples, and its standard error."""
        features = features_of(self.classifier, self.codec, samples)
        group = torch.arange(len(features)) % self.groups
        left = torch.tensor([self._distance(features[group != g]) for g in range(self.groups)])
        spread = (left - left.mean()).square().sum() * (self.groups - 1) / self.groups
        return Estimate(self._distance(features), spread.sqrt().item(), len(features))

    def _distance(self, features: Tensor) -> float:
        return frechet_distance(Moments.of(features), self.reference)


def read_judge(folder: Path, codec: Codec[Any], device: torch.device) -> Judge:
    """The judge in a folder, for samples in a codec's tokens.

    Raises:
        ValueError: it is no judge of such samples.
    """
    if (folder / CLASSIFIER_FILE).exists():
        if not isinstance(codec, ImageCodec):
            raise ValueError(f"{folder} is a classifier of images, the samples are text.")
        return FeatureDistance(*load_classifier(folder), codec)
    checkpoint = load_any_checkpoint(folder, device=device)
    match checkpoint.model, checkpoint.codec, codec:
        case Autoregressive() as model, TextCodec() as own, TextCodec():
            return Scorer(model, own, codec)
    raise ValueError(
        f"{folder} is no judge of such samples; for text train one with `python -m training.train "
        "scorer`, for images with `python -m training.classifier`."
    )
