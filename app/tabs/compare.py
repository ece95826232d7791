"""Tab Compare: one model, prompt and seed under two or three schedules, side by side."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import gradio as gr
from gradio.events import api

from app import compare, player
from app.lane import Lane
from app.outline import outline
from app.panels import FEWEST, Comparison, read_panels
from app.shelf import Shelf
from app.state import Request, Settings
from app.tabs.arrival import Entrance
from app.tabs.base import Tab, answered, questions, with_style
from app.tabs.form import Form, chosen, draws, sampling_form
from app.tabs.panels import OPTIONS, PanelForm, follow_model, panel_form
from app.tabs.runs import shown, stop_button, told, wire
from app.versus import complete_comparison, perform_comparison

SAME = (
    "Each position has one number that decides when it goes, and one that decides what comes, "
    "under every schedule that all tokens share."
)
MOUNT = """
const Comparison = new Function(SOURCE + MORE + 'return Comparison;')();
const mount = element.querySelector('.md-mount');
const comparison = new Comparison(mount, {
  stop: () => document.querySelector('#compare-stop').click(),
  outline: ({ model, panels }, masked) => server.outlined([model, panels, masked]),
  draw: (transcript) => server.drawn([transcript]),
  source: SOURCE,
  style: PLAYER_STYLE,
  address: () => location.origin + location.pathname,
});
mount.addEventListener('panels', (event) => comparison.plan(event.detail));
comparison.read(props.value);
watch('value', () => comparison.read(props.value));
trigger('ready');
"""
TELL = """(model, count, ...values) => {
  document.getElementById('compare-panels')?.classList.toggle('md-two', count === 2);
  const panels = [];
  for (let k = 0; k < count; k += 1) {
    const [schedule, grid, sampler, steps] = values.slice(4 * k, 4 * k + 4);
    panels.push({ schedule, grid, sampler, steps });
  }
  document.querySelector('#compare-view .md-mount')?.dispatchEvent(
    new CustomEvent('panels', { detail: { model, panels } }));
}"""


def build(shelf: Shelf, lane: Lane) -> Entrance:
    """What is compared, beside it what the panels have in common, and below how they run."""
    with gr.Row(elem_classes="md-columns"):
        with gr.Column(scale=7, min_width=320, elem_classes="md-main"):
            with gr.Row(elem_classes="md-composer"):
                prompt = gr.Textbox(
                    label="Prompt (optional)",
                    lines=1,
                    max_lines=6,
                    scale=1,
                    min_width=220,
                    elem_id="compare-prompt",
                )
                go, stop = _actions(lane)
            panels = panel_form(shelf)
        with gr.Column(scale=3, min_width=280, elem_classes="md-panel"):
            form = sampling_form(shelf, "compare", None, paced=False)
            same = gr.Checkbox(
                True, label="Same noise", info=SAME, elem_id="compare-noise", container=False
            )
    view = _view(shelf, lane)

    def generate(request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        with told():
            text, name, label, noise, *more = values
            settled = len(more) - len(form.inputs)
            settings = chosen(form, more[settled:])
            text = "" if draws(shelf, name) else text  # the prompt is hidden, but not forgotten
            asked = Comparison(
                panels=read_panels(panels.read(more[:settled])),
                request=_request(shelf, settings, name, text, label or None),
                same_noise=bool(noise),
            )
            texts = perform_comparison(shelf, lane, asked, request.session_hash or "")
            yield from shown(((text,) for text in texts), settings.seed)

    inputs = [prompt, form.model, form.label, same, *panels.inputs, *form.inputs]
    wire(go.click, generate, inputs, [view, form.seed, stop])
    _wire_form(shelf, form, panels, prompt, view)
    _add_endpoint(shelf, lane)
    return Entrance(text=prompt, form=form, go=go, more={"noise": same, **panels.named})


def _actions(lane: Lane) -> tuple[gr.Button, gr.Button]:
    with gr.Row(elem_classes="md-actions"):
        go = gr.Button("Generate", variant="primary", elem_id="compare-generate", min_width=130)
        return go, stop_button(lane, "compare")


def _view(shelf: Shelf, lane: Lane) -> gr.HTML:
    def outlined(asked: Any) -> Any:
        """Of [model, panels, masked]: the curves of each panel."""
        return answered(asked, 3, lambda *parts: outline(shelf, *parts))

    sources = {
        "SOURCE": player.script(),
        "MORE": compare.script(),
        "PLAYER_STYLE": player.style(),
    }
    script = "".join(f"const {name} = {json.dumps(text)};\n" for name, text in sources.items())
    return gr.HTML(
        "",
        html_template='<div class="md-mount"></div>',
        js_on_load=with_style("md-compare-style", player.style() + compare.style(), script + MOUNT),
        server_functions=[outlined, questions(shelf, lane)[-1]],
        apply_default_css=False,
        elem_id="compare-view",
    )


def _wire_form(
    shelf: Shelf, form: Form, panels: PanelForm, prompt: gr.Textbox, view: gr.HTML
) -> None:
    """Let the form follow the model, and the curves follow the form."""
    prompt.visible = not draws(shelf, form.model.value)
    form.model.change(
        lambda name: gr.update(visible=not draws(shelf, name)),
        form.model,
        prompt,
        preprocess=False,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    follow_model(shelf, form.model, panels)
    inputs: list[Any] = [form.model, *panels.inputs]
    for event in (view.ready, *(component.change for component in inputs)):
        event(None, inputs, None, js=TELL, api_visibility="private")


def _request(
    shelf: Shelf, settings: Settings, name: str | None, prompt: str, label: int | str | None
) -> Request:
    """What all panels do, of a text or an image, whichever the model is of."""
    if shelf.find(name).kind == "text":
        if label is not None:
            raise ValueError("This model has no classes. Leave the label out.")
        return settings.request(name, prompt, fill=True)
    if prompt:
        raise ValueError("This model draws images and takes no prompt. Leave the prompt out.")
    return settings.picture(name, label=label)


def _add_endpoint(shelf: Shelf, lane: Lane) -> None:
    def compare(
        request: gr.Request,
        panels: list[dict[str, Any]] | None = None,
        prompt: str = "",
        label: str | int | None = None,
        checkpoint: str | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
        guidance: float = 1.0,
        seed: int = 0,
        same_noise: bool = True,
        draws: int = 8,
    ) -> dict[str, Any]:
        """Runs that differ in schedule, grid, sampler or steps; of each its result and figures."""
        with told():
            settings = Settings(temperature=temperature, top_p=top_p, guidance=guidance, seed=seed)
            asked = Comparison(
                panels=read_panels(OPTIONS[:FEWEST] if panels is None else panels),
                request=_request(shelf, settings, checkpoint, prompt, label),
                same_noise=same_noise,
            )
            visitor = request.session_hash or uuid.uuid4().hex
            return complete_comparison(shelf, lane, asked, visitor, draws=draws)

    api(compare, api_name="compare", concurrency_limit=None)


TAB = Tab("Compare", build)
