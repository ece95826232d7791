"""Measure a checkpoint: python -m training.evaluate CHECKPOINT DATA [--draws K] [--limit N]."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import Tensor
from tqdm import tqdm

from mdcore.checkpoint import Checkpoint, load_checkpoint
from mdcore.evaluation import bits_per_token_draws, estimate
from mdcore.hardware import DeviceName, pick_device
from training.data import DATASETS, Source, read_windows


@dataclass(frozen=True)
class Arguments:
    """Print the likelihood bound as one JSON object; progress goes to standard error."""

    checkpoint: tyro.conf.Positional[Path]
    """Folder of a trained model."""
    data: tyro.conf.Positional[str]
    """A text file, measured whole; a folder, of which the validation split is measured as training
    would split it; or the name of a data set on the hub."""
    draws: int = 8
    """Passes over the data, each with new times and masks."""
    seed: int = 0
    """Of times and masks."""
    limit: int | None = None
    """Measure the first N windows only."""
    device: DeviceName = "auto"
    """Where to compute."""


def open_source(checkpoint: Checkpoint, data: str) -> Source:
    """The data, prepared as the checkpoint's training data was."""
    trained_on = dict(checkpoint.training.get("data", {"name": "text"}))
    if not Path(data).exists():
        return DATASETS.build({"name": "hub", "repository": data})
    if trained_on["name"] == "hub":
        trained_on = {"name": "text"}
    return DATASETS.build({**trained_on, "paths": [data], "whole": Path(data).is_file()})


def measure(checkpoint: Checkpoint, windows: Tensor, draws: int, seed: int) -> dict[str, float]:
    """The figures of windows (n, L)."""
    if draws < 2:
        raise ValueError(f"--draws is {draws}; a standard error needs at least 2.")
    device = next(checkpoint.model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    passes = bits_per_token_draws(
        checkpoint.model, windows.to(device), draws=draws, generator=generator
    )
    per_token = estimate(list(tqdm(passes, total=draws, unit="draw")))
    characters = sum(len(checkpoint.codec.decode(row)) for row in windows)
    per_character = per_token.scaled(windows.numel() / characters)
    return {
        "bits_per_token": per_token.mean,
        "standard_error": per_token.standard_error,
        "perplexity": per_token.perplexity,
        "tokens": windows.numel(),
        "draws": draws,
        "bits_per_character": per_character.mean,
        "bits_per_character_standard_error": per_character.standard_error,
        "characters": characters,
    }


def main() -> None:
    """Read the command line and print the figures."""
    arguments = tyro.cli(Arguments)
    try:
        run(arguments)
    except (ValueError, FloatingPointError, OSError) as error:
        sys.exit(f"training.evaluate: {error}")


def run(arguments: Arguments) -> None:
    """Measure and print one JSON object."""
    checkpoint = load_checkpoint(arguments.checkpoint, device=pick_device(arguments.device))
    source = open_source(checkpoint, arguments.data)
    windows = read_windows(source.documents("validation"), checkpoint.codec)[: arguments.limit]
    print(json.dumps(measure(checkpoint, windows, arguments.draws, arguments.seed)))


if __name__ == "__main__":
    main()
