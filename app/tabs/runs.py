"""How a tab starts runs, shows them in its players, and stops them."""

import html
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import gradio as gr

from app.lane import Lane
from app.live import perform, perform_all
from app.shelf import Shelf
from app.state import Request
from app.tabs.form import Form, chosen


@contextmanager
def told() -> Iterator[None]:
    """A ValueError inside becomes a message with the same text."""
    try:
        yield
    except ValueError as error:
        raise gr.Error(html.escape(str(error), quote=False), print_exception=False) from error


def stop_button(lane: Lane, tab: str) -> gr.Button:
    """The button that stops the visitor's runs; it wakes while there is one."""

    def stop_runs(request: gr.Request) -> None:
        lane.stop(request.session_hash or "")

    stop = gr.Button("Stop", elem_id=f"{tab}-stop", interactive=False, scale=0, min_width=80)
    stop.click(stop_runs, queue=False, show_progress="hidden", api_visibility="private")
    return stop


def streamed(
    shelf: Shelf, lane: Lane, asked: Request, request: gr.Request, *, apart: bool = False
) -> Iterator[tuple[Any, ...]]:
    """A run as outputs: a transcript for each player, the seed, and a Stop that wakes.

    Args:
        shelf: where the model is.
        lane: where the run waits.
        asked: the run.
        request: whose run it is.
        apart: whether each copy has a player of its own; else one shows them all.
    """
    visitor = request.session_hash or ""
    together = ((text,) for text in perform(shelf, lane, asked, visitor))
    yield from shown(perform_all(shelf, lane, asked, visitor) if apart else together, asked.seed)


def shown(texts: Iterator[tuple[str, ...]], seed: int) -> Iterator[tuple[Any, ...]]:
    """Growing texts as outputs: each of them, the seed, and a Stop that wakes."""
    once = (seed, gr.update(interactive=True))
    with suppress(ValueError):  # the texts have told it
        for text in texts:
            yield *text, *once
            once = (gr.skip(), gr.skip())


def wire(
    start: Callable[..., Any],
    run: Callable[..., Iterator[Any]],
    inputs: Sequence[gr.components.Component],
    outputs: Sequence[gr.components.Component],
) -> None:
    """Let an event start runs.

    Args:
        start: the event's listener.
        run: what it starts, as `streamed`.
        inputs: of the run.
        outputs: of the run; the last is the Stop button, which sleeps again when the run ends.
    """
    start(
        run,
        list(inputs),
        list(outputs),
        preprocess=False,  # Settings checks what comes, and says which value is wrong
        show_progress="hidden",
        concurrency_limit=None,  # the lane orders runs, and tells each how many are ahead
        api_visibility="private",
    ).then(
        lambda: gr.update(interactive=False),
        outputs=outputs[-1],
        show_progress="hidden",
        queue=False,
        api_visibility="private",
    )


def wire_branches(
    shelf: Shelf,
    lane: Lane,
    form: Form,
    views: Sequence[gr.HTML],
    stop: gr.Button,
) -> None:
    """Let each player's "Go on from here" start a run that is shown in the same player."""

    def resume(request: gr.Request, event: gr.EventData, *values: Any) -> Iterator[tuple[Any, ...]]:
        with told():
            asked = chosen(form, values).resume(event._data)
            yield from streamed(shelf, lane, asked, request)

    for view in views:
        wire(view.resume, resume, form.inputs, [view, form.seed, stop])
