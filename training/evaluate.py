"""Measure a checkpoint: python -m training.evaluate CHECKPOINT DATA [--draws K] [--limit N]."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import Tensor
from tqdm import tqdm

from mdcore.checkpoint import Checkpoint, load_checkpoint
from mdcore.evaluation import bits_per_token_draws, estimate
from mdcore.hardware import DeviceName, pick_device
from training.command import command
from training.data import DATASETS, Source, read_windows
from training.loop import figures


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
    return {
        **figures(per_token, windows, checkpoint.codec),
        "perplexity": per_token.perplexity,
        "draws": draws,
    }


def run(arguments: Arguments) -> None:
    """Measure and print one JSON object."""
    checkpoint = load_checkpoint(arguments.checkpoint, device=pick_device(arguments.device))
    source = open_source(checkpoint, arguments.data)
    windows = read_windows(source.documents("validation"), checkpoint.codec)[: arguments.limit]
    print(json.dumps(measure(checkpoint, windows, arguments.draws, arguments.seed)))


if __name__ == "__main__":
    command("training.evaluate", Arguments, run)
