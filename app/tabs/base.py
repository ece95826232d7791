"""What a tab is, and the player that every tab shows its runs in."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from app import player
from app.lane import Lane
from app.shelf import Shelf

MOUNT = """
if (!document.getElementById('md-player-style')) {
  const sheet = document.createElement('style');
  sheet.id = 'md-player-style';
  sheet.textContent = STYLE;
  document.head.append(sheet);
}
const player = new Player(element.querySelector('.md-mount'));
player.open(props.value);
watch('value', () => player.read(props.value));
"""


@dataclass(frozen=True)
class Tab:
    """A tab of the page.

    Attributes:
        name: on the tab, and in a link to it.
        build: makes its components inside the open tab and adds its endpoints.
    """

    name: str
    build: Callable[[Shelf, Lane], None]


class Player(gr.HTML):
    """Shows a transcript: a string of JSON lines that grows, see app.render.

    Args:
        value: a finished run to begin with, or "".
        elem_id: its id on the page.
        render: as in every component; Gradio passes it when it copies one.
    """

    def __init__(self, value: str = "", *, elem_id: str, render: bool = True) -> None:
        # The template never changes, so Gradio never patches what the script has built.
        super().__init__(
            value,
            html_template='<div class="md-mount"></div>',
            js_on_load=f"const STYLE = {json.dumps(player.style())};\n{player.script()}\n{MOUNT}",
            apply_default_css=False,
            elem_id=elem_id,
            render=render,
        )

    def postprocess(self, value: str | None) -> str | None:
        """The transcript as it is: it is data and never becomes HTML."""
        return value

    def api_info(self) -> dict[str, Any]:
        """A transcript is a string."""
        return {"type": "string"}
