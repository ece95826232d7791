"""The images of a run side by side and enlarged, masks as a pattern: as the player shows them."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageColor

MARGIN, GAP, SIDE = 28, 8, 480
PAPER, MASK, FRESH, LINE = "#fffdf9", "#d9d2c4", "#0b6b62", "#b3a68f"
HATCH = 5  # period of the pattern
FRAMED = 5  # least side of a pixel that gets a frame when it is new

Tokens = Sequence[int | None]
Page = Callable[[Tokens, Tokens], Image.Image]
"""Draws the tokens of a step, None for a mask; the second ones are those of the step before."""


def mosaic(start: dict[str, Any]) -> Page:
    """What draws the steps of a run of images, from the start of its transcript."""
    height, width, channels = start["shape"]
    copies = start.get("copies", 1)
    columns = math.ceil(math.sqrt(copies))
    rows = math.ceil(copies / columns)
    scale = max(1, (SIDE - GAP * (columns - 1)) // (columns * width))
    palette = start.get("palette")
    table = np.array([list(bytes.fromhex(c)) for c in palette], np.uint8) if palette else None
    whole = (
        2 * MARGIN + columns * (width * scale + GAP) - GAP,
        3 * MARGIN + rows * (height * scale + GAP) - GAP,
    )

    def page(tokens: Tokens, before: Tokens) -> Image.Image:
        grids = (copies, height, width, channels)
        now, old = (
            np.array([-1 if t is None else t for t in one]).reshape(grids)
            for one in (tokens, before)
        )
        picture = Image.new("RGB", whole, PAPER)
        for copy in range(copies):
            x = MARGIN + copy % columns * (width * scale + GAP)
            y = MARGIN + copy // columns * (height * scale + GAP)
            drawn = _draw(now[copy], old[copy], table, scale)
            picture.paste(Image.fromarray(drawn), (x, y))
        return picture

    return page


def _draw(now: np.ndarray, old: np.ndarray, table: np.ndarray | None, scale: int) -> np.ndarray:
    """Tokens (H, W, C), -1 for a mask, as (H scale, W scale, 3).

    A pixel of which a channel is unknown shows each channel as a stripe.
    """
    known = now >= 0
    colours = _colours(np.maximum(now, 0), table)
    if now.shape[-1] == 1:
        drawn, shown = _enlarged(colours, scale), _enlarged(known[..., 0], scale)
    else:
        stripe = np.arange(now.shape[1] * scale) % scale * 3 // scale
        single = np.eye(3, dtype=np.uint8)[stripe] * _enlarged(colours, scale)
        full = _enlarged(np.all(known, -1), scale)
        shown = np.take_along_axis(_enlarged(known, scale), stripe[None, :, None], -1)[..., 0]
        drawn = np.where(full[..., None], _enlarged(colours, scale), single)
    drawn = np.where(shown[..., None], drawn, _hatch(*shown.shape))
    fresh = np.any(known & (old < 0), -1)
    if scale >= FRAMED and not known.all():  # a finished image is shown without frames
        frame = np.ones((scale, scale), bool)
        frame[1:-1, 1:-1] = False
        edges = _enlarged(fresh, scale) & np.tile(frame, now.shape[:2])
        drawn = np.where(edges[..., None], ImageColor.getrgb(FRESH), drawn)
    return drawn.astype(np.uint8)


def _colours(tokens: np.ndarray, table: np.ndarray | None) -> np.ndarray:
    """Tokens (H, W, C) as (H, W, 3)."""
    if table is not None:
        return np.asarray(table[tokens[..., 0]])
    return np.repeat(tokens, 3 // tokens.shape[-1], -1).astype(np.uint8)


def _enlarged(array: np.ndarray, scale: int) -> np.ndarray:
    return array.repeat(scale, 0).repeat(scale, 1)


def _hatch(height: int, width: int) -> np.ndarray:
    """Diagonal lines, (height, width, 3)."""
    line = np.add.outer(np.arange(height), np.arange(width)) % HATCH < 2
    colours = [ImageColor.getrgb(name)[:3] for name in (MASK, LINE)]
    return np.array(colours, np.uint8).take(line, 0)
