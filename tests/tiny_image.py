"""Image models small enough to sample from in milliseconds, with random weights."""

from pathlib import Path
from typing import Any

import torch

from mdcore.checkpoint import Checkpoint, ModelConfig, build_model, save_checkpoint
from mdcore.codecs import CODECS

CLASSES = ["cat", "dog", "sun"]
COLOURS = [[0, 0, 0], [255, 255, 255], [200, 30, 30], [30, 200, 30], [30, 30, 200]]
KINDS: dict[str, dict[str, Any]] = {
    "grey": {"name": "pixels", "height": 8, "width": 6, "channels": 1},
    "rgb": {"name": "pixels", "height": 6, "width": 8, "channels": 3},
    "palette": {"name": "palette", "height": 8, "width": 8, "colours": COLOURS},
}
CLASSED = ("grey", "palette")


def save_tiny_image_model(folder: Path, kind: str, **size: int) -> Path:
    """A U-Net for images of that kind; grey and palette have three classes."""
    spec = KINDS[kind] | size
    config = ModelConfig(
        codec=spec,
        schedule={"name": "linear"},
        backbone={"name": "unet", "widths": [16], "blocks": [1], "dropout": 0.0},
        num_classes=len(CLASSES) if kind in CLASSED else 0,
        class_names=CLASSES if kind in CLASSED else [],
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(config)
        for weight in model.denoiser.parameters():
            torch.nn.init.normal_(weight, std=0.2)
    checkpoint = Checkpoint(model=model, codec=CODECS.build(spec), config=config, step=7)
    save_checkpoint(folder, checkpoint)
    return folder
