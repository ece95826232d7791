"""Draw from a checkpoint.

python -m training.sample CHECKPOINT [--prompt TEXT | --infill TEXT | --image F --mask F] [--out F]
"""

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import tyro
from torch import Tensor
from tqdm import tqdm

from mdcore.autoregressive import Autoregressive
from mdcore.checkpoint import Checkpoint, load_any_checkpoint
from mdcore.codecs import ImageCodec, TextCodec, punch
from mdcore.filters import FILTERS
from mdcore.guidance import guided
from mdcore.hardware import DeviceName, pick_device
from mdcore.objectives import Model, freeze
from mdcore.sampling import GRIDS, SAMPLERS, Sampler
from training.command import command
from training.drawing import fill
from training.sheet import given_pictures, holes_to_fill, read_mask, sheet

INFILL_COLUMNS = 9  # three threes a row


@dataclass(frozen=True)
class Arguments:
    """Draw samples; they go to standard output, progress goes to standard error."""

    checkpoint: tyro.conf.Positional[Path]
    """Folder of a trained model."""
    prompt: str = ""
    """Text that the samples begin with."""
    infill: str = ""
    """Text with holes, each [MASK] one token, to be filled in."""
    image: Path | None = None
    """A picture to fill in where it is transparent or masked; or a folder, idx or npz data set, of
    whose held-out pictures the first ones are filled in."""
    mask: str | None = None
    """What to fill in: a picture, bright where it is to be filled in; or left, right, top, bottom,
    centre or random."""
    label: int | None = None
    """Class of the samples, for a model that has classes."""
    guidance: float = 1.0
    """Scale of classifier-free guidance; above 1 exaggerates the class."""
    steps: int = 256
    """Sampling steps; more steps, better samples."""
    sampler: Annotated[str, tyro.conf.arg(constructor=Literal[tuple(SAMPLERS)])] = "ancestral"
    """The rule by which masks turn into tokens; an autoregressive model writes left to right."""
    grid: Annotated[str, tyro.conf.arg(constructor=Literal[tuple(GRIDS)])] = "uniform"
    """How the steps are spread over time."""
    temperature: float = 1.0
    """Below 1 sharpens the predictions, 0 takes the likeliest token."""
    top_p: float = 1.0
    """Draw from the smallest set of tokens with at least this mass."""
    seed: int = 0
    """Of the first sample; the next ones count up."""
    count: int = 1
    """How many samples."""
    batch_size: int = 16
    """How many at once."""
    out: Path | None = None
    """A file to write: text instead of standard output; for images, a contact sheet."""
    device: DeviceName = "auto"
    """Where to compute."""


def text_canvas(codec: TextCodec, prompt: str, infill: str) -> Tensor:
    """What the sampler starts from, (L,): the infill text, or a prompt followed by masks.

    Raises:
        ValueError: both are given, nothing is masked, or the text does not fit the model.
    """
    if prompt and infill:
        raise ValueError("Give --prompt or --infill, not both.")
    if not infill:
        given = codec.encode(prompt)
        masks = torch.full((codec.length - len(given),), codec.vocab_size)
        return torch.cat([given, masks])
    tokens = codec.encode(codec.loosen(infill))
    if not (tokens == codec.vocab_size).any():
        raise ValueError(
            "Nothing is masked, so there is nothing to fill in. Write [MASK] for a hole."
        )
    return tokens


def draw(
    checkpoint: Checkpoint[Model],
    sampler: Sampler,
    starts: Tensor,
    seeds: range,
    arguments: Arguments,
) -> Iterator[Tensor]:
    """Tokens (L,) for each start (n, L) and seed; what a seed gives does not depend on the others.

    Raises:
        ValueError: the model has no such class.
    """
    classes, label = checkpoint.config.num_classes, arguments.label
    if label is not None and not 0 <= label < classes:
        raise ValueError(f"--label is {label}; this model has {classes} classes, counted from 0.")
    model = checkpoint.model
    if arguments.guidance != 1:
        if isinstance(model, Autoregressive):
            raise ValueError("--guidance is for masked diffusion; leave it out with this model.")
        model = guided(model, arguments.guidance, classes)
    device = next(model.parameters()).device
    with tqdm(total=len(seeds), unit="sample", disable=len(seeds) == 1) as bar:
        for first in range(0, len(seeds), arguments.batch_size):
            batch = seeds[first : first + arguments.batch_size]
            generators = [torch.Generator().manual_seed(seed) for seed in batch]
            z = starts[first : first + arguments.batch_size].to(device)
            condition = None if label is None else torch.full((len(batch),), label, device=device)
            yield from fill(model, sampler, z, condition, generator=generators).cpu()
            bar.update(len(batch))


def sample_text(
    checkpoint: Checkpoint[Model], codec: TextCodec, sampler: Sampler, arguments: Arguments
) -> None:
    """Print the texts, or write them to --out."""
    if arguments.image or arguments.mask:
        raise ValueError("This model writes text; --image and --mask are for models of images.")
    if arguments.infill and isinstance(checkpoint.model, Autoregressive):
        raise ValueError(
            "This model writes left to right and cannot see what follows a hole; use --prompt."
        )
    start = text_canvas(codec, arguments.prompt, arguments.infill)
    seeds = range(arguments.seed, arguments.seed + arguments.count)
    rows = draw(checkpoint, sampler, start.repeat(len(seeds), 1), seeds, arguments)
    out = arguments.out
    with out.open("w", encoding="utf-8") if out else nullcontext(sys.stdout) as file:
        for seed, row in zip(seeds, rows, strict=True):
            heading = f"--- seed {seed}\n" if arguments.count > 1 else ""
            file.write(f"{heading}{codec.decode(row)}\n")


def sample_images(
    checkpoint: Checkpoint[Model], codec: ImageCodec, sampler: Sampler, arguments: Arguments
) -> None:
    """Write a contact sheet: samples, or threes of given, with holes, and filled in.

    Raises:
        ValueError: there is no --out, or nothing to fill in.
    """
    if arguments.prompt or arguments.infill:
        raise ValueError("This model draws images; --prompt and --infill are for models of text.")
    if arguments.out is None:
        raise ValueError("Name the picture to write with --out FILE.png.")
    masks = torch.full((codec.length,), codec.vocab_size)
    shown: list[list[np.ndarray]] = [[] for _ in range(arguments.count)]
    starts = masks.repeat(arguments.count, 1)
    if arguments.image is not None:
        mask = read_mask(arguments.mask, codec) if arguments.mask else None
        given = list(given_pictures(arguments.image, codec, arguments.count))
        holed = [punch(image, mask, codec.channels) for image in given]
        shown = [list(pair) for pair in zip(given, holed, strict=True)]
        starts = torch.stack([holes_to_fill(image, codec) for image in holed])
    seeds = range(arguments.seed, arguments.seed + len(starts))
    for tiles, row in zip(shown, draw(checkpoint, sampler, starts, seeds, arguments), strict=True):
        tiles.append(codec.decode(row))
    tiles = [tile for group in shown for tile in group]
    infilling = arguments.image is not None
    sheet(tiles, columns=INFILL_COLUMNS if infilling else None).save(arguments.out)


def run(arguments: Arguments) -> None:
    """Draw as asked for; print, or write to --out."""
    if arguments.count < 1 or arguments.batch_size < 1:
        raise ValueError("--count and --batch-size must be at least 1.")
    checkpoint = load_any_checkpoint(arguments.checkpoint, device=pick_device(arguments.device))
    freeze(checkpoint.model)
    filters = [
        FILTERS.build({"name": "temperature", "temperature": arguments.temperature}),
        FILTERS.build({"name": "top_p", "p": arguments.top_p}),
    ]
    sampler = SAMPLERS.build(
        {"name": arguments.sampler, "steps": arguments.steps, "grid": arguments.grid},
        filters=filters,
    )
    match checkpoint.codec:
        case ImageCodec() as codec:
            sample_images(checkpoint, codec, sampler, arguments)
        case TextCodec() as codec:
            sample_text(checkpoint, codec, sampler, arguments)


if __name__ == "__main__":
    command("training.sample", Arguments, run)
