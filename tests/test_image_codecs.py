"""Image codecs: what goes in comes out, holes included; any picture fits by the stated rule."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from oracle import seeded
from PIL import Image

from mdcore.codecs import CODECS, ImageCodec, Palette, Pixels, fit_picture

COLOURS = [[0, 0, 0], [255, 255, 255], [200, 10, 90], [10, 200, 30]]
SPECS = {
    "grey": {"name": "pixels", "height": 5, "width": 3, "channels": 1},
    "rgb": {"name": "pixels", "height": 2, "width": 4, "channels": 3},
    "palette": {"name": "palette", "height": 4, "width": 3, "colours": COLOURS},
}
every_codec = pytest.mark.parametrize("kind", list(SPECS))


def test_every_registered_image_codec_is_tested() -> None:
    images = {name for name in CODECS if issubclass(CODECS[name], ImageCodec)}
    assert images == {spec["name"] for spec in SPECS.values()}


def images(codec: ImageCodec) -> st.SearchStrategy[np.ndarray]:
    """Any image that the codec can write, without holes."""
    height, width, _ = codec.shape
    if isinstance(codec, Palette):
        index = arrays.arrays(np.int64, (height, width), elements=st.integers(0, 3))
        return index.map(np.array(COLOURS, np.uint8).__getitem__)
    return arrays.arrays(np.uint8, (height, width, codec.channels))


@every_codec
@given(data=st.data())
def test_decode_inverts_encode_with_holes(kind: str, data: st.DataObject) -> None:
    codec = CODECS.build(SPECS[kind])
    image = data.draw(images(codec))
    height, width, depth = codec.shape
    tokens = codec.encode(image)
    assert tokens.dtype == torch.long
    assert tokens.shape == (codec.length,) == (height * width * depth,)
    assert np.array_equal(codec.decode(tokens), image)

    opaque = data.draw(arrays.arrays(np.bool_, (height, width)))
    holed = np.where(opaque[..., None], image, 0).astype(np.uint8)
    holed = np.concatenate([holed, 255 * opaque[..., None].astype(np.uint8)], -1)
    tokens = codec.encode(holed)
    masked = (tokens == codec.vocab_size).view(height, width, depth).numpy()
    assert (masked == ~opaque[..., None]).all()
    expected = image if opaque.all() else holed
    assert np.array_equal(codec.decode(tokens), expected)


@every_codec
@given(data=st.data())
def test_encode_inverts_decode(kind: str, data: st.DataObject) -> None:
    """For every token of the vocabulary; whole pixels as holes, since opacity is a pixel's."""
    codec = CODECS.build(SPECS[kind])
    height, width, depth = codec.shape
    elements = st.integers(0, codec.vocab_size - 1)
    grid = torch.from_numpy(data.draw(arrays.arrays(np.int64, codec.shape, elements=elements)))
    holes = torch.from_numpy(data.draw(arrays.arrays(np.bool_, (height, width, 1))))
    tokens = torch.where(holes, codec.vocab_size, grid).flatten()
    assert torch.equal(codec.encode(codec.decode(tokens)), tokens)
    assert depth == grid.shape[-1]


def test_tokens_lie_row_by_row_with_channels_side_by_side() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert Pixels(2, 4, 3).encode(image).tolist() == list(range(24))


def test_a_partly_known_pixel_is_partly_opaque() -> None:
    codec = Pixels(1, 3, 3)
    tokens = torch.tensor([9, 256, 8, 256, 256, 256, 1, 2, 3])
    expected = [[[9, 0, 8, 170], [0, 0, 0, 0], [1, 2, 3, 255]]]
    assert codec.decode(tokens).tolist() == expected
    with pytest.raises(ValueError, match=r"opacity must be 0 \(a hole\) or 255"):
        codec.encode(codec.decode(tokens))


def test_grey_may_come_without_an_axis_of_channels() -> None:
    image = np.arange(15, dtype=np.uint8).reshape(5, 3)
    codec = CODECS.build(SPECS["grey"])
    assert torch.equal(codec.encode(image), codec.encode(image[..., None]))


def test_a_colour_becomes_the_nearest_of_the_palette() -> None:
    codec = Palette(1, 3, COLOURS)
    image = np.array([[[190, 40, 80], [20, 20, 10], [250, 251, 200]]], np.uint8)
    assert codec.encode(image).tolist() == [2, 0, 1]


def test_a_palette_is_found_from_pictures() -> None:
    """Pictures of four colours, a little noisy: those four are found, within the noise."""
    choice = torch.randint(4, (6, 8, 8), generator=seeded()).numpy()
    noise = torch.randint(-3, 4, (6, 8, 8, 3), generator=seeded(1)).numpy()
    noisy = (np.array(COLOURS)[choice] + noise).clip(0, 255).astype(np.uint8)
    pictures = [Image.fromarray(picture) for picture in noisy]
    codec = Palette.train(pictures, height=8, width=8, colours=4)
    nearest = np.abs(codec.colours[:, None].astype(int) - np.array(COLOURS)).max(-1)
    assert sorted(nearest.argmin(1)) == [0, 1, 2, 3]
    assert nearest.min(1).max() <= 3
    again = CODECS.build({"name": "palette", "height": 8, "width": 8, **codec.learned()})
    assert np.array_equal(again.colours, codec.colours)


def test_fewer_colours_than_asked_for() -> None:
    picture = Image.new("RGB", (8, 8), (10, 20, 30))
    codec = Palette.train([picture], height=8, width=8, colours=64)
    assert codec.colours.tolist() == [[10, 20, 30]]
    assert codec.vocab_size == 1


# Other pictures, by the rule of fit_picture


def test_a_wide_picture_is_cut_around_its_centre() -> None:
    wide = Image.new("L", (30, 10), 0)
    wide.paste(200, (10, 0, 20, 10))
    difference = fit_picture(wide, 5, 5, 1).astype(int) - 200
    assert abs(difference).max() <= 12  # Lanczos sees a little across the cut


def test_a_picture_is_turned_upright() -> None:
    lying = Image.new("L", (4, 4), 0)
    lying.paste(255, (0, 0, 4, 2))  # bright on top ...
    lying.getexif()[0x0112] = 6  # ... and a camera that was turned: bright on the right
    upright = fit_picture(lying, 4, 4, 1)[..., 0]
    assert (upright[:, 2:] == 255).all()
    assert (upright[:, :2] == 0).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_is_converted(mode: str, channels: int) -> None:
    picture = Image.new(mode, (9, 7), 1 if mode == "1" else None)
    if "A" in mode:
        picture.putalpha(255)
    image = fit_picture(picture, 6, 6, channels)
    assert image.shape == (6, 6, channels)
    assert image.dtype == np.uint8


def test_transparent_pixels_are_holes_or_lie_on_white() -> None:
    picture = Image.new("RGBA", (4, 4), (0, 0, 0, 255))
    picture.putpixel((1, 0), (0, 0, 0, 0))
    picture.putpixel((2, 0), (0, 0, 0, 200))  # mostly opaque: a dark grey
    image = fit_picture(picture, 4, 4, 1)
    assert image.shape == (4, 4, 2)
    assert image[0, :, 1].tolist() == [255, 0, 255, 255]
    assert image[0, 2, 0] == 55
    assert fit_picture(picture, 4, 4, 1, holes=False)[0, :, 0].tolist() == [0, 255, 55, 0]


def test_an_opaque_picture_with_opacity_has_no_holes() -> None:
    assert fit_picture(Image.new("RGBA", (4, 4), "red"), 4, 4, 3).shape == (4, 4, 3)


# What is refused


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((5, 4, 1), np.uint8), "shape (5, 4, 1) and type uint8; this model reads 5x3x1"),
        (np.zeros((5, 3, 3), np.uint8), "Convert a picture of another size with `codec.fit`"),
        (np.zeros((5, 3, 1)), "type float64; this model reads 5x3x1 uint8"),
        (np.full((5, 3, 2), 7, np.uint8), "opacity must be 0 (a hole) or 255"),
    ],
)
def test_other_arrays_are_refused(image: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        CODECS.build(SPECS["grey"]).encode(image)


@every_codec
def test_other_tokens_are_refused(kind: str) -> None:
    codec = CODECS.build(SPECS[kind])
    with pytest.raises(ValueError, match=f"3 tokens; an image of {codec.size} has {codec.length}"):
        codec.decode(torch.zeros(3, dtype=torch.long))
    for wrong in (-1, codec.vocab_size + 1):
        with pytest.raises(ValueError, match=f"token {wrong} lies outside"):
            codec.decode(torch.full((codec.length,), wrong))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "pixels", "channels": 2}, "channels is 2; images are grey"),
        ({"name": "pixels", "height": 0}, "an image of 0x28 has no pixels"),
        ({"name": "palette", "colours": []}, "a palette needs"),
        ({"name": "palette", "colours": [[1, 2]]}, "a palette needs"),
    ],
)
def test_other_options_are_refused(spec: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CODECS.build(spec)


def test_a_palette_without_colours() -> None:
    codec = Palette(2, 2, 4)
    assert not codec.found
    with pytest.raises(ValueError, match="no colours yet; load it from a checkpoint"):
        codec.decode(torch.zeros(4, dtype=torch.long))
    with pytest.raises(ValueError, match="no picture to take colours from"):
        Palette.train([], height=2, width=2, colours=4)
