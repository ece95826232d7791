"""Measure a checkpoint: python -m training.evaluate CHECKPOINT DATA [--draws K] [--limit N]."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from tqdm import tqdm

from mdcore.checkpoint import Checkpoint, load_any_checkpoint
from mdcore.evaluation import bits_per_token_draws, estimate
from mdcore.hardware import DeviceName, pick_device
from mdcore.objectives import Model
from training.command import command
from training.data import Examples
from training.heldout import read_examples
from training.loop import figures


@dataclass(frozen=True)
class Arguments:
    """Print the likelihood, or its bound, as one JSON object; progress goes to standard error."""

    checkpoint: tyro.conf.Positional[Path]
    """Folder of a trained model."""
    data: tyro.conf.Positional[str]
    """A text file, measured whole; a folder (or, for images, an idx or npz data set), of which the
    validation split is measured as training would split it; or the name of a data set on the
    hub."""
    draws: int = 8
    """Passes over the data, each with new times and masks; an exact likelihood takes one."""
    timesteps: int | None = None
    """Measure the bound of the process in so many discrete steps, as D3PM has it, instead of the
    continuous one."""
    seed: int = 0
    """Of times and masks."""
    limit: int | None = None
    """Measure the first N examples only."""
    device: DeviceName = "auto"
    """Where to compute."""


def measure(
    checkpoint: Checkpoint[Model],
    examples: Examples,
    draws: int,
    seed: int,
    timesteps: int | None = None,
) -> dict[str, float]:
    """The figures of examples."""
    if draws < 2:
        raise ValueError(f"--draws is {draws}; a standard error needs at least 2.")
    device = next(checkpoint.model.parameters()).device
    x, condition = examples.to(device)
    passes = bits_per_token_draws(
        checkpoint.model,
        x,
        condition,
        draws=draws,
        generator=torch.Generator(device).manual_seed(seed),
        timesteps=timesteps,
    )
    per_token = estimate(list(tqdm(passes, unit="draw")))
    return {
        **figures(per_token, examples.x, checkpoint.codec),
        "perplexity": per_token.perplexity,
        "draws": per_token.draws,
    }


def run(arguments: Arguments) -> None:
    """Measure and print one JSON object."""
    checkpoint = load_any_checkpoint(arguments.checkpoint, device=pick_device(arguments.device))
    examples = read_examples(checkpoint, arguments.data).take(slice(arguments.limit))
    measured = measure(checkpoint, examples, arguments.draws, arguments.seed, arguments.timesteps)
    print(json.dumps(measured))


if __name__ == "__main__":
    command("training.evaluate", Arguments, run)
