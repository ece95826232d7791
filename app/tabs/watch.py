"""Tab Watch: a model writes, and one sees it think."""

import uuid
from collections.abc import Iterator
from typing import Any

import gradio as gr
from gradio.events import api

from app.lane import Lane
from app.live import complete
from app.shelf import Shelf
from app.state import SHEETS, Settings
from app.tabs.arrival import Entrance
from app.tabs.base import BUNDLED, Tab, questions, recorded, show_runs
from app.tabs.form import Form, chosen, draws, sampling_form
from app.tabs.images import add_image_endpoints
from app.tabs.runs import stop_button, streamed, told, wire, wire_branches

EXAMPLES = BUNDLED


def build(shelf: Shelf, lane: Lane) -> Entrance:
    """The player, and beside it what can be chosen."""
    with gr.Row(elem_classes="md-columns"):
        with gr.Column(scale=7, min_width=320, elem_classes="md-main"):
            with gr.Row(elem_classes="md-composer"):
                prompt, copies = _subject()
                go, stop = _actions(lane)
            (run,) = recorded(EXAMPLES, 1)
            view = show_runs(run, elem_id="watch-player", questions=questions(shelf, lane))
        with gr.Column(scale=3, min_width=280, elem_classes="md-panel"):
            form = sampling_form(shelf, "watch", None)

    def generate(
        request: gr.Request, text: str, images: Any, name: str | None, label: str, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        with told():
            settings = chosen(form, values)
            if draws(shelf, name):
                asked = settings.picture(name, label=label or None, copies=images)
            else:
                asked = settings.request(name, text, fill=True)
            yield from streamed(shelf, lane, asked, request)

    inputs = [prompt, copies, form.model, form.label, *form.inputs]
    wire(go.click, generate, inputs, [view, form.seed, stop])
    wire_branches(shelf, lane, form, [view], stop)
    _follow(shelf, form, prompt, copies)
    _add_endpoint(shelf, lane)
    add_image_endpoints(shelf, lane)
    return Entrance(text=prompt, form=form, go=go, more={"images": copies})


def _subject() -> tuple[gr.Textbox, gr.Radio]:
    """What a text begins with; or how many images are drawn."""
    prompt = gr.Textbox(
        label="Prompt (optional)",
        placeholder="Once upon a time there was",
        lines=1,
        max_lines=6,
        scale=1,
        min_width=220,
        elem_id="watch-prompt",
    )
    copies = gr.Radio(
        [(str(count), count) for count in SHEETS],
        value=SHEETS[0],
        label="Images",
        elem_id="watch-images",
        min_width=220,
    )
    return prompt, copies


def _follow(shelf: Shelf, form: Form, prompt: gr.Textbox, copies: gr.Radio) -> None:
    """Ask for a prompt or for a number of images, whichever the model needs."""
    images = draws(shelf, form.model.value)
    prompt.visible, copies.visible = not images, images

    def follow(name: object) -> list[Any]:
        images = draws(shelf, name)
        return [gr.update(visible=not images), gr.update(visible=images)]

    form.model.change(
        follow,
        form.model,
        [prompt, copies],
        preprocess=False,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )


def _actions(lane: Lane) -> tuple[gr.Button, gr.Button]:
    with gr.Row(elem_classes="md-actions"):
        go = gr.Button(
            "Generate", variant="primary", elem_id="watch-generate", scale=1, min_width=130
        )
        stop = stop_button(lane, "watch")
    return go, stop


def _add_endpoint(shelf: Shelf, lane: Lane) -> None:
    def generate_text(
        request: gr.Request,
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
        with told():
            settings = Settings(
                steps=steps,
                sampler=sampler,
                grid=grid,
                temperature=temperature,
                top_p=top_p,
                seed=seed,
            )
            asked = settings.request(checkpoint, prompt, fill=True)
            return complete(shelf, lane, asked, request.session_hash or uuid.uuid4().hex)

    api(generate_text, api_name="generate_text", concurrency_limit=None)


TAB = Tab("Watch", build)
