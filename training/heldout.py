"""Data, prepared as a checkpoint's training data was."""

from pathlib import Path
from typing import Any

from mdcore.checkpoint import Checkpoint
from mdcore.codecs import ImageCodec
from mdcore.objectives import Model
from training.data import DATASETS, Examples, Split, local_spec, read_pictures, read_windows


def read_examples(
    checkpoint: Checkpoint[Model], data: str, split: Split = "validation"
) -> Examples:
    """A split of the data, prepared as the checkpoint's training data was.

    Raises:
        ValueError: the data cannot be read.
    """
    codec: Any = checkpoint.codec
    images = isinstance(codec, ImageCodec)
    spec = dict(checkpoint.training.get("data", {"name": "pictures" if images else "text"}))
    if Path(data).exists():
        spec = local_spec(spec, [data])
        if Path(data).is_file() and not images:
            spec["whole"] = True
    else:
        spec = {"name": "hub_pictures" if images else "hub", "repository": data}
    source: Any = DATASETS.build(spec)
    if images:
        return read_pictures(source, split, codec)
    return Examples(read_windows(source.documents(split), codec))
