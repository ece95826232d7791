"""Codecs of images: each channel value a token, or each pixel a colour of a palette.

An image is an array of uint8, (height, width, channels). With holes it has one channel more, its
opacity: 0 is a hole, 255 is not. Tokens lie row by row, a pixel's channels side by side.
"""

import abc
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from mdcore.codecs.base import CODECS, check_range
from mdcore.registry import Spec

MODES = {1: "L", 3: "RGB"}
CLUSTERED_PIXELS = 2**20
Pixels8 = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def fit_picture(
    picture: Image.Image, height: int, width: int, channels: int, *, holes: bool = True
) -> Pixels8:
    """Any picture as an array of a model's size.

    It is turned upright (EXIF), cut to the model's proportions around its centre, resized (Lanczos)
    and converted to grey or RGB. A pixel that is less than half opaque becomes a hole; all others,
    or all if holes are not wanted, lie on white.

    Args:
        picture: of any size and mode; the first frame of an animation.
        height: in pixels.
        width: in pixels.
        channels: 1 for grey, 3 for RGB.
        holes: whether transparent pixels become holes.

    Returns:
        (height, width, channels) uint8, or one channel more if there are holes.
    """
    picture = ImageOps.exif_transpose(picture)
    transparent = picture.has_transparency_data
    picture = picture.convert("RGBA" if transparent else MODES[channels])
    if picture.size != (width, height):
        picture = ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS)
    if not transparent:
        return np.asarray(picture).reshape(height, width, channels)
    white = Image.new("RGBA", picture.size, "white")
    flat = Image.alpha_composite(white, picture).convert(MODES[channels])
    values = np.asarray(flat).reshape(height, width, channels)
    opaque = np.asarray(picture)[..., 3] >= 128
    return values if opaque.all() or not holes else _with_opacity(values, opaque)


def _with_opacity(values: Pixels8, opaque: np.ndarray) -> Pixels8:
    """An image and its opaque pixels (H, W) as one array; holes are black, and transparent."""
    opacity = np.where(opaque, 255, 0).astype(np.uint8)[..., None]
    return np.concatenate([np.where(opaque[..., None], values, 0).astype(np.uint8), opacity], -1)


def punch(image: np.ndarray, mask: np.ndarray | None, channels: int) -> np.ndarray:
    """The image (H, W, channels, perhaps with opacity) with holes where the mask (H, W) says."""
    opaque = np.full(image.shape[:2], 255, np.uint8)
    opacity = image[..., channels] if image.shape[-1] > channels else opaque
    if mask is not None:
        opacity = np.where(mask, 0, opacity).astype(np.uint8)
    return np.concatenate([image[..., :channels], opacity[..., None]], -1)


def picture_of(image: np.ndarray) -> Image.Image:
    """An array that a codec decoded, as a picture of mode L, LA, RGB or RGBA."""
    return Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)


class ImageCodec(abc.ABC):
    """What image codecs share: the size, the holes, and the checks.

    Attributes:
        shape: (height, width, tokens a pixel).
        channels: of the image: 1 for grey, 3 for RGB.
    """

    def __init__(self, vocab_size: int, shape: tuple[int, int, int], channels: int) -> None:
        if channels not in MODES:
            raise ValueError(f"channels is {channels}; images are grey (1) or RGB (3).")
        if min(shape) < 1:
            raise ValueError(f"an image of {shape[0]}x{shape[1]} has no pixels.")
        self.vocab_size = vocab_size
        self.shape = shape
        self.channels = channels
        self.length = shape[0] * shape[1] * shape[2]

    @abc.abstractmethod
    def _tokens(self, values: Pixels8) -> Tensor:
        """Tokens (H, W, tokens a pixel) of an image (H, W, channels) without holes."""

    @abc.abstractmethod
    def _values(self, tokens: Tensor) -> Pixels8:
        """The image (H, W, channels) of tokens (H, W, tokens a pixel) without masks."""

    @property
    def size(self) -> str:
        """The image's size for people: 28x28x1."""
        return f"{self.shape[0]}x{self.shape[1]}x{self.channels}"

    def encode(self, raw: Pixels8) -> Tensor:
        """Tokens of an image, (L,) long; a transparent pixel becomes masks.

        Args:
            raw: (H, W, channels) uint8, with one channel more for its opacity, 0 or 255; (H, W)
                too if it is grey.

        Raises:
            ValueError: the size, the type or the opacity is another.
        """
        array = np.asarray(raw)
        array = array[..., None] if array.ndim == 2 else array
        height, width, _ = self.shape
        fits = array.shape in {(height, width, self.channels), (height, width, self.channels + 1)}
        if array.dtype != np.uint8 or not fits:
            raise ValueError(
                f"an array of shape {np.shape(raw)} and type {array.dtype}; this model reads "
                f"{self.size} uint8, with one channel more for opacity. "
                "Convert a picture of another size with `codec.fit`."
            )
        tokens = self._tokens(array[..., : self.channels])
        if array.shape[-1] > self.channels:
            opacity = array[..., self.channels]
            if not np.isin(opacity, (0, 255)).all():
                raise ValueError(
                    "opacity must be 0 (a hole) or 255; `codec.fit` rounds it for you."
                )
            hole = torch.from_numpy(opacity == 0)[..., None]
            tokens = torch.where(hole, self.vocab_size, tokens)
        return tokens.flatten()

    def decode(self, tokens: Tensor) -> Pixels8:
        """The image of (L,) tokens.

        Returns:
            (H, W, channels) uint8. If there are masks it has one channel more, its opacity: 0 where
            all of a pixel's tokens are masks; 255 x the share of its tokens that are known where
            only some are, the unknown ones being 0.

        Raises:
            ValueError: there are not L tokens, or one lies outside [0, vocab_size].
        """
        if len(tokens) != self.length:
            raise ValueError(f"{len(tokens)} tokens; an image of {self.size} has {self.length}.")
        check_range(tokens, self.vocab_size)
        grid = tokens.view(self.shape)
        masked = grid == self.vocab_size
        values = self._values(torch.where(masked, 0, grid))
        if not masked.any():
            return values
        known = (~masked).numpy()
        opacity = np.round(255 * known.mean(-1, keepdims=True)).astype(np.uint8)
        return np.concatenate([np.where(known, values, 0).astype(np.uint8), opacity], -1)

    def fit(self, picture: Image.Image, *, holes: bool = True) -> Pixels8:
        """Any picture as an array that `encode` takes; see `fit_picture` for the rule."""
        height, width, _ = self.shape
        return fit_picture(picture, height, width, self.channels, holes=holes)

    def save(self, folder: Path) -> None:
        """Image codecs need no file beside their config."""
        return

    def learned(self) -> Spec:
        """The options of its spec that were found from data; most have none."""
        return {}


@CODECS.register("pixels")
class Pixels(ImageCodec):
    """Each channel value of each pixel is a token: 256 levels, as in the paper."""

    def __init__(self, height: int = 28, width: int = 28, channels: int = 1) -> None:
        super().__init__(256, (height, width, channels), channels)

    def _tokens(self, values: Pixels8) -> Tensor:
        return torch.from_numpy(values.astype(np.int64))

    def _values(self, tokens: Tensor) -> Pixels8:
        return tokens.numpy().astype(np.uint8)


@CODECS.register("palette")
class Palette(ImageCodec):
    """Each pixel is a token: one of K colours.

    Args:
        height: in pixels.
        width: in pixels.
        colours: K colours (red, green, blue) of 0 to 255; or K alone, for a codec that knows only
            its sizes until `train` has found them.

    Attributes:
        found: whether the colours are known.
    """

    def __init__(
        self, height: int = 32, width: int = 32, colours: Sequence[Sequence[int]] | int = 64
    ) -> None:
        known = None if isinstance(colours, int) else np.array(colours, np.uint8)
        if known is not None and (known.ndim != 2 or known.shape[1] != 3):
            raise ValueError("a palette needs at least one colour, each [red, green, blue].")
        count = colours if isinstance(colours, int) else len(colours)
        super().__init__(count, (height, width, 1), 3)
        self.found = known is not None
        self._colours = known

    @classmethod
    def train(
        cls, pictures: Iterable[Image.Image], *, height: int, width: int, colours: int
    ) -> "Palette":
        """The palette of the pictures' most typical colours, by median cut and k-means.

        Raises:
            ValueError: there is no picture.
        """
        rows = [fit_picture(picture, height, width, 3, holes=False) for picture in pictures]
        if not rows:
            raise ValueError("There is no picture to take colours from; give more data.")
        pixels = np.concatenate(rows).reshape(-1, 3)
        pixels = pixels[:: math.ceil(len(pixels) / CLUSTERED_PIXELS)]
        picture = Image.fromarray(pixels[None])
        quantised = picture.quantize(colours, Image.Quantize.MEDIANCUT, kmeans=1)
        palette = np.array(quantised.getpalette()).reshape(-1, 3)
        return cls(height, width, palette[np.unique(np.asarray(quantised))].tolist())

    @property
    def colours(self) -> np.ndarray:
        """(K, 3) uint8; a ValueError if the codec was built from sizes alone."""
        if self._colours is None:
            raise ValueError("this codec has no colours yet; load it from a checkpoint's folder.")
        return self._colours

    def learned(self) -> Spec:
        """The colours."""
        return {"colours": self.colours.tolist()}

    def _tokens(self, values: Pixels8) -> Tensor:
        difference = values[:, :, None].astype(np.int64) - self.colours.astype(np.int64)
        nearest = (difference**2).sum(-1).argmin(-1)
        return torch.from_numpy(nearest)[..., None]

    def _values(self, tokens: Tensor) -> Pixels8:
        colours: Pixels8 = self.colours[tokens[..., 0].numpy()]
        return colours
