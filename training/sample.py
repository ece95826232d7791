"""Draw from a checkpoint: python -m training.sample CHECKPOINT [--prompt TEXT | --infill TEXT]."""

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from torch import Tensor
from tqdm import tqdm

from mdcore.checkpoint import Checkpoint, load_checkpoint
from mdcore.codecs import TextCodec
from mdcore.filters import FILTERS
from mdcore.hardware import DeviceName, pick_device
from mdcore.sampling import GRIDS, SAMPLERS, Sampler
from training.command import command


@dataclass(frozen=True)
class Arguments:
    """Draw samples; they go to standard output, progress goes to standard error."""

    checkpoint: tyro.conf.Positional[Path]
    """Folder of a trained model."""
    prompt: str = ""
    """Text that the samples begin with."""
    infill: str = ""
    """Text with holes, each [MASK] one token, to be filled in."""
    label: int | None = None
    """Class of the samples, for a model that has classes."""
    steps: int = 256
    """Sampling steps; more steps, better samples."""
    sampler: Annotated[str, tyro.conf.arg(constructor=Literal[tuple(SAMPLERS)])] = "ancestral"
    """The rule by which masks turn into tokens."""
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
    """A text file to write instead of standard output."""
    device: DeviceName = "auto"
    """Where to compute."""


def canvas(codec: TextCodec, prompt: str, infill: str) -> Tensor:
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
    checkpoint: Checkpoint, sampler: Sampler, start: Tensor, seeds: range, arguments: Arguments
) -> Iterator[str]:
    """One text a seed; a seed's text does not depend on the others.

    Raises:
        ValueError: the model has no such class.
    """
    classes, label = checkpoint.config.num_classes, arguments.label
    if label is not None and not 0 <= label < classes:
        raise ValueError(f"--label is {label}; this model has {classes} classes, counted from 0.")
    device = next(checkpoint.model.parameters()).device
    with tqdm(total=len(seeds), unit="sample", disable=len(seeds) == 1) as bar:
        for first in range(0, len(seeds), arguments.batch_size):
            batch = seeds[first : first + arguments.batch_size]
            generators = [torch.Generator().manual_seed(seed) for seed in batch]
            z = start.to(device).repeat(len(batch), 1)
            condition = None if label is None else torch.full((len(batch),), label, device=device)
            for row in sampler(checkpoint.model, z, condition, generator=generators).cpu():
                yield checkpoint.codec.decode(row)
            bar.update(len(batch))


def run(arguments: Arguments) -> None:
    """Draw as asked for; print, or write to --out."""
    if arguments.count < 1 or arguments.batch_size < 1:
        raise ValueError("--count and --batch-size must be at least 1.")
    checkpoint = load_checkpoint(arguments.checkpoint, device=pick_device(arguments.device))
    filters = [
        FILTERS.build({"name": "temperature", "temperature": arguments.temperature}),
        FILTERS.build({"name": "top_p", "p": arguments.top_p}),
    ]
    sampler = SAMPLERS.build(
        {"name": arguments.sampler, "steps": arguments.steps, "grid": arguments.grid},
        filters=filters,
    )
    start = canvas(checkpoint.codec, arguments.prompt, arguments.infill)
    seeds = range(arguments.seed, arguments.seed + arguments.count)
    texts = draw(checkpoint, sampler, start, seeds, arguments)
    out = arguments.out
    with out.open("w", encoding="utf-8") if out else nullcontext(sys.stdout) as file:
        for seed, text in zip(seeds, texts, strict=True):
            heading = f"--- seed {seed}\n" if arguments.count > 1 else ""
            file.write(f"{heading}{text}\n")


if __name__ == "__main__":
    command("training.sample", Arguments, run)
