"""Does a model of images memorise? python -m training.nearest CHECKPOINT DATA [--out SHEET.png].

How far samples lie from their nearest training pictures, beside how far held-out pictures lie from
theirs. Samples much nearer than held-out pictures are copies.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import tyro
from torch import Tensor

from mdcore.checkpoint import load_checkpoint
from mdcore.codecs import ImageCodec
from mdcore.hardware import DeviceName, pick_device
from mdcore.sampling import GRIDS, SAMPLERS
from training.command import command
from training.data import Pictures, read_pictures
from training.sheet import sheet


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


def values(codec: ImageCodec, rows: Tensor) -> Tensor:
    """The pictures of tokens (n, L) as (n, H W channels) float32 in grey levels."""
    images = np.stack([codec.decode(row.long()) for row in rows])
    return torch.from_numpy(images).flatten(1).float()


def nearest(pictures: Tensor, training: Tensor) -> tuple[Tensor, Tensor]:
    """Root mean square distance to the nearest training picture, and which it is, (n,) each."""
    distance, index = torch.cdist(pictures, training).min(1)
    return distance / pictures.shape[1] ** 0.5, index


def mirrored(rows: Tensor, shape: Sequence[int]) -> Tensor:
    """Tokens (n, L) of the pictures in a mirror."""
    return rows.view(-1, *shape).flip(2).flatten(1)


def summary(distance: Tensor) -> dict[str, float]:
    """Quartiles of distances."""
    quartiles = distance.quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()
    return dict(zip(("lower", "median", "upper"), quartiles, strict=True))


def run(arguments: Arguments) -> None:
    """Measure and print; write the contact sheet."""
    checkpoint = load_checkpoint(arguments.checkpoint, device=pick_device(arguments.device))
    codec, spec = checkpoint.codec, dict(checkpoint.training.get("data", {}))
    if not isinstance(codec, ImageCodec):
        raise ValueError("This model writes text; choose a model of images.")
    source = Pictures([str(arguments.data)], exclude=spec.get("exclude"))
    seen = read_pictures(source, "train", codec).x
    if spec.get("flip"):
        seen = torch.cat([seen, mirrored(seen, codec.shape)])
    training = values(codec, seen)
    sampler = SAMPLERS.build(
        {"name": "ancestral", "steps": arguments.steps, "grid": arguments.grid}
    )
    device = next(checkpoint.model.parameters()).device
    masks = torch.full((arguments.count, codec.length), codec.vocab_size, device=device)
    generator = torch.Generator().manual_seed(arguments.seed)
    samples = sampler(checkpoint.model, masks, generator=generator).cpu()
    far, which = nearest(values(codec, samples), training)
    held_out, _ = nearest(values(codec, read_pictures(source, "validation", codec).x), training)
    result = {"samples": summary(far), "held_out": summary(held_out), "count": len(far)}
    print(json.dumps(result | {"held_out_count": len(held_out), "training_count": len(training)}))
    if arguments.out:
        pairs = zip(samples, seen[which].long(), strict=True)
        tiles = [codec.decode(row) for pair in pairs for row in pair]
        sheet(tiles, columns=16).save(arguments.out)


if __name__ == "__main__":
    command("training.nearest", Arguments, run)
