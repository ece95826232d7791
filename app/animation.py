"""A run as a moving picture."""

import io
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from app.mosaic import FRESH, MARGIN, MASK, PAPER, Page, Tokens, mosaic
from app.replay import joined, pieces, placed, spelled, walk

WIDTH, SIZE, LEADING = 760, 18, 30
INK, QUIET = "#211d18", "#665e53"
FRAMES, SECONDS, PAUSE = 48, 6.0, 2.5
MAX_HEIGHT = 6000
UNKNOWN = 36.0  # width of a mask whose word is not known
BLENDS = 8

Box = tuple[float, float, float]
"""Where a token stands: left, top, width."""


def animate(lines: list[dict[str, Any]]) -> bytes:
    """A run's transcript as an animated GIF in which no word and no pixel ever moves.

    Args:
        lines: of the transcript, parsed.

    Raises:
        ValueError: the run has no steps, or too many lines of text for a picture.
    """
    last = sum(1 for _ in walk(lines)) - 1
    if last < 1:
        raise ValueError("This run has no steps to show yet; let it go on first.")
    wanted = [round(i * last / FRAMES) for i in range(FRAMES + 1)]
    states = {k: (step, [*tokens]) for k, (step, tokens) in enumerate(walk(lines)) if k in wanted}
    start = [line["start"] for line in lines if "start" in line][-1]
    page: Page = mosaic(start) if start.get("kind") == "image" else _text_page(lines, start)
    pictures: list[Image.Image] = []
    before = states[0][1]
    for step, tokens in (states[k] for k in wanted):
        picture = page(tokens, before)
        readout = f"step {step}/{start['steps']}    masked {tokens.count(None)}/{len(tokens)}"
        place = (MARGIN, picture.height - MARGIN - 6)
        ImageDraw.Draw(picture).text(place, readout, QUIET, _font(14))
        pictures.append(picture)
        before = tokens
    middle, end = pictures[len(pictures) // 2], pictures[-1]
    palette = _palette([middle, end] if start.get("kind") == "image" else [])
    return _gif([p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures])


def _text_page(lines: list[dict[str, Any]], start: dict[str, Any]) -> Page:
    write = _writer(lines)
    shown: list[list[str]] = [[] for _ in range(start["length"])]
    for position, put in (pair for line in lines for pair in placed(line)):
        shown[position].append(write(position, put))
    boxes = _layout(shown)
    height = int(max(top for _, top, _ in boxes)) + LEADING + 2 * MARGIN
    if height > MAX_HEIGHT:
        raise ValueError("This text is too tall for a moving picture. Save it as a page instead.")

    def page(tokens: Tokens, before: Tokens) -> Image.Image:
        picture = Image.new("RGB", (WIDTH, height), PAPER)
        pen = ImageDraw.Draw(picture)
        for k, (box, token, old) in enumerate(zip(boxes, tokens, before, strict=True)):
            _draw_token(pen, box, None if token is None else write(k, token), old is None)
        return picture

    return page


def _writer(lines: list[dict[str, Any]]) -> Callable[[int, int], str]:
    """Gives the text of a token at a position, as it is written beside its last neighbours."""
    words, raw = spelled(lines), pieces(lines)
    *_, (_, last) = walk(lines)
    final = list(last)
    texts = joined(["" if token is None else raw[token] for token in final])
    return lambda position, token: texts[position] if token == final[position] else words[token]


def _layout(shown: list[list[str]]) -> list[Box]:
    """A place for each position, as wide as its widest piece.

    Lines are broken where a piece begins with a space, and between masks.
    """
    boxes: list[Box] = []
    x, y = float(MARGIN), float(MARGIN)
    font = _font(SIZE)
    for texts in shown:
        width = max((font.getlength(text.replace("\n", "")) for text in texts), default=UNKNOWN)
        if (not texts or texts[-1].startswith(" ")) and x + width > WIDTH - MARGIN:
            x, y = float(MARGIN), y + LEADING
        boxes.append((x, y, width))
        x += width
        if texts and "\n" in texts[-1]:
            x, y = float(MARGIN), y + LEADING
    return boxes


def _draw_token(pen: ImageDraw.ImageDraw, box: Box, piece: str | None, fresh: bool) -> None:
    x, y, width = box
    if piece is None:
        pen.rounded_rectangle((x + 2, y + 3, x + max(width, 6) - 1, y + SIZE + 3), 4, MASK)
        return
    pen.text((x, y), piece.replace("\n", ""), FRESH if fresh else INK, _font(SIZE))


@cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _palette(images: Sequence[Image.Image]) -> Image.Image:
    """The few colours and their blends with the paper: one palette, so that nothing flickers.

    The colours of some images too, as far as there is room.
    """
    paper, mask, *inks = (ImageColor.getrgb(name)[:3] for name in (PAPER, MASK, INK, FRESH, QUIET))
    blends = [
        round(below + (above - below) * share / BLENDS)
        for ink in inks
        for share in range(1, BLENDS + 1)
        for below, above in zip(paper, ink, strict=True)
    ]
    values = [*paper, *mask, *blends]
    if images:
        both = Image.fromarray(np.concatenate([np.asarray(image) for image in images]))
        values += both.quantize(256 - len(values) // 3).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette(values)
    return palette


def _gif(pictures: list[Image.Image]) -> bytes:
    first, *rest = pictures
    buffer = io.BytesIO()
    each = round(1000 * SECONDS / len(pictures))
    first.save(
        buffer,
        "GIF",
        save_all=True,
        append_images=rest,
        duration=[each] * (len(pictures) - 1) + [round(1000 * PAUSE)],
        loop=0,
        optimize=True,
    )
    return buffer.getvalue()
