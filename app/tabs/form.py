"""What every tab asks of a visitor who samples: model, sampler, seed; and how a run is stopped."""

import html
import inspect
import random
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import gradio as gr

from app.lane import Lane
from app.live import perform_all
from app.shelf import Shelf
from app.state import MAX_SEED, OFFERED, Request, Settings
from mdcore.sampling import GRIDS, SAMPLERS

ROLL = f"() => [Math.floor(Math.random() * {MAX_SEED}), true]"


@dataclass(frozen=True)
class Menu:
    """The models that can be chosen now.

    Attributes:
        choices: label and name of each.
        problems: HTML that tells of those that cannot, and why.
    """

    choices: list[tuple[str, str]]
    problems: str

    def shown(self, name: str | None = None) -> dict[str, Any]:
        """What a dropdown shows: these choices, and that one or the first of them chosen."""
        first = self.choices[0][1] if self.choices else None
        return {"choices": self.choices, "value": name or first, "visible": bool(self.choices)}


@dataclass(frozen=True, kw_only=True)
class Form:
    """The components in which a visitor says how to sample.

    Attributes:
        model: names a checkpoint.
        menu: what the model was chosen from when the page was built.
        problems: tells which checkpoints cannot be used.
        sampling: steps, sampler, grid, temperature, top-p, seed and whether to keep it.
        seed: the one of them that shows the seed that was used.
    """

    model: gr.Dropdown
    menu: Menu
    problems: gr.HTML
    sampling: list[gr.components.Component]
    seed: gr.Number


def sampling_form(shelf: Shelf, tab: str) -> Form:
    """The form; the ids of its parts begin with the tab's name."""
    menu = model_menu(shelf)
    model = gr.Dropdown(label="Model", elem_id=f"{tab}-model", filterable=False, **menu.shown())
    problems = gr.HTML(
        menu.problems,
        visible=bool(menu.problems),
        elem_classes="md-warning",
        elem_id=f"{tab}-problems",
    )
    sampling = _sampling_form(tab)
    seed, lock = _seed_row(tab)
    return Form(
        model=model, menu=menu, problems=problems, sampling=[*sampling, seed, lock], seed=seed
    )


def chosen(*values: Any) -> Settings:
    """The settings in a form; a seed that is not kept is rolled anew.

    Raises:
        ValueError: a value is of the wrong type or out of range.
    """
    steps, sampler, grid, temperature, top_p, number, locked = values
    return Settings(
        steps=steps,
        sampler=sampler,
        grid=grid,
        temperature=temperature,
        top_p=top_p,
        seed=number if locked else random.randrange(MAX_SEED),
    )


@contextmanager
def told() -> Iterator[None]:
    """A ValueError inside becomes a message with the same text."""
    try:
        yield
    except ValueError as error:
        raise gr.Error(html.escape(str(error)), print_exception=False) from error


def stop_button(lane: Lane, tab: str) -> gr.Button:
    """The button that stops the visitor's runs; it wakes while there is one."""

    def stop_runs(request: gr.Request) -> None:
        lane.stop(request.session_hash or "")

    stop = gr.Button("Stop", elem_id=f"{tab}-stop", interactive=False, scale=0, min_width=80)
    stop.click(stop_runs, queue=False, show_progress="hidden", api_visibility="private")
    return stop


def streamed(
    shelf: Shelf, lane: Lane, asked: Request, request: gr.Request
) -> Iterator[tuple[Any, ...]]:
    """A run as outputs: a transcript for each player, the seed, and a Stop that wakes."""
    once = (asked.seed, gr.update(interactive=True))
    with suppress(ValueError):  # the players have told it
        for transcripts in perform_all(shelf, lane, asked, request.session_hash or ""):
            yield *transcripts, *once
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
            asked = chosen(*values).resume(event._data)
            yield from streamed(shelf, lane, asked, request)

    for view in views:
        wire(view.resume, resume, form.sampling, [view, form.seed, stop])


def model_menu(shelf: Shelf) -> Menu:
    """The text models that lie in the folders now."""
    usable = shelf.usable("text")
    choices = [(f"{e.name} ({e.parameters / 1e6:.1f}M, {e.length} tokens)", e.name) for e in usable]
    notes = [f"{e.name} cannot be used: {e.problem}" for e in shelf.entries() if e.problem]
    if not usable:
        notes.insert(0, shelf.nothing("text"))
    return Menu(choices, "".join(f"<p>{_with_code(note)}</p>" for note in notes))


def _with_code(text: str) -> str:
    """A text as HTML; what stands in backticks is code."""
    return re.sub("`([^`]*)`", r"<code>\1</code>", html.escape(text))


def _sampling_form(tab: str) -> list[gr.components.Component]:
    steps = gr.Slider(
        *OFFERED["steps"],
        64,
        step=1,
        label="Steps",
        elem_id=f"{tab}-steps",
        buttons=[],
        precision=0,
    )
    names = list(SAMPLERS)
    sampler = gr.Dropdown(
        [(name.replace("_", " ").capitalize(), name) for name in names],
        value=names[0],
        label="Sampler",
        info=_first_sentence(names[0]),
        filterable=False,
        elem_id=f"{tab}-sampler",
    )
    told = {name: _first_sentence(name) for name in names}
    sampler.change(
        lambda name: gr.update(info=told.get(name, "")),
        sampler,
        sampler,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    with gr.Accordion("More", open=False, elem_id=f"{tab}-more"):
        grid = gr.Radio(
            [(name.capitalize(), name) for name in GRIDS],
            value=next(iter(GRIDS)),
            label="Time grid",
            elem_id=f"{tab}-grid",
        )
        temperature, top_p = (
            gr.Slider(
                *OFFERED[name],
                1,
                step=step,
                label=name.capitalize().replace("_", "-"),
                elem_id=f"{tab}-{name.replace('_', '-')}",
                buttons=[],
            )
            for name, step in (("temperature", 0.05), ("top_p", 0.01))
        )
    return [steps, sampler, grid, temperature, top_p]


def _seed_row(tab: str) -> tuple[gr.Number, gr.Checkbox]:
    with gr.Row(elem_classes="md-seed"):
        seed = gr.Number(1234, label="Seed", precision=0, elem_id=f"{tab}-seed")
        dice = gr.Button("Roll", elem_id=f"{tab}-dice", min_width=64, scale=0)
    lock = gr.Checkbox(
        False,
        label="Keep this seed",
        info="Otherwise each run rolls a new one.",
        elem_id=f"{tab}-lock",
        container=False,
    )
    dice.click(None, None, [seed, lock], js=ROLL, api_visibility="private")
    seed.input(None, None, lock, js="() => true", api_visibility="private")
    return seed, lock


def _first_sentence(name: str) -> str:
    text = inspect.getdoc(SAMPLERS[name]) or ""
    return text.split("\n")[0].split(" (")[0].rstrip(".") + "."
