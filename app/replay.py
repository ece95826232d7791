"""Trajectories read back: from a file, or from a browser, which may send anything.

What the lines hold is told in app.render.
"""

import json
import math
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.render import FORMAT, dump
from app.state import MAX_COPIES, MAX_TOKENS, check_whole

MAX_SIZE = 4_000_000  # characters
MAX_PIECE = 200  # characters
LEVELS = 256  # of a channel

Json = dict[str, Any]


def read_trajectory(path: Path) -> str:
    """A stored trajectory as the string that the player reads.

    Raises:
        ValueError: the file is not a trajectory of this format.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(
                f"{path} has format {document['format']}; this version reads {FORMAT}."
            )
        lines = [dump(line) for line in document["lines"]]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not a trajectory; make one with python -m app.example."
        ) from error
    return "".join(line + "\n" for line in lines)


def read_transcript(text: object) -> list[Json]:
    """The lines of a transcript, each of them checked.

    Raises:
        ValueError: this is no transcript of this format, or a very long one.
    """
    if not isinstance(text, str) or len(text) > MAX_SIZE:
        raise ValueError(f"Give a run as text, of at most {MAX_SIZE:,} characters.")
    try:
        lines = [json.loads(line) for line in text.split("\n") if line]
        if lines[0]["v"] != FORMAT:
            raise ValueError(f"it has format {lines[0]['v']}; this version reads {FORMAT}.")
        _check(lines)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise ValueError(f"This is no run that can be shown: {str(error)[:200]}") from error
    return lines


def _check(lines: Sequence[Json]) -> None:
    words = spelled(lines)
    tokens: Container[int] = words
    if any(len(piece) > MAX_PIECE for piece in words.values()):
        raise ValueError(f"a piece of text has more than {MAX_PIECE} characters.")
    length = 0
    for line in lines:
        if "start" in line:
            before, length = length, line["start"]["length"]
            check_whole("length", length, before or 1, before or MAX_TOKENS)
            check_whole("steps", line["start"]["steps"], 0, 10**9)
            if line["start"].get("kind") == "image":
                tokens = range(_check_image(line["start"]))
        for position in line.get("m", []):
            check_whole("a position", position, 0, length - 1)
        for position, token in placed(line):
            check_whole("a position", position, 0, length - 1)
            if token not in tokens:
                raise ValueError(f"token {token} is nowhere spelled.")
        check_whole("a step", line.get("s", 0), 0, 10**9)


def _check_image(start: Json) -> int:
    """How many tokens there are, if the sizes and colours of an image fit together."""
    shape, palette = start["shape"], start.get("palette")
    for size in shape:
        check_whole("a size", size, 1, MAX_TOKENS)
    check_whole("copies", start.get("copies", 1), 1, MAX_COPIES)
    if len(shape) != 3 or math.prod(shape) * start.get("copies", 1) != start["length"]:
        raise ValueError(f"{start['length']} tokens are no images of shape {shape}.")
    if shape[2] != 1 and (palette or shape[2] != 3):
        raise ValueError(f"images have 1 or 3 tokens a pixel, not {shape[2]}.")
    if palette and any(len(bytes.fromhex(colour)) != 3 for colour in palette):
        raise ValueError("a colour of a palette has three bytes.")
    return len(palette) if palette else LEVELS


def placed(line: Json) -> Iterator[tuple[int, int]]:
    """The positions at which a line puts tokens, each with its token."""
    start = line.get("start", {})
    for first, there in [*start.get("given", []), *start.get("kept", [])]:
        yield from enumerate(there, start=first)
    for position, _, place, *told in line.get("r", []):
        yield position, told[2 * place]


def walk(lines: Iterable[Json]) -> Iterator[tuple[int, list[int | None]]]:
    """Step and tokens, None for a mask, at the start and after each step that changed something.

    The list is the same one each time; copy what is to be kept. A second start in the midst is a
    branch, begun from an edited frame.
    """
    tokens: list[int | None] = []
    for line in lines:
        start = line.get("start")
        if start:
            tokens = [None] * start["length"]
        elif "s" not in line:
            continue
        for position in line.get("m", []):
            tokens[position] = None
        for position, token in placed(line):
            tokens[position] = token
        yield start.get("branch", {}).get("step", 0) if start else line["s"], tokens


def pieces(lines: Iterable[Json]) -> dict[int, str | bytes]:
    """Each token of a run: its text, or its bytes if it holds parts of characters."""
    words = (line.get("w") or line.get("start", {}).get("w") or {} for line in lines)
    return {
        int(token): piece if isinstance(piece, str) else bytes(piece)
        for told in words
        for token, piece in told.items()
    }


def spelled(lines: Iterable[Json]) -> dict[int, str]:
    """The text of each token of a run; "�" for one that holds just a part of a character."""
    return {token: _text(piece) for token, piece in pieces(lines).items()}


def joined(row: Sequence[str | bytes]) -> list[str]:
    """The text at each place; where pieces make a character together, it stands at the first."""
    texts = [_text(piece) for piece in row]
    place = 0
    while place < len(row):
        for size in range(2, 5):  # no character has more bytes
            part = row[place : place + size]
            whole = b"".join(piece for piece in part if isinstance(piece, bytes))
            with suppress(UnicodeDecodeError):
                if all(isinstance(piece, bytes) for piece in part) and len(part) == size:
                    texts[place : place + size] = [whole.decode(), *[""] * (size - 1)]
                    place += size - 1
                    break
        place += 1
    return texts


def _text(piece: str | bytes) -> str:
    return piece if isinstance(piece, str) else piece.decode(errors="replace")
