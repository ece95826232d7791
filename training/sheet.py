"""Pictures in and out of the commands: pictures to fill in, masks, contact sheets."""

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from mdcore.codecs import ImageCodec, picture_of
from training.data import SUFFIXES, Pictures

MASKS = ("left", "right", "top", "bottom", "centre", "random")
"""Masks by name: half of the picture, its middle, or half of its pixels here and there."""


def named_mask(name: str, height: int, width: int) -> np.ndarray:
    """The mask of that name, (height, width) bool: True is to be filled in."""
    mask = np.zeros((height, width), bool)
    match name:
        case "left":
            mask[:, : width // 2] = True
        case "right":
            mask[:, width // 2 :] = True
        case "top":
            mask[: height // 2] = True
        case "bottom":
            mask[height // 2 :] = True
        case "centre":
            mask[height // 4 : -(height // 4), width // 4 : -(width // 4)] = True
        case "random":
            mask |= np.random.default_rng(0).random(mask.shape) < 0.5
    return mask


def read_mask(mask: str, codec: ImageCodec) -> np.ndarray:
    """A mask by name or from a picture whose bright pixels are to be filled in, (H, W) bool.

    Raises:
        ValueError: there is no such name or picture.
    """
    height, width, _ = codec.shape
    if mask in MASKS:
        return named_mask(mask, height, width)
    picture = open_picture(Path(mask), f" Give a picture or one of: {', '.join(MASKS)}.")
    grey = picture.convert("L").resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(grey) >= 128


def open_picture(path: Path, hint: str = "") -> Image.Image:
    """The picture in a file.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        with Image.open(path) as picture:
            return picture.copy()
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} could not be read as a picture ({error}).{hint}") from error


def given_pictures(path: Path, codec: ImageCodec, count: int) -> Iterator[np.ndarray]:
    """The picture in a file, `count` times; or the first held-out pictures of a data set."""
    if path.suffix.lower() in SUFFIXES:
        return itertools.repeat(codec.fit(open_picture(path)), count)
    pictures = Pictures([str(path)], exclude="skin").pictures("validation")
    return (codec.fit(picture) for picture, _ in itertools.islice(pictures, count))


def holes_to_fill(image: np.ndarray, codec: ImageCodec) -> Tensor:
    """Tokens (L,) of an image with holes.

    Raises:
        ValueError: it has none.
    """
    tokens = codec.encode(image)
    if not (tokens == codec.vocab_size).any():
        raise ValueError(
            "Nothing is masked, so there is nothing to fill in. Give --mask, "
            "or a picture with transparent pixels."
        )
    return tokens


def sheet(
    images: Sequence[np.ndarray], *, columns: int | None = None, scale: int = 3
) -> Image.Image:
    """A contact sheet of images of one size (H, W, C); transparent pixels are shown in purple."""
    columns = columns or math.ceil(math.sqrt(len(images)))
    height, width = (size * scale + 2 for size in images[0].shape[:2])
    rows = math.ceil(len(images) / columns)
    page = Image.new("RGB", (columns * width + 2, rows * height + 2), "grey")
    for index, image in enumerate(images):
        tile = Image.new("RGBA", (width - 2, height - 2), (118, 84, 200))
        tile.alpha_composite(picture_of(image).convert("RGBA").resize(tile.size, 0))
        page.paste(tile, (2 + index % columns * width, 2 + index // columns * height))
    return page
