"""Trajectories read back, whoever sends them; and links, there and back."""

import json
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pytest
import torch
from tiny_text import save_tiny_checkpoint

from app.lane import Lane
from app.link import MAX_BYTES, read_link, write_link
from app.live import complete, perform
from app.questions import draw
from app.replay import MAX_SIZE, joined, placed, read_transcript, walk
from app.shelf import Shelf
from app.state import Draft, Request, Settings
from mdcore.sampling import GRIDS, SAMPLERS


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    home = save_tiny_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny")
    return Shelf([home], dtype=torch.float32)


def ask(text: str = "The", *, fill: bool = True, **settings: Any) -> Request:
    return Settings(**({"steps": 16} | settings)).request("tiny", text, fill=fill)


def transcript(shelf: Shelf, request: Request) -> str:
    return list(perform(shelf, Lane(), request, "me"))[-1]


@pytest.mark.parametrize("sampler", ["ancestral", "remask_rescale"])
def test_a_walk_ends_with_the_text(shelf: Shelf, sampler: str) -> None:
    request = ask(sampler=sampler, seed=3)
    result = complete(shelf, Lane(), request, "me")
    lines = read_transcript(transcript(shelf, request))
    steps, tokens = zip(*((step, [*tokens]) for step, tokens in walk(lines)), strict=True)
    assert list(steps) == sorted(set(steps))
    assert steps[0] == 0
    assert steps[-1] == 16
    codec = shelf.load("tiny").codec
    assert codec.decode(torch.tensor(tokens[-1])) == result["text"]


def test_a_text_with_every_kind_of_line_break_is_one_transcript(shelf: Shelf) -> None:
    """JSON leaves U+2028 and U+0085 as they are: they end no line of a transcript."""
    request = ask("a\u2028b\u0085c\x0bd [MASK]", fill=False)
    assert complete(shelf, Lane(), request, "me")["text"].startswith("a\u2028b\u0085c\x0bd")
    assert read_transcript(transcript(shelf, request))[-1]["state"] == "done"


FIRST = {"run": "x", "v": 2}
START = {"start": {"length": 2, "steps": 1, "given": [[0, [7]]], "w": {"7": "a", "8": "b"}}}
STEP = {"s": 1, "r": [[1, 10, 0, 8, 693]]}


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["text"],
        [5],
        [{"run": "x"}],
        [{"run": "x", "v": 1}, START, STEP],
        [FIRST, {"start": {"length": 0, "steps": 1}}],
        [FIRST, {"start": {"length": 10**9, "steps": 1}}],
        [FIRST, {"start": {"length": 2, "steps": "many", "given": []}}],
        [FIRST, {"start": {"length": 2, "steps": 1, "given": [[1, [7, 7]]], "w": {"7": "a"}}}],
        [FIRST, START, START | {"start": START["start"] | {"length": 3}}],
        [FIRST, START, {"s": "x" * 99}],
        [FIRST, START, {"s": 1, "m": [-1]}],
        [FIRST, START, {"s": 1, "m": [2]}],
        [FIRST, START, {"s": 1, "m": 1}],
        [FIRST, START, {"s": 1, "r": [[2, 10, 0, 8, 693]]}],
        [FIRST, START, {"s": 1, "r": [[1, 10, 0, 9, 693]]}],
        [FIRST, START, {"s": 1, "r": [[1, 10, 5, 8, 693]]}],
        [FIRST, START, {"s": 1, "r": [[1, 10, 0, [8], 693]]}],
        [FIRST, START, {"s": 1, "r": [[1]]}],
        [FIRST, START, {"s": 1, "w": {"9": "x" * 500}}],
        [FIRST, START, {"s": 1, "w": {"9": [300]}}],
        [FIRST, START, {"s": 1, "w": {"nine": "x"}}],
        [FIRST, START, {"s": 1, "w": ["x"]}],
    ],
)
def test_what_is_no_run_is_refused(lines: list[Any]) -> None:
    with pytest.raises(ValueError, match="This is no run that can be shown"):
        read_transcript("\n".join(json.dumps(line) for line in lines))


@pytest.mark.parametrize("text", [None, 5, ["{}"], "x" * (MAX_SIZE + 1)])
def test_what_is_no_text_or_too_much_of_it_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="Give a run as text"):
        read_transcript(text)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "\x00", "NaN"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="This is no run"):
        read_transcript(text)


def test_a_picture_is_drawn_of_a_run_and_of_nothing_else() -> None:
    pen = Lock()
    told = [FIRST, START, STEP]
    assert draw("\n".join(map(json.dumps, told)), pen)["gif"]
    with pytest.raises(ValueError, match="no steps to show yet"):
        draw("\n".join(map(json.dumps, told[:2])), pen)
    tall = {"start": {"length": 999, "steps": 1, "given": [[0, [7] * 999]], "w": {"7": "a\n"}}}
    with pytest.raises(ValueError, match="too tall for a moving picture"):
        draw("\n".join(map(json.dumps, [FIRST, tall, {"s": 1}])), pen)
    assert not pen.locked()


def test_pictures_are_drawn_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.questions.PATIENCE", 0.01)
    pen = Lock()
    with pen, pytest.raises(ValueError, match="Try again in a moment"):
        draw("\n".join(map(json.dumps, [FIRST, START, STEP])), pen)


# links


@pytest.mark.parametrize("sampler", list(SAMPLERS))
@pytest.mark.parametrize("grid", list(GRIDS))
@pytest.mark.parametrize("fill", [True, False])
def test_a_link_makes_the_same_request_again(sampler: str, grid: str, fill: bool) -> None:
    """All of it but what is not a link's: the text keeps each space and line break."""
    settings = {"steps": 77, "temperature": 0.85, "top_p": 0.9, "seed": 2**32 - 1}
    request = ask("é & [[b|3]]\n c?=#", fill=fill, sampler=sampler, grid=grid, **settings)
    arrival = read_link(write_link(request, "tiny"), {"other": (), "tiny": ()})
    assert arrival is not None
    assert arrival.problems == []
    assert arrival.tab == ("watch" if fill else "infill")
    values = dict(arrival.values)
    model, text = values.pop("model"), values.pop("text")
    assert Settings(**values).request(model, text, fill=fill) == request


def test_an_address_without_a_link_is_none() -> None:
    assert read_link({"__theme": "dark", "utm": "x"}, {"tiny": ()}) is None


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"tab": "painting"}, "Unknown tab 'painting'"),
        ({"model": "../etc"}, "Unknown model '../etc'. Known: tiny"),
        ({"sampler": "best"}, "Unknown sampler 'best'"),
        ({"grid": ""}, "Unknown grid ''"),
        ({"steps": "0"}, "steps is '0'; give a whole number from 1 to 1,024"),
        ({"steps": "1e9"}, "steps is '1e9'"),
        ({"steps": "٣"}, "steps is '٣'"),
        ({"steps": "9" * 5000}, "steps is '999"),
        ({"seed": "-1"}, "seed is '-1'; give a whole number from 0 to 4,294,967,295"),
        ({"temperature": "nan"}, "temperature is 'nan'; give a number from 0 to 2"),
        ({"temperature": "inf"}, "temperature is 'inf'"),
        ({"top_p": "0"}, "top_p is '0.0'; give a number from 0.05 to 1"),
        ({"prompt": "x" * 2049}, "prompt has 2,049 bytes; a link holds 2,048"),
        ({"prompt": "€" * 700}, "prompt has 2,100 bytes"),
        ({"tab": "infill", "prompt": "x"}, "prompt belongs to another tab than infill"),
    ],
)
def test_a_bad_parameter_is_named_and_the_others_are_kept(
    parameters: dict[str, str], message: str
) -> None:
    arrival = read_link({"grid": "cosine"} | parameters, {"tiny": ()})
    assert arrival is not None
    (problem,) = arrival.problems
    assert problem.startswith(message)
    if "grid" not in parameters:
        assert arrival.values == {"grid": "cosine"}


def test_what_a_link_cannot_hold_says_so(shelf: Shelf) -> None:
    start = next(
        line["start"]
        for line in read_transcript(transcript(shelf, ask("\n" * 10)))
        if "start" in line
    )
    assert start["link"] == write_link(ask("\n" * 10), "tiny")
    with pytest.raises(ValueError, match="a link holds 2,048"):
        write_link(ask("x" * (MAX_BYTES + 1)), "tiny")
    draft = Draft(run="x", step=1, t=0.5, tokens=(None,), given=frozenset())
    with pytest.raises(ValueError, match="A link cannot hold edited frames"):
        write_link(Request(checkpoint=None, sampler={}, raw="", seed=0, draft=draft), "tiny")
    with pytest.raises(ValueError, match="A link cannot hold an image"):
        write_link(Settings().picture(None, np.zeros((8, 6, 2), np.uint8)), "tiny")


def test_a_link_makes_the_same_images_again() -> None:
    settings = {"steps": 77, "guidance": 2.5, "seed": 3}
    request = Settings(**settings).picture("tiny", label="dog", copies=9)
    arrival = read_link(write_link(request, "tiny"), {"tiny": ("cat", "dog")})
    assert arrival is not None
    assert arrival.problems == []
    values = dict(arrival.values)
    label, images, model = (values.pop(name) for name in ("label", "images", "model"))
    assert Settings(**values).picture(model, label=label, copies=images) == request
    plain = write_link(Settings().picture("tiny"), "tiny")
    assert "label" not in plain


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"label": "cow"}, "label is 'cow'; name a class of the link's model"),
        ({"images": "5"}, "Unknown images '5'. Known: 1, 4, 9, 16"),
        ({"guidance": "6"}, "guidance is '6.0'; give a number from 0 to 5"),
    ],
)
def test_what_is_wrong_with_a_link_to_images(parameters: dict[str, str], message: str) -> None:
    arrival = read_link({"model": "tiny"} | parameters, {"tiny": ("cat", "dog")})
    assert arrival is not None
    (problem,) = arrival.problems
    assert problem.startswith(message)
    assert arrival.values == {"model": "tiny"}


# images


IMAGE = {"kind": "image", "length": 6, "steps": 2, "shape": [1, 2, 3], "given": [[0, [7, 255]]]}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"shape": [1, 2, 2]}, "6 tokens are no images of shape"),
        ({"shape": [1, 2]}, "6 tokens are no images of shape"),
        ({"shape": [3, 1, 2]}, "images have 1 or 3 tokens a pixel, not 2"),
        ({"shape": [0, 2, 3]}, "a size is '0'"),
        ({"copies": 2}, "6 tokens are no images of shape"),
        ({"copies": 10**9}, "copies is '1000000000'"),
        ({"palette": ["000000"]}, "images have 1 or 3 tokens a pixel, not 3"),
        ({"shape": [2, 3, 1], "palette": ["0000"] * 256}, "a colour of a palette has three bytes"),
        ({"shape": [2, 3, 1], "palette": ["00000x"] * 256}, "non-hexadecimal"),
        ({"shape": [2, 3, 1], "palette": ["000000"] * 8}, "token 255 is nowhere spelled"),
        ({"given": [[0, [256]]]}, "token 256 is nowhere spelled"),
    ],
)
def test_a_run_of_images_that_is_none_is_refused(changed: dict[str, Any], message: str) -> None:
    lines = [FIRST, {"start": IMAGE}]
    assert read_transcript("\n".join(map(json.dumps, lines))) == lines
    wrong = [FIRST, {"start": IMAGE | changed}]
    with pytest.raises(ValueError, match=message):
        read_transcript("\n".join(map(json.dumps, wrong)))


def test_the_stored_examples_are_of_this_format(shelf: Shelf) -> None:
    """Even to the parts of their start: a player may need any of them."""
    home = Path(__file__).parent.parent / "assets" / "examples"
    whole = read_transcript(transcript(shelf, ask()))
    parts = next(line["start"] for line in whole if "start" in line).keys()
    for path in home.rglob("*.json"):
        document = json.loads(path.read_text(encoding="utf-8"))
        lines = read_transcript("\n".join(map(json.dumps, document["lines"])))
        reveals = {position for line in lines for position, _ in placed(line)}
        assert len(reveals) == lines[1]["start"]["length"]
        assert parts - {"note"} <= lines[1]["start"].keys()


@pytest.mark.parametrize(
    ("row", "texts"),
    [
        ([b"\xc3", b"\xa9", " a"], ["é", "", " a"]),
        ([" ", b"\xe2\x80", b"\x9c", b"\xc3", b"\xa9"], [" ", "“", "", "é", ""]),
        ([b"\xf0", b"\x9f", b"\xa6", b"\x8a"], ["🦊", "", "", ""]),
        ([b"\xc3", "a", b"\xa9"], ["\N{REPLACEMENT CHARACTER}", "a", "\N{REPLACEMENT CHARACTER}"]),
        ([b"\xa9", b"\xc3", b"\xa9"], ["\N{REPLACEMENT CHARACTER}", "é", ""]),
        ([], []),
    ],
)
def test_parts_of_characters_are_joined(row: list[str | bytes], texts: list[str]) -> None:
    assert joined(row) == texts
