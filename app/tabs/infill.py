"""Tab Infill: a text or a picture with holes, and ways to fill them."""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
from gradio.events import api

from app import editor
from app.holes import read_canvas
from app.lane import Lane
from app.live import complete
from app.shelf import Shelf
from app.state import Settings
from app.tabs import pictures
from app.tabs.arrival import Entrance
from app.tabs.base import BUNDLED, Tab, answered, questions, recorded, show_runs, with_style
from app.tabs.form import Form, chosen, draws, sampling_form
from app.tabs.runs import stop_button, streamed, told, wire, wire_branches

ALTERNATIVES = 3
RUNS = BUNDLED / "infill"  # of the first example
EXAMPLES = (
    (
        "A few words",
        "Once upon a time there was a [[little girl]] who lived with her [[grandmother]] in a "
        "cottage at the edge of the [[forest]]. Every morning she went to the [[well]] to fetch "
        "water, and every evening she sat by the fire and listened to [[old stories]].",
    ),
    (
        "A whole sentence",
        "The king had three sons, and he loved them all alike. When he grew old he called them to "
        'his side. [["Go out into the world, and bring me the finest thing you can find."|32]] '
        "So the three brothers saddled their horses and rode away together.",
    ),
    (
        "Beginning and end",
        '"Who are you?" asked the fox.\n[["I am nobody at all," said the bird.|24]]\n'
        "The fox laughed until the leaves shook on the trees.\n[[Then he went home.|24]]",
    ),
)
MOUNT = """
const mount = element.querySelector('.md-mount');
const editor = new Editor(
  mount,
  EXAMPLES,
  (text) => { props.value = text; trigger('input'); },
  (text, model) => server.measure([text, model]),
);
mount.addEventListener('text', (event) => editor.take(event.detail));
mount.addEventListener('model', (event) => { editor.model = event.detail; editor.refresh(); });
editor.open(props.value);
watch('value', () => editor.open(props.value));
"""
USE = """(text) => document.querySelector('#infill-editor .md-mount').dispatchEvent(
  new CustomEvent('text', { detail: text }))"""
TELL_MODEL = """(name, kind) => {
  const image = kind === 'image';
  document.getElementById('infill-whole')?.classList.toggle('md-draws', image);
  const mount = document.querySelector(`#infill-${image ? 'painter' : 'editor'} .md-mount`);
  mount?.dispatchEvent(new CustomEvent('model', { detail: name }));
}"""
SHOW_RUNS = """() => {
  const rows = [...document.querySelectorAll('.md-alternatives')];
  const begun = performance.now();
  const look = (now) => {
    const row = rows.find((one) => one.offsetParent);
    if (row) row.scrollIntoView({ block: 'nearest' });
    else if (now - begun < 5000) requestAnimationFrame(look);
  };
  look(begun);
}"""


def build(shelf: Shelf, lane: Lane) -> Entrance:
    """The editor or the painter, beside it what can be chosen, and below the results."""
    with gr.Column(elem_id="infill-whole") as whole:
        with gr.Row(elem_classes="md-columns"):
            with gr.Column(scale=7, min_width=320, elem_classes="md-main"):
                with gr.Column(elem_classes="md-of-text"):
                    text = _editor(shelf)
                painter = pictures.show_painter(shelf)
                with gr.Row(elem_classes="md-composer"):
                    count = pictures.count_menu()
                    with gr.Row(elem_classes="md-actions"):
                        go, fill_picture = _buttons()
                        stop = stop_button(lane, "infill")
            with gr.Column(scale=3, min_width=280, elem_classes="md-panel"):
                form = sampling_form(shelf, "infill", None)
        views = _alternatives(shelf, lane)
        result = pictures.show_result(shelf, lane)
    whole.elem_classes = ["md-draws"] * draws(shelf, form.model.value)

    def fill(
        request: gr.Request, raw: str, name: str | None, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        with told():
            asked = chosen(form, values).request(name, raw, fill=False, copies=ALTERNATIVES)
            yield from streamed(shelf, lane, asked, request, apart=True)

    wire(go.click, fill, [text, form.model, *form.inputs], [*views, form.seed, stop])
    wire_branches(shelf, lane, form, views, stop)
    wishes = pictures.Wishes(painter=painter, count=count, form=form)
    pictures.wire_painter(shelf, lane, wishes, fill_picture, result, stop)
    for button in (go, fill_picture):
        button.click(None, js=SHOW_RUNS, api_visibility="private")
    _follow(shelf, form, painter)
    _add_endpoint(shelf, lane)
    return Entrance(text=text, form=form, go=go)


def _buttons() -> list[gr.Button]:
    """The button for texts, and the one for pictures: one of them is shown."""
    places = (("infill-go", "md-of-text"), ("infill-go-picture", "md-of-image"))
    return [
        gr.Button("Fill in", variant="primary", elem_id=name, elem_classes=kind, min_width=130)
        for name, kind in places
    ]


def _alternatives(shelf: Shelf, lane: Lane) -> list[gr.HTML]:
    with gr.Row(elem_classes="md-alternatives md-of-text"):
        return [
            show_runs(
                run,
                elem_id=f"infill-player-{k + 1}",
                quiet=k > 0,
                questions=questions(shelf, lane),
                use=USE,
            )
            for k, run in enumerate(recorded(RUNS, ALTERNATIVES))
        ]


def _follow(shelf: Shelf, form: Form, painter: gr.HTML) -> None:
    """Show the editor or the painter, whichever the model needs, and tell it of the model."""
    kind = gr.Textbox(visible=False)
    for event in (form.model.change, painter.ready):  # the tab is built when it is first opened
        event(
            lambda name: "image" if draws(shelf, name) else "text",
            form.model,
            kind,
            preprocess=False,
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        ).then(None, [form.model, kind], None, js=TELL_MODEL, api_visibility="private")


def _editor(shelf: Shelf) -> gr.HTML:
    script = f"{editor.script()}\nconst EXAMPLES = {json.dumps(EXAMPLES)};\n{MOUNT}"
    return gr.HTML(
        EXAMPLES[0][1],
        html_template='<div class="md-mount"></div>',
        js_on_load=with_style("md-editor-style", editor.style(), script),
        server_functions=[_measurer(shelf)],
        apply_default_css=False,
        elem_id="infill-editor",
    )


def _measurer(shelf: Shelf) -> Callable[[Any], Any]:
    def count(text: Any, model: Any) -> dict[str, Any]:
        request = Settings().request(model, text, fill=False)
        codec = shelf.text_codec(request.checkpoint)
        canvas = read_canvas(text, codec)
        holes = [hole.count for hole in canvas.holes]
        return {"tokens": len(canvas.tokens), "length": codec.length, "holes": holes}

    def measure(asked: Any) -> Any:
        """Of [text, model]: its tokens, those of each hole, and what is wrong with it."""
        return answered(asked, 2, count)

    return measure


def _add_endpoint(shelf: Shelf, lane: Lane) -> None:
    def infill_text(
        request: gr.Request,
        text: str = "",
        checkpoint: str | None = None,
        steps: int = 64,
        sampler: str = "ancestral",
        grid: str = "uniform",
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> dict[str, Any]:
        """Text whose [MASK]s and [[words]] are filled: text, seed, nfe, seconds, trajectory."""
        with told():
            settings = Settings(
                steps=steps,
                sampler=sampler,
                grid=grid,
                temperature=temperature,
                top_p=top_p,
                seed=seed,
            )
            asked = settings.request(checkpoint, text, fill=False)
            return complete(shelf, lane, asked, request.session_hash or uuid.uuid4().hex)

    api(infill_text, api_name="infill_text", concurrency_limit=None)


TAB = Tab("Infill", build)
