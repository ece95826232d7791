"""What every tab asks of a visitor who samples: model, class, sampler, seed."""

import html
import inspect
import random
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import gradio as gr

from app.shelf import Entry, Shelf
from app.state import MAX_SEED, OFFERED, Kind, Settings
from mdcore.sampling import GRIDS, SAMPLERS

USUAL_GRIDS: dict[Kind, str] = {"text": "uniform", "image": "cosine"}
GUIDANCE = "How strongly towards a chosen class: 1 as the model learned it, 0 not at all."
ROLL = f"() => [Math.floor(Math.random() * {MAX_SEED}), true]"


@dataclass(frozen=True)
class Menu:
    """The models that can be chosen now.

    Attributes:
        kind: what they model; None for all kinds.
        choices: label and name of each.
        problems: HTML that tells of those that cannot, and why.
    """

    kind: Kind | None
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
        label: names a class, "" for any; there if the model has classes.
        sampling: what Settings asks for, by its name there; and "lock", whether to keep the seed.
    """

    model: gr.Dropdown
    menu: Menu
    problems: gr.HTML
    label: gr.Dropdown
    sampling: dict[str, gr.components.Component]

    @property
    def seed(self) -> gr.components.Component:
        """Shows the seed that was used."""
        return self.sampling["seed"]

    @property
    def inputs(self) -> list[gr.components.Component]:
        """What `chosen` reads."""
        return list(self.sampling.values())


def sampling_form(shelf: Shelf, tab: str, kind: Kind | None, *, paced: bool = True) -> Form:
    """The form for models of a kind, or of all; the ids of its parts begin with the tab's name.

    With `paced` it asks for steps, sampler and grid too.
    """
    menu = model_menu(shelf, kind)
    model = gr.Dropdown(label="Model", elem_id=f"{tab}-model", filterable=False, **menu.shown())
    problems = gr.HTML(
        menu.problems,
        visible=bool(menu.problems),
        elem_classes="md-warning",
        elem_id=f"{tab}-problems",
    )
    first = entry_of(shelf, model.value)
    classes = class_menu(_classes(first), "")
    label = gr.Dropdown(label="Class", elem_id=f"{tab}-label", filterable=False, **classes)
    guidance = _slider(tab, "guidance", 0.1, info=GUIDANCE, visible=classes["visible"])
    sampling: dict[str, gr.components.Component] = {}
    if paced:
        sampling |= {"steps": steps_slider(tab), "sampler": sampler_menu(tab)}
    with gr.Accordion("More", open=False, elem_id=f"{tab}-more"):
        if paced:
            sampling["grid"] = grid_menu(tab, _usual_grid(first))
        sampling["temperature"] = _slider(tab, "temperature", 0.05)
        sampling["top_p"] = _slider(tab, "top_p", 0.01)
    seed, lock = _seed_row(tab)
    _adapt(shelf, model, label, guidance, grid=sampling.get("grid"))
    return Form(
        model=model,
        menu=menu,
        problems=problems,
        label=label,
        sampling=sampling | {"guidance": guidance, "seed": seed, "lock": lock},
    )


def entry_of(shelf: Shelf, name: object) -> Entry | None:
    """The checkpoint that a menu names, if it can be used."""
    with suppress(ValueError):
        return shelf.find(name) if isinstance(name, str) else None
    return None


def draws(shelf: Shelf, name: object) -> bool:
    """Whether a menu names a model of images."""
    entry = entry_of(shelf, name)
    return entry is not None and entry.kind == "image"


def _classes(entry: Entry | None) -> Sequence[str]:
    return entry.classes if entry else ()


def class_menu(names: Sequence[str], label: str) -> dict[str, Any]:
    """What the dropdown of classes shows for a model with these; one of them stays chosen."""
    return {
        "choices": [("any", ""), *((name, name) for name in names)],
        "value": label if label in names else "",
        "visible": bool(names),
    }


def _usual_grid(entry: Entry | None) -> str:
    return USUAL_GRIDS[entry.kind if entry else "text"]


def _adapt(
    shelf: Shelf,
    model: gr.Dropdown,
    label: gr.Dropdown,
    guidance: gr.Slider,
    grid: gr.components.Component | None,
) -> None:
    """Let the form follow the model: its classes; and its kind's usual grid, if a visitor chose."""
    quiet: dict[str, Any] = {
        "preprocess": False,
        "queue": False,
        "show_progress": "hidden",
        "api_visibility": "private",
    }

    def follow(name: object, chosen: str) -> list[Any]:
        menu = class_menu(_classes(entry_of(shelf, name)), chosen)
        return [gr.update(**menu), gr.update(visible=menu["visible"])]

    model.change(follow, [model, label], [label, guidance], **quiet)
    if grid is not None:
        model.input(lambda name: _usual_grid(entry_of(shelf, name)), model, grid, **quiet)


def chosen(form: Form, values: Sequence[Any]) -> Settings:
    """The settings in a form, from the values of its inputs; a seed not kept is rolled anew.

    Raises:
        ValueError: a value is of the wrong type or out of range.
    """
    given = dict(zip(form.sampling, values, strict=True))
    if not given.pop("lock"):
        given["seed"] = random.randrange(MAX_SEED)
    return Settings(**given)


def model_menu(shelf: Shelf, kind: Kind | None) -> Menu:
    """The models of a kind, or of all, that lie in the folders now."""
    usable = shelf.usable(kind)
    choices = [
        (f"{e.name} ({e.parameters / 1e6:.1f}M, {e.size or f'{e.length} tokens'})", e.name)
        for e in usable
    ]
    notes = [f"{e.name} cannot be used: {e.problem}" for e in shelf.entries() if e.problem]
    if not usable:
        notes.insert(0, shelf.nothing(kind))
    return Menu(kind, choices, "".join(f"<p>{_with_code(note)}</p>" for note in notes))


def _with_code(text: str) -> str:
    """A text as HTML; what stands in backticks is code."""
    return re.sub("`([^`]*)`", r"<code>\1</code>", html.escape(text))


def _slider(tab: str, name: str, step: float, **extra: Any) -> gr.Slider:
    return gr.Slider(
        *OFFERED[name],
        1,
        step=step,
        label=name.capitalize().replace("_", "-"),
        elem_id=f"{tab}-{name.replace('_', '-')}",
        buttons=[],
        **extra,
    )


def steps_slider(tab: str) -> gr.Slider:
    """How many steps."""
    return gr.Slider(
        *OFFERED["steps"],
        64,
        step=1,
        label="Steps",
        elem_id=f"{tab}-steps",
        buttons=[],
        precision=0,
    )


def sampler_menu(tab: str) -> gr.Dropdown:
    """The samplers, each with what it does."""
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
    return sampler


def grid_menu(tab: str, usual: str) -> gr.Radio:
    """The time grids."""
    return gr.Radio(
        [(name.capitalize(), name) for name in GRIDS],
        value=usual,
        label="Time grid",
        elem_id=f"{tab}-grid",
    )


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
