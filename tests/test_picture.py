"""The moving picture of a run."""

import io
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from app.animation import MARGIN, animate
from app.replay import walk

LINES = [
    {"start": {"length": 4, "steps": 3, "given": [[0, [7]]], "w": {"7": "Once"}}},
    {"s": 1, "r": [[3, 10, 0, 9, 693]], "w": {"9": " time"}},
    {"s": 2, "r": [[1, 10, 1, 9, 500, 8, 193]], "w": {"8": " upon"}},
    {"s": 3, "r": [[2, 10, 0, 6, 693]], "w": {"6": " a"}},
]


def frames() -> list[np.ndarray]:
    with Image.open(io.BytesIO(animate(LINES))) as picture:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(picture)]


def test_words_appear_in_their_step_and_never_move() -> None:
    pictures = frames()
    line = slice(MARGIN, MARGIN + 22)  # the one line of text, without the readout below
    given = pictures[0][line, MARGIN : MARGIN + 40]
    assert (given != given[0, 0]).any()
    assert all(np.array_equal(picture[line, MARGIN : MARGIN + 40], given) for picture in pictures)
    changes = [(a[line] != b[line]).any(axis=(0, 2)).nonzero()[0] for a, b in pairwise(pictures)]
    lefts = [place.min() for place in changes if len(place)]
    assert lefts[0] > min(lefts[1:])  # the last word came first: its place was kept


def test_a_branch_goes_on_from_an_edited_frame() -> None:
    """The word put at step 1 and the mask put back are there; a second start is no second run."""
    branch = {
        "length": 4,
        "steps": 2,
        "given": [[0, [7]], [2, [5]]],
        "kept": [],
        "branch": {"of": "x", "step": 1},
        "w": {"5": [32, 195, 169]},
    }
    told = [*LINES[:2], {"start": branch}, {"s": 2, "r": [[1, 10, 0, 8, 693], [3, 10, 0, 9, 693]]}]
    words = {"w": {"8": " upon", "9": " time"}}
    states = [(step, [*tokens]) for step, tokens in walk([*told[:-1], told[-1] | words])]
    assert [step for step, _ in states] == [0, 1, 1, 2]
    assert states[2][1] == [7, None, 5, None]
    assert states[3][1] == [7, 8, 5, 9]
    assert animate([*told[:-1], told[-1] | words])


def test_parts_of_a_character_are_drawn_as_one() -> None:
    """The picture of é in two tokens, once both are there, is that of é in one."""
    start = {"length": 2, "steps": 2, "given": [[0, [1]]], "w": {"1": [195], "2": [169]}}
    parts = [{"start": start}, {"s": 1, "r": [[1, 0, 0, 2, 100]]}]
    whole = [
        {"start": start | {"w": {"1": "é", "2": ""}}},
        {"s": 1, "r": [[1, 0, 0, 2, 100]]},
    ]
    assert animate(parts) == animate(whole)


def test_a_run_that_has_not_begun_says_so() -> None:
    with pytest.raises(ValueError, match="no steps to show"):
        animate(LINES[:1])


def image_run(start: dict[str, Any], *steps: list[tuple[int, int]]) -> list[np.ndarray]:
    """The frames of a run that reveals (position, token) in each step, cut to the images."""
    lines: list[dict[str, Any]] = [{"start": {"kind": "image", "given": []} | start}]
    for index, reveals in enumerate(steps, start=1):
        lines.append({"s": index, "r": [[p, 10, 0, token, 693] for p, token in reveals]})
    with Image.open(io.BytesIO(animate(lines))) as picture:
        pages = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(picture)]
    return [page[MARGIN : -2 * MARGIN, MARGIN:-MARGIN].astype(int) for page in pages]


def test_pixels_stand_where_they_belong_and_masks_are_a_pattern() -> None:
    first, *_, last = image_run(
        {"length": 6, "steps": 2, "shape": [2, 3, 1]}, [(4, 200)], [(k, 40 * k) for k in (0, 1, 2)]
    )
    side = 480 // 3
    cells = [last[y : y + side, x : x + side] for y in (0, side) for x in (0, side, 2 * side)]
    for cell, value in zip(cells, [0, 40, 80, None, 200, None], strict=True):
        inner = cell[2:-2, 2:-2].reshape(-1, 3)
        if value is None:
            assert len(np.unique(inner, axis=0)) == 2
        else:
            assert abs(inner - value).max() <= 2
    assert len(np.unique(first.reshape(-1, 3), axis=0)) == 2  # masks alone


def test_channels_that_are_known_are_stripes_until_all_are() -> None:
    run = image_run({"length": 3, "steps": 2, "shape": [1, 1, 3]}, [(0, 250), (2, 130)], [(1, 60)])
    half = next(page for page in run if page[240, 20, 0] > 200 and page[240, 20, 1] < 10)
    assert abs(half[240, 450] - [0, 0, 130]).max() <= 4
    assert len(np.unique(half[200:280, 200:280].reshape(-1, 3), axis=0)) == 2
    assert abs(run[-1] - [250, 60, 130]).max() <= 4


def test_copies_stand_side_by_side_in_the_colours_of_their_palette() -> None:
    start = {"length": 4, "steps": 1, "shape": [1, 1, 1], "copies": 4}
    palette = {"palette": ["ff0000", "00ff00", "0000ff", "ffffff"]}
    *_, last = image_run(start | palette, [(k, k) for k in range(4)])
    corners = [last[y, x] for y in (20, -20) for x in (20, -20)]
    for corner, colour in zip(corners, palette["palette"], strict=True):
        assert abs(corner - list(bytes.fromhex(colour))).max() <= 6  # white is the paper's
