"""Tab Watch: a model writes, and one sees it think."""

import uuid
from collections.abc import Iterator
from typing import Any

import gradio as gr
from gradio.events import api

from app.lane import Lane
from app.live import complete
from app.shelf import Shelf
from app.state import Settings
from app.tabs.arrival import Entrance
from app.tabs.base import BUNDLED, Tab, questions, recorded, show_runs
from app.tabs.form import (
    chosen,
    sampling_form,
    stop_button,
    streamed,
    told,
    wire,
    wire_branches,
)

EXAMPLES = BUNDLED


def build(shelf: Shelf, lane: Lane) -> Entrance:
    """The player, and beside it what can be chosen."""
    with gr.Row(elem_classes="md-columns"):
        with gr.Column(scale=7, min_width=320, elem_classes="md-main"):
            prompt, go, stop = _composer(lane)
            (run,) = recorded(EXAMPLES, 1)
            view = show_runs(run, elem_id="watch-player", questions=questions(shelf, lane))
        with gr.Column(scale=3, min_width=280, elem_classes="md-panel"):
            form = sampling_form(shelf, "watch")

    def generate(
        request: gr.Request, text: str, name: str | None, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        with told():
            asked = chosen(*values).request(name, text, fill=True)
            yield from streamed(shelf, lane, asked, request)

    wire(go.click, generate, [prompt, form.model, *form.sampling], [view, form.seed, stop])
    wire_branches(shelf, lane, form, [view], stop)
    _add_endpoint(shelf, lane)
    return Entrance(text=prompt, form=form, go=go)


def _composer(lane: Lane) -> tuple[gr.Textbox, gr.Button, gr.Button]:
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
            stop = stop_button(lane, "watch")
    return prompt, go, stop


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
