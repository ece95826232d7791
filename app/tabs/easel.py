"""The painter as a component of the page: a picture with a mask, for the image model chosen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from app import painter
from app.painting import convert, easel
from app.shelf import Shelf
from app.state import RELOAD
from app.tabs.base import answered, with_style
from mdcore.codecs import ImageCodec

PICTURES = Path(__file__).parent.parent.parent / "assets" / "examples" / "pictures"
MOUNT = """
const mount = element.querySelector('.md-mount');
const painter = new Painter(
  mount,
  (value) => { props.value = value; trigger('input'); },
  {
    describe: (model) => server.described([model]),
    convert: (model, data) => server.converted([model, data]),
  },
  LAST,
);
mount.addEventListener('model', (event) => painter.choose(event.detail));
mount.addEventListener('picture', (event) => painter.use(event.detail));
trigger('ready');
"""


def show_painter(shelf: Shelf, *, elem_id: str, last: str = "() => null") -> gr.HTML:
    """A painter; its value is what `app.painting.read_painting` reads.

    Its mount takes two events: `model`, a name, and `picture`, to be painted on. It triggers
    `ready` when it stands, and `input` at each change.

    Args:
        shelf: where the models are.
        elem_id: its id on the page.
        last: JavaScript of a function that gives the last sample as a picture, or null.
    """
    script = f"{painter.script()}\nconst LAST = {last};\n{MOUNT}"
    return gr.HTML(
        None,
        html_template='<div class="md-mount"></div>',
        js_on_load=with_style("md-painter-style", painter.style(), script),
        server_functions=_services(shelf),
        apply_default_css=False,
        elem_id=elem_id,
    )


def _services(shelf: Shelf) -> list[Callable[[Any], Any]]:
    def described(asked: Any) -> Any:
        """Of [model]: its size, its rule and its examples."""
        return answered(asked, 1, lambda model: easel(_codec(shelf, model), PICTURES))

    def converted(asked: Any) -> Any:
        """Of [model, file in base64]: its pixels and mask."""
        return answered(asked, 2, lambda model, data: convert(data, _codec(shelf, model)))

    return [described, converted]


def _codec(shelf: Shelf, model: Any) -> ImageCodec:
    if not isinstance(model, str):
        raise ValueError(f"The model's name must be a string. {RELOAD}")
    return shelf.image_codec(model)
