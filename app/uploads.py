"""Images and masks as text, the way browsers and programs send them; nothing in them is trusted."""

import base64
import binascii
import io

import numpy as np
from PIL import Image

from mdcore.codecs import ImageCodec, picture_of, punch

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_BYTES = 10 * 2**20
MAX_PIXELS = 2**25
UNREADABLE = "This file could not be read as an image (PNG, JPEG or WebP up to 10 MB)."


def read_image(image: object, mask: object, codec: ImageCodec) -> np.ndarray:
    """An image to be filled in, as `codec.encode` takes it: fitted to the model, with holes.

    Args:
        image: of any size, in base64; its transparent pixels are holes.
        mask: bits in base64, see `read_mask`; or None.
        codec: of the model.

    Raises:
        ValueError: one of the two is not what it should be.
    """
    height, width, _ = codec.shape
    pixels = codec.fit(read_picture(image))
    return pixels if mask is None else punch(pixels, read_mask(mask, height, width), codec.channels)


def read_picture(image: object) -> Image.Image:
    """The picture in a base64 text, which may begin as a data URL does.

    Raises:
        ValueError: there is none, or it is too large.
    """
    if not isinstance(image, str) or len(image) > 4 * MAX_BYTES / 3 + 1000:
        raise ValueError(UNREADABLE)
    data = _bytes(image.partition(",")[2] if image.startswith("data:") else image)
    if not data or len(data) > MAX_BYTES:
        raise ValueError(UNREADABLE)
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
        if picture.width * picture.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        picture.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError(
            f"This image has more than {MAX_PIXELS / 1e6:.0f} million pixels. Make it smaller."
        ) from None
    except Exception as error:  # what a decoder raises at damaged data is no fixed set
        raise ValueError(UNREADABLE) from error
    return picture


def read_mask(mask: object, height: int, width: int) -> np.ndarray:
    """A mask (height, width) bool, True is to be filled in, from bits packed row by row in base64.

    Raises:
        ValueError: this is no base64, or of another length.
    """
    data = _bytes(mask) if isinstance(mask, str) else None
    count = -(-height * width // 8)
    if data is None or len(data) != count:
        found = "is not base64" if data is None else f"has {len(data):,} bytes"
        raise ValueError(
            f"The mask {found}; an image of {height}x{width} pixels needs {count:,} bytes in "
            "base64, one bit a pixel, row by row."
        )
    bits = np.unpackbits(np.frombuffer(data, np.uint8))[: height * width]
    return bits.reshape(height, width).astype(bool)


def png(pixels: np.ndarray) -> str:
    """An image that a codec decoded as a PNG in base64, what is unknown transparent."""
    buffer = io.BytesIO()
    picture_of(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _bytes(text: str) -> bytes | None:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
