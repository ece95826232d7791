"""Features of images from a small classifier, and how far apart two sets of them lie."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from mdcore.codecs import ImageCodec

CLASSIFIER_FILE = "classifier.json"
WEIGHTS_FILE = "classifier.safetensors"


class Classifier(nn.Module):
    """Three convolutions, coarsened to 4 x 4 places, give the features; these give the classes.

    Args:
        shape: (height, width, channels) of the images.
        classes: number of classes.
        width: of the features.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, width: int = 32) -> None:
        super().__init__()
        self.shape = shape
        self.stack = nn.Sequential(
            nn.Conv2d(shape[2], 32, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.GroupNorm(8, 64),
            nn.SiLU(),
            nn.Conv2d(64, 64, 3, stride=2, padding=1),
            nn.GroupNorm(8, 64),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
        )
        self.narrow = nn.Linear(64 * 4 * 4, width)
        self.head = nn.Linear(width, classes)

    def features(self, images: Tensor) -> Tensor:
        """Images (n, C, H, W) in [-1, 1] -> (n, width)."""
        h: Tensor = self.narrow(self.stack(images))
        return h

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the classes, (n, classes)."""
        logits: Tensor = self.head(functional.silu(self.features(images)))
        return logits


def images_of(codec: ImageCodec, tokens: Tensor) -> Tensor:
    """Tokens (n, L) without masks -> images (n, C, H, W) in [-1, 1]."""
    pictures = np.stack([codec.decode(row) for row in tokens.long().cpu()])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def features_of(classifier: Classifier, codec: ImageCodec, tokens: Tensor) -> Tensor:
    """Features of images in tokens (n, L), (n, width)."""
    parts = torch.split(tokens, 256)
    return torch.cat([classifier.features(images_of(codec, part)) for part in parts])


@dataclass(frozen=True)
class Moments:
    """Mean (D,) and covariance (D, D) of features, float64."""

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "Moments":
        """Those of features (n, D), n >= 2."""
        features = features.double()
        return cls(features.mean(0), features.T.cov())


def frechet_distance(first: Moments, second: Moments) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), of two normal distributions; squared units."""
    values, vectors = torch.linalg.eigh(first.covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    both = torch.linalg.eigvalsh(root @ second.covariance @ root).clamp(min=0).sqrt().sum()
    apart = (first.mean - second.mean).square().sum()
    return float(apart + first.covariance.trace() + second.covariance.trace() - 2 * both)


def save_classifier(folder: Path, classifier: Classifier, reference: Moments) -> None:
    """Write a classifier and the moments of the features of real images."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {f"model.{name}": w.contiguous() for name, w in classifier.state_dict().items()}
    weights |= {"mean": reference.mean, "covariance": reference.covariance}
    save_file(weights, folder / WEIGHTS_FILE)
    described = {
        "shape": list(classifier.shape),
        "classes": classifier.head.out_features,
        "width": classifier.head.in_features,
    }
    (folder / CLASSIFIER_FILE).write_text(json.dumps(described) + "\n", encoding="utf-8")


def load_classifier(folder: Path) -> tuple[Classifier, Moments]:
    """What `save_classifier` wrote, in evaluation mode on the CPU.

    Raises:
        ValueError: it is missing or damaged.
    """
    try:
        described: dict[str, Any] = json.loads((folder / CLASSIFIER_FILE).read_text("utf-8"))
        height, width, channels = described["shape"]
        classifier = Classifier((height, width, channels), described["classes"], described["width"])
        weights = load_file(folder / WEIGHTS_FILE)
        reference = Moments(weights.pop("mean"), weights.pop("covariance"))
        classifier.load_state_dict(
            {name.removeprefix("model."): value for name, value in weights.items()}
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ValueError(
            f"{folder} holds no whole classifier ({error}); train it with training.classifier."
        ) from error
    return classifier.eval(), reference
