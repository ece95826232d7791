"""A small classifier whose features judge images: python -m training.classifier CHECKPOINT DATA.

It is trained on the training split of labelled pictures, and keeps mean and covariance of their
features; training.quality --scorer sets those of samples beside them.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
import tyro
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from mdcore.checkpoint import load_checkpoint
from mdcore.codecs import ImageCodec
from training.command import command
from training.data import Examples, PictureBatches
from training.features import Classifier, Moments, features_of, images_of, save_classifier
from training.heldout import read_examples


@dataclass(frozen=True)
class Arguments:
    """Train a classifier on pictures as a model of images sees them; print its accuracy."""

    checkpoint: tyro.conf.Positional[Path]
    """Folder of a model of images: of its size and colours."""
    data: tyro.conf.Positional[str]
    """Labelled pictures, as in training.evaluate."""
    out: Path = Path("runs/classifier")
    """Folder for the result."""
    steps: int = 1500
    """Optimizer steps."""
    batch_size: int = 64
    """Pictures in a step."""
    learning_rate: float = 2e-3
    """Peak learning rate of AdamW."""
    seed: int = 0
    """Of weights and batches."""


def fit(
    classifier: Classifier, codec: ImageCodec, batches: PictureBatches, arguments: Arguments
) -> Iterator[float]:
    """Train; yields the loss of each step, nats."""
    rate, steps = arguments.learning_rate, arguments.steps
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=rate)
    for step in range(steps):
        x, labels = batches.batch(step)
        for group in optimizer.param_groups:
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        loss = functional.cross_entropy(classifier(images_of(codec, x)), cast(Tensor, labels))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        yield loss.item()


@torch.no_grad()
def accuracy(classifier: Classifier, codec: ImageCodec, examples: Examples) -> float:
    """Share of examples whose likeliest class is theirs."""
    features = features_of(classifier, codec, examples.x)
    found = classifier.head(functional.silu(features)).argmax(-1)
    return float((found == cast(Tensor, examples.condition)).double().mean())


def run(arguments: Arguments) -> None:
    """Train, keep, and print one JSON object."""
    checkpoint = load_checkpoint(arguments.checkpoint)
    codec = checkpoint.codec
    if not isinstance(codec, ImageCodec):
        raise ValueError("This model writes text; choose a model of images.")
    if arguments.steps < 1 or arguments.batch_size < 1:
        raise ValueError("--steps and --batch-size must be at least 1.")
    examples = read_examples(checkpoint, arguments.data, "train")
    if examples.condition is None:
        raise ValueError(f"{arguments.data} has no classes; a classifier needs labelled pictures.")
    torch.manual_seed(arguments.seed)  # torch's initialisers draw from the global generator
    height, width, channels = images_of(codec, examples.x[:1])[0].permute(1, 2, 0).shape
    classes = int(examples.condition.max()) + 1
    classifier = Classifier((height, width, channels), classes)
    batches = PictureBatches(
        examples, shape=codec.shape, batch_size=arguments.batch_size, seed=arguments.seed
    )
    losses = fit(classifier, codec, batches, arguments)
    for _ in tqdm(losses, total=arguments.steps, unit="step"):
        pass
    classifier.eval()
    reference = Moments.of(features_of(classifier, codec, examples.x))
    save_classifier(arguments.out, classifier, reference)
    held_out = read_examples(checkpoint, arguments.data)
    print(json.dumps({"accuracy": accuracy(classifier, codec, held_out), "count": len(held_out.x)}))


if __name__ == "__main__":
    command("training.classifier", Arguments, run)
