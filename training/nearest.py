"""Does a model of images memorise? python -m training.nearest CHECKPOINT DATA [--out SHEET.png].

How far samples lie from their nearest training pictures, mirrored and moved as they were in
training, beside how far held-out pictures lie from theirs. Samples much nearer than held-out
pictures are copies.
"""

import itertools
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import tyro
from torch import Tensor

from mdcore.checkpoint import load_checkpoint
from mdcore.codecs import ImageCodec
from mdcore.hardware import DeviceName, pick_device
from mdcore.objectives import freeze
from mdcore.sampling import GRIDS, SAMPLERS
from training.command import command
from training.data import Pictures, Split, read_pictures
from training.sheet import sheet

SPLITS: tuple[Split, ...] = ("train", "validation")


@dataclass(frozen=True)
class Arguments:
    """Print distances in grey levels, root mean square over a picture, as one JSON object."""

    checkpoint: tyro.conf.Positional[Path]
    """Folder of a trained model of images."""
    data: tyro.conf.Positional[Path]
    """What it was trained on."""
    count: int = 64
    """Samples."""
    steps: int = 256
    """Sampling steps."""
    grid: Annotated[str, tyro.conf.arg(constructor=Literal[tuple(GRIDS)])] = "uniform"
    """How the steps are spread over time."""
    seed: int = 0
    """Of the samples."""
    out: Path | None = None
    """A contact sheet to write: each sample beside its nearest training picture."""
    device: DeviceName = "auto"
    """Where to compute."""


def images_of(codec: ImageCodec, rows: Tensor) -> Tensor:
    """The pictures of tokens (n, L), (n, H, W, channels) uint8."""
    return torch.from_numpy(np.stack([codec.decode(row.long()) for row in rows]))


def variants(images: Tensor, *, flip: bool, shift: int) -> Iterator[Tensor]:
    """Training pictures (n, H, W, channels) as they are, mirrored, and moved by up to `shift`."""
    height, width = images.shape[1:3]
    moves = range(-shift, shift + 1)
    for mirror, down, right in itertools.product((False, True)[: flip + 1], moves, moves):
        rows = (torch.arange(height) + down).clamp(0, height - 1)
        columns = (torch.arange(width) + right).clamp(0, width - 1)
        yield images[:, rows][:, :, columns.flip(0) if mirror else columns]


def nearest(images: Tensor, seen: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """The nearest of all seen pictures to each image (n, H, W, channels).

    Returns:
        (n,) root mean square distances, and the (n, H, W, channels) pictures.
    """
    flat = images.flatten(1).float()
    best, found = torch.full((len(images),), math.inf), torch.zeros_like(images)
    for pictures in seen:
        distance, index = torch.cdist(flat, pictures.flatten(1).float()).min(1)
        better = distance < best
        best[better], found[better] = distance[better], pictures[index[better]]
    return best / flat.shape[1] ** 0.5, found


def summary(distance: Tensor) -> dict[str, float]:
    """Quartiles of distances."""
    quartiles = distance.quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()
    return dict(zip(("lower", "median", "upper"), quartiles, strict=True))


def run(arguments: Arguments) -> None:
    """Measure and print; write the contact sheet."""
    checkpoint = load_checkpoint(arguments.checkpoint, device=pick_device(arguments.device))
    freeze(checkpoint.model)
    codec, spec = checkpoint.codec, dict(checkpoint.training.get("data", {}))
    if not isinstance(codec, ImageCodec):
        raise ValueError("This model writes text; choose a model of images.")
    source = Pictures([str(arguments.data)], exclude=spec.get("exclude"))
    training, held_out = (
        images_of(codec, read_pictures(source, split, codec).x) for split in SPLITS
    )
    sampler = SAMPLERS.build(
        {"name": "ancestral", "steps": arguments.steps, "grid": arguments.grid}
    )
    device = next(checkpoint.model.parameters()).device
    masks = torch.full((arguments.count, codec.length), codec.vocab_size, device=device)
    generator = torch.Generator().manual_seed(arguments.seed)
    samples = images_of(codec, sampler(checkpoint.model, masks, generator=generator).cpu())
    seen = partial(variants, training, flip=bool(spec.get("flip")), shift=spec.get("shift", 0))
    far, copies = nearest(samples, seen())
    result = {
        "samples": summary(far),
        "held_out": summary(nearest(held_out, seen())[0]),
        "count": len(far),
        "held_out_count": len(held_out),
        "training_count": len(training),
    }
    print(json.dumps(result))
    if arguments.out:
        pairs = zip(samples.numpy(), copies.numpy(), strict=True)
        sheet([image for pair in pairs for image in pair], columns=16).save(arguments.out)


if __name__ == "__main__":
    command("training.nearest", Arguments, run)
