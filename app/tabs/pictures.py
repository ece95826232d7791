"""What tab Infill has for pictures: a painter in place of the editor, and results beside it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from app.lane import Lane
from app.painting import read_painting
from app.shelf import Shelf
from app.tabs import easel
from app.tabs.base import questions, show_runs
from app.tabs.form import Form, chosen
from app.tabs.runs import streamed, told, wire, wire_branches

COUNTS = (1, 3)
LAST = """() => {
  let found = null;
  const take = (picture) => { found = picture; };
  const watched = document.querySelector('#watch-player .md-mount');
  watched?.dispatchEvent(new CustomEvent('sample', { detail: take }));
  return found;
}"""
USE = """(picture) => {
  const mount = document.querySelector('#infill-painter .md-mount');
  mount.dispatchEvent(new CustomEvent('picture', { detail: picture }));
  mount.scrollIntoView({ block: 'nearest' });
}"""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """The components that say what is to be done with a picture.

    Attributes:
        painter: the picture, and what of it is masked.
        count: how many results.
        form: how to sample.
    """

    painter: gr.HTML
    count: gr.Radio
    form: Form


def show_painter(shelf: Shelf) -> gr.HTML:
    """The painter, which waits to be told of a model."""
    with gr.Column(elem_classes="md-of-image"):
        return easel.show_painter(shelf, elem_id="infill-painter", last=LAST)


def count_menu() -> gr.Radio:
    """How many results a picture gets."""
    return gr.Radio(
        [(str(count), count) for count in COUNTS],
        value=COUNTS[-1],
        label="Results",
        min_width=120,
        elem_id="infill-count",
        elem_classes="md-of-image",
    )


def show_result(shelf: Shelf, lane: Lane) -> gr.HTML:
    """The player that shows the picture before, the mask, and the results."""
    with gr.Row(elem_classes="md-alternatives md-of-image"):
        return show_runs(
            elem_id="infill-picture",
            questions=questions(shelf, lane),
            use=USE,
        )


def wire_painter(
    shelf: Shelf,
    lane: Lane,
    wishes: Wishes,
    go: gr.Button,
    result: gr.HTML,
    stop: gr.Button,
) -> None:
    """Let a button fill in what is painted over."""
    form = wishes.form

    def fill(
        request: gr.Request,
        painting: object,
        copies: int,
        name: str | None,
        label: str,
        *values: Any,
    ) -> Iterator[tuple[Any, ...]]:
        with told():
            image = read_painting(painting, shelf.image_codec(name))
            asked = chosen(form, values).picture(name, image, label=label or None, copies=copies)
            yield from streamed(shelf, lane, asked, request)

    inputs = [wishes.painter, wishes.count, form.model, form.label, *form.inputs]
    wire(go.click, fill, inputs, [result, form.seed, stop])
    wire_branches(shelf, lane, form, [result], stop)
