"""A run as a moving picture: python -m app.picture TRAJECTORY.json OUT.gif."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from app.render import pieces, read_trajectory, revealed

WIDTH, MARGIN, SIZE, LEADING = 760, 28, 18, 30
PAPER, INK, MASK, FRESH, QUIET = "#fffdf9", "#211d18", "#d9d2c4", "#0b6b62", "#665e53"
FRAMES, SECONDS, PAUSE = 48, 6.0, 2.5

Box = tuple[float, float, float]
"""Where a token stands: left, top, width."""


def animate(lines: list[dict[str, Any]]) -> bytes:
    """A run's transcript as an animated GIF in which no word ever moves.

    Args:
        lines: of the transcript, parsed.

    Raises:
        ValueError: the transcript has no start or no steps.
    """
    states = list(_states(lines))
    if len(states) < 2:
        raise ValueError("This run has no steps to show; export it once it has begun.")
    words = {token: piece for line in lines for token, piece in pieces(line).items()}
    final = [words.get(token, "") if token is not None else "" for token in states[-1][1]]
    font = ImageFont.load_default(SIZE)
    boxes = _layout(final, font)
    height = int(max(top for _, top, _ in boxes)) + LEADING + 2 * MARGIN
    start = [line["start"] for line in lines if "start" in line][-1]
    chosen = [states[round(i * (len(states) - 1) / FRAMES)] for i in range(FRAMES + 1)]
    pictures, before = [], chosen[0][1]
    for step, tokens in chosen:
        picture = Image.new("RGB", (WIDTH, height), PAPER)
        pen = ImageDraw.Draw(picture)
        for box, token, old in zip(boxes, tokens, before, strict=True):
            _draw_token(pen, box, None if token is None else words[token], old is None, font)
        left = sum(token is None for token in tokens)
        readout = f"step {step}/{start['steps']}    masked {left}/{len(tokens)}"
        pen.text((MARGIN, height - MARGIN - 6), readout, QUIET, ImageFont.load_default(14))
        pictures.append(picture)
        before = tokens
    return _gif(pictures)


def _states(lines: list[dict[str, Any]]) -> Iterator[tuple[int, list[int | None]]]:
    """Step and tokens, None for a mask, at the start and after each step that changed something."""
    tokens: list[int | None] = []
    for line in lines:
        if "start" in line:  # another one in the midst is a branch, begun from an edited frame
            start = line["start"]
            tokens = [None] * start["length"]
            for first, there in [*start["given"], *start.get("kept", [])]:
                tokens[first : first + len(there)] = there
            yield start.get("branch", {}).get("step", 0), list(tokens)
        elif "s" in line:
            for position in line.get("m", []):
                tokens[position] = None
            for position, token in revealed(line):
                tokens[position] = token
            yield line["s"], list(tokens)


def _layout(pieces: list[str], font: Any) -> list[Box]:
    """A place for each piece, lines broken where a piece begins with a space."""
    boxes: list[Box] = []
    x, y = float(MARGIN), float(MARGIN)
    for piece in pieces:
        width = font.getlength(piece.replace("\n", ""))
        if piece.startswith(" ") and x + width > WIDTH - MARGIN:
            x, y = float(MARGIN), y + LEADING
        boxes.append((x, y, width))
        x += width
        if "\n" in piece:
            x, y = float(MARGIN), y + LEADING
    return boxes


def _draw_token(
    pen: ImageDraw.ImageDraw, box: Box, piece: str | None, fresh: bool, font: Any
) -> None:
    x, y, width = box
    if piece is None:
        pen.rounded_rectangle((x + 2, y + 3, x + max(width, 6) - 1, y + SIZE + 3), 4, MASK)
        return
    pen.text((x, y), piece.replace("\n", ""), FRESH if fresh else INK, font)


def _gif(pictures: list[Image.Image]) -> bytes:
    colours = pictures[len(pictures) // 2].quantize(32)  # one palette, so that nothing flickers
    first, *rest = (p.quantize(palette=colours, dither=Image.Dither.NONE) for p in pictures)
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


def main() -> None:
    """Turn a stored trajectory into a GIF."""
    if len(sys.argv) != 3:
        sys.exit("usage: python -m app.picture TRAJECTORY.json OUT.gif")
    source, out = map(Path, sys.argv[1:])
    try:
        lines = [json.loads(line) for line in read_trajectory(source).splitlines()]
        out.write_bytes(animate(lines))
    except (OSError, ValueError) as error:
        sys.exit(f"app.picture: {error}")


if __name__ == "__main__":
    main()
