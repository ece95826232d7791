"""What passes between the painter and the server: pictures as bytes, masks as bits, all checked.

A picture is height x width x channels bytes in base64, a mask one bit a pixel; both row by row. The
painter knows no file formats, so that each pixel it shows is, bit for bit, what the model reads.
"""

import base64
import binascii
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from app.state import RELOAD
from app.uploads import read_mask, read_picture
from mdcore.codecs import ImageCodec, Palette, punch

VERSION = 1
BRIGHT = 128
MODES = {"L": 1, "RGB": 3}

Json = dict[str, Any]


def easel(codec: ImageCodec, folder: Path) -> Json:
    """What the painter has to know of a model.

    Args:
        codec: of the model.
        folder: has the example pictures, NAME.png.

    Returns:
        codec, which two models share if they can read each other's pictures; width, height and
        channels; rule, how uploads are converted; invertible, whether colours can be inverted;
        examples, each with its name and its pixels.
    """
    height, width, _ = codec.shape
    return {
        "codec": f"{codec.size} {zlib.crc32(repr(codec.learned()).encode()):08x}",
        "width": width,
        "height": height,
        "channels": codec.channels,
        "rule": _rule(codec),
        "invertible": not isinstance(codec, Palette),
        "examples": [
            {"name": name, "pixels": _text(_pixels(picture, codec))}
            for name, picture in _examples(codec, folder)
        ],
    }


def convert(data: object, codec: ImageCodec) -> Json:
    """An uploaded file in base64 as pixels and mask for the painter, and a note on what was done.

    Raises:
        ValueError: the file is no image, or too large.
    """
    picture = ImageOps.exif_transpose(read_picture(data))
    height, width, _ = codec.shape
    fitted = codec.fit(picture)
    mask = np.zeros((height, width), bool)
    if fitted.shape[-1] > codec.channels:
        mask = fitted[..., codec.channels] == 0
    pixels = _pixels(picture, codec)
    return {
        "pixels": _text(pixels),
        "mask": _text(np.packbits(mask)),
        "note": _note(picture, pixels, codec),
    }


def read_painting(value: object, codec: ImageCodec) -> np.ndarray:
    """The painter's value as an image with holes, as `codec.encode` takes it.

    Raises:
        ValueError: it is not what this version's painter sends for this model.
    """
    if not isinstance(value, dict):
        raise ValueError("There is no picture to fill in. Choose an example or upload one.")
    if value.get("version") != VERSION:
        raise ValueError(
            f"The painter's version is {str(value.get('version'))[:20]!r}; this server reads "
            f"{VERSION}. {RELOAD}"
        )
    height, width, _ = codec.shape
    shape = (height, width, codec.channels)
    try:
        data = base64.b64decode(str(value.get("picture")), validate=True)
        pixels = np.frombuffer(data, np.uint8).reshape(shape)
    except (binascii.Error, ValueError):
        raise ValueError(
            f"The painted picture is not one of {codec.size}, which this model reads. "
            "Choose the picture again."
        ) from None
    return punch(pixels, read_mask(value.get("mask"), height, width), codec.channels)


def _examples(codec: ImageCodec, folder: Path) -> list[tuple[str, Image.Image]]:
    """Pictures of the model's own size, or else all of as many channels, by name."""
    height, width, _ = codec.shape
    alike = []
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as picture:
            if MODES[picture.mode] == codec.channels:
                alike.append((path.stem.replace("-", " "), picture.copy()))
    return [pair for pair in alike if pair[1].size == (width, height)] or alike


def _pixels(picture: Image.Image, codec: ImageCodec) -> np.ndarray:
    """A picture as the model reads it, what is transparent on white."""
    return codec.decode(codec.encode(codec.fit(picture, holes=False)))


def _rule(codec: ImageCodec) -> str:
    height, width, _ = codec.shape
    grey = " and made grey" if codec.channels == 1 else ""
    colours = f", in this model's {codec.vocab_size} colours" if isinstance(codec, Palette) else ""
    form = "a square" if height == width else f"{width}:{height}"
    return (
        f"Uploads are turned upright, cut to {form} around their centre, resized to "
        f"{width} × {height} pixels{grey}{colours}. Transparent pixels start as masked."
    )


def _note(picture: Image.Image, pixels: np.ndarray, codec: ImageCodec) -> str:
    """What became of an upload, if there is something to say."""
    height, width, _ = codec.shape
    notes = []
    if picture.size != (width, height):
        scale = min(picture.width / width, picture.height / height)
        kept = f"{round(width * scale):,} × {round(height * scale):,}"
        whole = f"{picture.width:,} × {picture.height:,}"
        part = "All" if kept == whole else f"The middle {kept}"
        notes.append(f"{part} of {whole} pixels, resized to {width} × {height}.")
    if codec.channels == 1 and pixels.mean() >= BRIGHT:
        notes.append(
            "Mostly bright: if this model knows light strokes on dark, invert the colours."
        )
    return " ".join(notes)


def _text(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")
