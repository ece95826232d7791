"""What a tab is, and the player that every tab shows its runs in."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr

from app import player
from app.lane import Lane
from app.shelf import Shelf

ADOPT = """
if (!document.getElementById(NAME)) {
  const sheet = document.createElement('style');
  sheet.id = NAME;
  sheet.textContent = STYLE;
  document.head.append(sheet);
}
"""
MOUNT = """
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


def show_runs(value: str = "", *, elem_id: str, quiet: bool = False) -> gr.HTML:
    """A player: shows a transcript, a string of JSON lines that grows, see app.render.

    A function, because Gradio writes a .pyi file beside every subclass of a component.

    Args:
        value: a finished run to begin with, or "".
        elem_id: its id on the page.
        quiet: whether start and end are left to another player to announce.
    """
    script = with_style("md-player-style", player.style(), player.script() + MOUNT)
    # The template never changes, so Gradio never patches what the script has built.
    return gr.HTML(
        value,
        html_template=f'<div class="md-mount"{" data-quiet" * quiet}></div>',
        js_on_load=script,
        apply_default_css=False,
        elem_id=elem_id,
    )


def with_style(name: str, style: str, script: str) -> str:
    """A component's script that first adds a style sheet to the page, once for each name."""
    return f"const NAME = {json.dumps(name)}, STYLE = {json.dumps(style)};\n{ADOPT}{script}"
