"""Tab Watch: a model writes, and one sees it think."""

import html
import inspect
import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import api

from app.lane import Lane
from app.live import complete, perform
from app.render import read_trajectory
from app.shelf import TRAIN_HINT, Shelf
from app.state import MAX_SEED, Settings
from app.tabs.base import Tab, show_runs
from mdcore.sampling import GRIDS, SAMPLERS

EXAMPLES = Path(__file__).parent.parent.parent / "assets" / "examples"
ROLL = f"() => [Math.floor(Math.random() * {MAX_SEED}), true]"


def build(shelf: Shelf, lane: Lane) -> None:
    """The player, and beside it what can be chosen."""
    with gr.Row(elem_classes="md-columns"):
        with gr.Column(scale=7, min_width=320, elem_classes="md-main"):
            prompt, go, stop = _composer()
            view = show_runs(_example(), elem_id="watch-player")
        with gr.Column(scale=3, min_width=280, elem_classes="md-panel"):
            model = _model_menu(shelf)
            sampling = _sampling_form()
            seed, lock = _seed_row()

    def generate(
        request: gr.Request, text: str, name: str | None, *values: Any
    ) -> Iterator[tuple[Any, Any, Any]]:
        steps, sampler, grid, temperature, top_p, number, locked = values
        number = int(number or 0) if locked else random.randrange(MAX_SEED)
        try:
            settings = Settings(
                steps=steps,
                sampler=sampler,
                grid=grid,
                temperature=temperature,
                top_p=top_p,
                seed=number,
            )
            asked = settings.request(name, text, fill=True)
            once = (number, gr.update(interactive=True))
            for transcript in perform(shelf, lane, asked, request.session_hash or ""):
                yield transcript, *once
                once = (gr.skip(), gr.skip())
        except ValueError as error:
            raise gr.Error(html.escape(str(error)), print_exception=False) from error

    go.click(
        generate,
        [prompt, model, *sampling, seed, lock],
        [view, seed, stop],
        show_progress="hidden",
        concurrency_limit=None,  # the lane orders runs, and tells each how many are ahead
        api_visibility="private",
    ).then(
        lambda: gr.update(interactive=False),
        outputs=stop,
        show_progress="hidden",
        queue=False,
        api_visibility="private",
    )
    stop.click(_stopper(lane), queue=False, show_progress="hidden", api_visibility="private")
    _add_endpoint(shelf, lane)


def _composer() -> tuple[gr.Textbox, gr.Button, gr.Button]:
    with gr.Row(elem_classes="md-composer"):
        prompt = gr.Textbox(
            label="Prompt (optional)",
            placeholder="Once upon a time there was",
            lines=1,
            max_lines=6,
            scale=1,
            min_width=220,
            elem_id="watch-prompt",
        )
        with gr.Row(elem_classes="md-actions"):
            go = gr.Button(
                "Generate", variant="primary", elem_id="watch-generate", scale=1, min_width=130
            )
            stop = gr.Button("Stop", elem_id="watch-stop", interactive=False, scale=0, min_width=80)
    return prompt, go, stop


def _model_menu(shelf: Shelf) -> gr.Dropdown:
    entries = shelf.entries()
    usable = [entry for entry in entries if entry.is_text and not entry.problem]
    choices = [(f"{e.name} ({e.parameters / 1e6:.1f}M, {e.length} tokens)", e.name) for e in usable]
    menu = gr.Dropdown(
        choices,
        value=usable[0].name if usable else None,
        label="Model",
        elem_id="watch-model",
        filterable=False,
        visible=bool(usable),
    )
    notes = [f"**{e.name}** cannot be used: {e.problem}" for e in entries if e.problem]
    if not usable:
        notes.insert(0, f"No text model in {shelf.places}. {TRAIN_HINT}")
    if notes:
        gr.Markdown("\n\n".join(notes), elem_classes="md-warning", elem_id="watch-problems")
    return menu


def _sampling_form() -> list[gr.components.Component]:
    steps = gr.Slider(
        1, 1024, 64, step=1, label="Steps", elem_id="watch-steps", buttons=[], precision=0
    )
    names = list(SAMPLERS)
    sampler = gr.Dropdown(
        [(name.replace("_", " ").capitalize(), name) for name in names],
        value=names[0],
        label="Sampler",
        info=_first_sentence(names[0]),
        filterable=False,
        elem_id="watch-sampler",
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
    with gr.Accordion("More", open=False, elem_id="watch-more"):
        grid = gr.Radio(
            [(name.capitalize(), name) for name in GRIDS],
            value=next(iter(GRIDS)),
            label="Time grid",
            elem_id="watch-grid",
        )
        temperature = gr.Slider(
            0, 2, 1, step=0.05, label="Temperature", elem_id="watch-temperature", buttons=[]
        )
        top_p = gr.Slider(0.05, 1, 1, step=0.01, label="Top-p", elem_id="watch-top-p", buttons=[])
    return [steps, sampler, grid, temperature, top_p]


def _seed_row() -> tuple[gr.Number, gr.Checkbox]:
    with gr.Row(elem_classes="md-seed"):
        seed = gr.Number(
            1234, label="Seed", precision=0, minimum=0, maximum=MAX_SEED, elem_id="watch-seed"
        )
        dice = gr.Button("Roll", elem_id="watch-dice", min_width=64, scale=0)
    lock = gr.Checkbox(
        False,
        label="Keep this seed",
        info="Otherwise each run rolls a new one.",
        elem_id="watch-lock",
        container=False,
    )
    dice.click(None, None, [seed, lock], js=ROLL, api_visibility="private")
    seed.input(None, None, lock, js="() => true", api_visibility="private")
    return seed, lock


def _stopper(lane: Lane) -> Any:
    def stop(request: gr.Request) -> None:
        lane.stop(request.session_hash or "")

    return stop


def _add_endpoint(shelf: Shelf, lane: Lane) -> None:
    def generate_text(
        prompt: str = "",
        checkpoint: str | None = None,
        steps: int = 64,
        sampler: str = "ancestral",
        grid: str = "uniform",
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> dict[str, Any]:
        """Text that begins with a prompt: text, seed, nfe, seconds and the trajectory."""
        try:
            settings = Settings(
                steps=steps,
                sampler=sampler,
                grid=grid,
                temperature=temperature,
                top_p=top_p,
                seed=seed,
            )
            asked = settings.request(checkpoint, prompt, fill=True)
            return complete(shelf, lane, asked, uuid.uuid4().hex)
        except ValueError as error:
            raise gr.Error(html.escape(str(error)), print_exception=False) from error

    api(generate_text, api_name="generate_text", concurrency_limit=None)


def _first_sentence(name: str) -> str:
    text = inspect.getdoc(SAMPLERS[name]) or ""
    return text.split("\n")[0].split(" (")[0].rstrip(".") + "."


def _example() -> str:
    """The bundled run that plays before any model is loaded."""
    paths = sorted(EXAMPLES.glob("*.json"))
    return read_trajectory(paths[0]) if paths else ""


TAB = Tab("Watch", build)
