"""What a tab is, and the player that every tab shows its runs in."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import gradio as gr

from app import player
from app.lane import Lane
from app.questions import draw, outlook, spell
from app.replay import read_trajectory
from app.shelf import Shelf
from app.state import RELOAD
from app.tabs.arrival import Entrance

BUNDLED = Path(__file__).parents[2] / "assets" / "examples"
ADOPT = """
if (!document.getElementById(NAME)) {
  const sheet = document.createElement('style');
  sheet.id = NAME;
  sheet.textContent = STYLE;
  document.head.append(sheet);
}
"""
MOUNT = """
const Player = new Function(SOURCE + 'return Player;')(); // a run saved as a page has SOURCE too
const player = new Player(element.querySelector('.md-mount'), {
  resume: (frame) => trigger('resume', frame),
  spell: (text, model) => server.spelled([text, model]),
  outlook: (frame, position) => server.foreseen([frame, position]),
  stop: () => document.querySelector(STOP).click(),
  use: USE,
  source: SOURCE,
  style: STYLE,
  draw: (transcript) => server.drawn([transcript]),
  address: () => location.origin + location.pathname,
});
player.root.addEventListener('sample', (event) => event.detail(player.picture()));
player.open(props.value);
watch('value', () => player.read(props.value));
"""


@dataclass(frozen=True)
class Tab:
    """A tab of the page.

    Attributes:
        name: on the tab, and in a link to it.
        build: makes its components inside the open tab, adds its endpoints, and says where a link
            leads in it, if one can.
    """

    name: str
    build: Callable[[Shelf, Lane], Entrance | None]


def questions(shelf: Shelf, lane: Lane) -> list[Callable[[Any], Any]]:
    """What a player may ask; an answer is {"problem": text} if there is none."""

    def spelled(asked: Any) -> Any:
        """Of [text, model]: the ways to write the text in tokens."""
        return answered(asked, 2, lambda text, model: spell(shelf, text, model))

    def foreseen(asked: Any) -> Any:
        """Of [frame, position]: what the model would put there."""
        return answered(asked, 2, lambda frame, position: outlook(shelf, lane, frame, position))

    pen = Lock()

    def drawn(asked: Any) -> Any:
        """Of [transcript]: the run as a GIF."""
        return answered(asked, 1, lambda transcript: draw(transcript, pen))

    return [spelled, foreseen, drawn]


def answered(asked: Any, parts: int, answer: Callable[..., Any]) -> Any:
    """The answer to a question of so many parts; {"problem": text} if there is none."""
    try:
        if not isinstance(asked, list) or len(asked) != parts:
            raise ValueError(f"This question has another number of parts than {parts}. {RELOAD}")
        return answer(*asked)
    except ValueError as error:
        return {"problem": str(error)}


def show_runs(
    value: str = "",
    *,
    elem_id: str,
    questions: list[Callable[[Any], Any]],
    quiet: bool = False,
    use: str = "null",
) -> gr.HTML:
    """A player: shows a transcript, a string of JSON lines that grows, see app.render.

    A function, because Gradio writes a .pyi file beside every subclass of a component.

    Args:
        value: a finished run to begin with, or "".
        elem_id: its id on the page; TAB-player...
        questions: what it may ask the server.
        quiet: whether start and end are left to another player to announce.
        use: JavaScript of a function that takes a result, a text or a picture, if there is one.
    """
    stop = json.dumps(f"#{elem_id.partition('-')[0]}-stop")
    given = f"const STOP = {stop}, USE = {use}, SOURCE = {json.dumps(player.script())};\n"
    script = with_style("md-player-style", player.style(), given + MOUNT)
    # The template never changes, so Gradio never patches what the script has built.
    return gr.HTML(
        value,
        html_template=f'<div class="md-mount"{" data-quiet" * quiet}></div>',
        js_on_load=script,
        server_functions=questions,
        apply_default_css=False,
        elem_id=elem_id,
    )


def recorded(folder: Path, count: int) -> list[str]:
    """The bundled runs in a folder, as many as there are players; "" where there is no more."""
    runs = [read_trajectory(path) for path in sorted(folder.glob("*.json"))[:count]]
    return runs + [""] * (count - len(runs))


def with_style(name: str, style: str, script: str) -> str:
    """A component's script that first adds a style sheet to the page, once for each name."""
    return f"const NAME = {json.dumps(name)}, STYLE = {json.dumps(style)};\n{ADOPT}{script}"
