"""A text model small enough to sample from in milliseconds, with a real BPE and random weights."""

from pathlib import Path

import torch

from mdcore.checkpoint import Checkpoint, ModelConfig, build_model, save_checkpoint
from mdcore.codecs import BPE

SENTENCES = [
    "Once upon a time there was a little girl who lived in a wood.",
    "The old king said nothing, and the little bird flew away.\n\n",
    "“Come,” said the fox, “and see what the river has brought us.”",
]


def save_tiny_checkpoint(
    folder: Path,
    *,
    length: int = 48,
    schedule: str = "linear",
    time_conditioned: bool = False,
) -> Path:
    codec = BPE.train(SENTENCES * 4, 320, length)
    config = ModelConfig(
        codec={"name": "bpe", "vocab_size": codec.vocab_size, "length": length},
        schedule={"name": schedule},
        backbone={
            "name": "transformer",
            "width": 32,
            "depth": 1,
            "heads": 2,
            "time_conditioned": time_conditioned or schedule == "learned_polynomial",
        },
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(config)
        for weight in model.denoiser.parameters():
            torch.nn.init.normal_(weight, std=0.3)
    save_checkpoint(folder, Checkpoint(model=model, codec=codec, config=config, step=7))
    return folder
