"""Measure a checkpoint: python -m training.evaluate CHECKPOINT DATA [--draws K] [--limit N]."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from tqdm import tqdm

from mdcore.checkpoint import Checkpoint, load_any_checkpoint
from mdcore.codecs import TextCodec
from mdcore.evaluation import Estimate, bits_per_token_draws, estimate
from mdcore.hardware import DeviceName, pick_device
from mdcore.objectives import Model
from training.command import command
from training.data import TEST_SETS, Examples, ZeroShot, read_test_set
from training.heldout import read_examples
from training.loop import figures


@dataclass(frozen=True)
class Arguments:
    """Print the likelihood, or its bound, as one JSON object; progress goes to standard error."""

    checkpoint: tyro.conf.Positional[Path]
    """Folder of a trained model."""
    data: tyro.conf.Positional[str]
    """A text file, measured whole; a folder (or, for images, an idx or npz data set), of which the
    validation split is measured as training would split it; the name of a data set on the hub,
    OWNER/NAME; or that of a test set: wikitext2, wikitext103, ptb, lambada or lm1b."""
    text: Path | None = None
    """A copy on the disk of the test set that is named, a row a line (.jsonl: its column); without
    it the hub is asked."""
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
        "perplexity_standard_error": per_token.perplexity_standard_error,
        "draws": per_token.draws,
    }


def per_word(measured: dict[str, float], test_set: ZeroShot) -> dict[str, float | str]:
    """The figures of a test set's tokens, for its words: the nats of all tokens over all words.

    Tokens that were not measured, at the end or because of a limit, count with the others' mean.
    """
    share = test_set.tokens / test_set.words
    word = Estimate(measured["bits_per_token"], measured["standard_error"], 0).scaled(share)
    return {
        "words": test_set.words,
        "bits_per_word": word.mean,
        "perplexity_per_word": word.perplexity,
        "perplexity_per_word_standard_error": word.perplexity_standard_error,
        "preprocessing": test_set.preprocessing,
    }


def find_test_set(checkpoint: Checkpoint[Model], arguments: Arguments) -> ZeroShot | None:
    """The test set that is named, if the data are neither on the disk nor OWNER/NAME on the hub."""
    data, codec = arguments.data, checkpoint.codec
    named = arguments.text is not None or data in TEST_SETS
    if not named and ("/" in data or Path(data).exists()):
        return None
    if not isinstance(codec, TextCodec):
        raise ValueError(f"{data!r} is neither a file nor a folder, and test sets are of text.")
    return read_test_set(data, codec, arguments.text)


def run(arguments: Arguments) -> None:
    """Measure and print one JSON object."""
    checkpoint = load_any_checkpoint(arguments.checkpoint, device=pick_device(arguments.device))
    test_set = find_test_set(checkpoint, arguments)
    examples = test_set.examples if test_set else read_examples(checkpoint, arguments.data)
    examples = examples.take(slice(arguments.limit))
    measured = measure(checkpoint, examples, arguments.draws, arguments.seed, arguments.timesteps)
    print(json.dumps({**measured, **(per_word(measured, test_set) if test_set else {})}))


if __name__ == "__main__":
    command("training.evaluate", Arguments, run)
