"""The moving picture of a run."""

import io
from itertools import pairwise

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
