"""Pictures and masks between the painter and the server; nothing here needs a page."""

import base64
import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.painting import convert, easel, read_painting
from mdcore.codecs import ImageCodec, Palette, Pixels

EXAMPLES = Path(__file__).parent.parent / "assets" / "examples" / "pictures"
GREY = Pixels(8, 6, 1)
COLOURS = [[255, 255, 255], [200, 30, 30], [30, 30, 200]]
BAD = r"^This file could not be read as an image \(PNG, JPEG or WebP up to 10 MB\)\.$"


def sent(picture: Image.Image, kind: str = "PNG", **more: Any) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **more)
    return base64.b64encode(buffer.getvalue()).decode()


def text(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


def shown(told: dict[str, Any], codec: ImageCodec) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and mask of a converted upload."""
    height, width, _ = codec.shape
    pixels = np.frombuffer(base64.b64decode(told["pixels"]), np.uint8)
    bits = np.unpackbits(np.frombuffer(base64.b64decode(told["mask"]), np.uint8))
    return pixels.reshape(height, width, -1), bits[: height * width].reshape(height, width) == 1


def halves(width: int, height: int) -> Image.Image:
    """Black, but white on top."""
    picture = Image.new("L", (width, height))
    picture.paste(255, (0, 0, width, height // 2))
    return picture


def test_a_jpeg_is_turned_upright() -> None:
    sideways = halves(80, 60).rotate(90, expand=True)  # white on the left, as the camera holds it
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise
    told = convert(sent(sideways, "JPEG", exif=exif, quality=95), Pixels(6, 8, 1))
    pixels, mask = shown(told, Pixels(6, 8, 1))
    assert (pixels[:3] > 200).all()  # resizing rings at the edge
    assert (pixels[3:] < 55).all()
    assert not mask.any()
    assert told["note"].startswith("All of 80 × 60 pixels, resized to 8 × 6.")


def test_transparent_pixels_start_as_masked_on_white() -> None:
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[..., 3] = np.where(np.arange(8) < 5, 255, 0)
    palette = Palette(8, 8, COLOURS)
    told = convert(sent(Image.fromarray(rgba)), palette)
    pixels, mask = shown(told, palette)
    assert np.array_equal(mask, np.tile(np.arange(8) >= 5, (8, 1)))
    assert np.array_equal(pixels[:, :5].reshape(-1, 3), np.tile(COLOURS[1], (40, 1)))
    assert (pixels[:, 5:] == 255).all()
    assert told["note"] == ""


def test_what_is_cut_and_what_is_bright_is_told() -> None:
    told = convert(sent(Image.new("RGB", (300, 200), "white"), "WEBP"), Pixels(28, 28, 1))
    assert told["note"].startswith("The middle 200 × 200 of 300 × 200 pixels, resized to 28 × 28.")
    assert "invert the colours" in told["note"]


@pytest.mark.parametrize(
    "data", ["", "no base64!", text(np.arange(99)), None, 7, sent(Image.new("L", (9, 9)), "GIF")]
)
def test_what_is_no_image_is_refused(data: object) -> None:
    with pytest.raises(ValueError, match=BAD):
        convert(data, GREY)


def test_a_huge_upload_is_refused_before_it_is_opened() -> None:
    with pytest.raises(ValueError, match=BAD):
        convert("A" * (15 * 2**20), GREY)
    with pytest.raises(ValueError, match="more than 34 million pixels"):
        convert(sent(Image.new("1", (8000, 8000))), GREY)


@pytest.mark.parametrize("codec", [GREY, Pixels(6, 8, 3), Palette(8, 8, COLOURS)])
def test_each_given_pixel_is_read_bit_for_bit(codec: ImageCodec) -> None:
    height, width, _ = codec.shape
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (height, width, codec.channels), np.uint8)
    pixels = codec.decode(codec.encode(noise))
    mask = random.random((height, width)) < 0.4
    value = {"version": 1, "picture": text(pixels), "mask": text(np.packbits(mask))}
    image = read_painting(value, codec)
    holes = codec.decode(codec.encode(image))
    assert np.array_equal(holes[..., -1] == 0, mask)
    assert np.array_equal(holes[~mask][:, : codec.channels], pixels[~mask])


GOOD = {"version": 1, "picture": text(np.zeros(48, np.uint8)), "mask": text(np.zeros(6, np.uint8))}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "Choose an example or upload one"),
        ("<b>", "Choose an example or upload one"),
        (GOOD | {"version": 2}, "version is '2'; this server reads 1. Load the page again"),
        (GOOD | {"picture": text(np.zeros(49, np.uint8))}, "not one of 8x6x1"),
        (GOOD | {"picture": "<>"}, "not one of 8x6x1"),
        (GOOD | {"picture": None}, "not one of 8x6x1"),
        (GOOD | {"mask": text(np.zeros(7, np.uint8))}, "The mask has 7 bytes"),
        (GOOD | {"mask": [1]}, "The mask is not base64"),
    ],
)
def test_what_a_browser_sends_is_checked(value: object, problem: str) -> None:
    assert read_painting(GOOD, GREY).shape == (8, 6, 2)
    with pytest.raises(ValueError, match=problem):
        read_painting(value, GREY)


def test_the_painter_is_told_of_a_model() -> None:
    digits = easel(Pixels(28, 28, 1), EXAMPLES)
    first = digits["examples"][0]
    assert first["name"] == "digit 2"
    assert (
        base64.b64decode(first["pixels"])
        == np.asarray(Image.open(EXAMPLES / "digit-2.png")).tobytes()
    )
    assert digits["rule"] == (
        "Uploads are turned upright, cut to a square around their centre, resized to 28 × 28 "
        "pixels and made grey. Transparent pixels start as masked."
    )
    other = easel(Palette(32, 32, COLOURS), EXAMPLES)
    assert other["codec"] != easel(Palette(32, 32, COLOURS[:2]), EXAMPLES)["codec"]
    assert len(other["examples"]) == 6
    assert not other["invertible"]
    assert "in this model's 3 colours" in other["rule"]


def test_example_emoji_are_held_out_from_training() -> None:
    """By the rule of training.data: a name whose checksum is a multiple of 20."""
    names = [path.stem.partition("-")[2] for path in EXAMPLES.glob("*.png") if "-" in path.stem]
    emoji = [name.replace("-", " ").upper() for name in names if not name.isdigit()]
    assert len(emoji) == 6
    assert all(zlib.crc32(name.encode()) % 20 == 0 for name in emoji)
