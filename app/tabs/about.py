"""Tab About the maths: a sentence at any time, weights, learned exponents, formulas."""

import json
from typing import Any

import gradio as gr

from app import compare, maths, player
from app.formulas import learned, lesson
from app.lane import Lane
from app.shelf import Shelf
from app.tabs.base import Tab, answered, with_style

MOUNT = """
const Lesson = new Function(SOURCE + 'return Lesson;')();
new Lesson(element.querySelector('.md-mount'), DATA, (name) => server.laid_open([name]));
"""


def build(shelf: Shelf, lane: Lane) -> None:
    """Everything in one component; nothing is sampled, so the lane stays free."""

    def laid_open(asked: Any) -> Any:
        """Of [model or None]: its exponents."""
        return answered(asked, 1, lambda name: learned(shelf, name))

    given = f"const SOURCE = {json.dumps(maths.script())}, DATA = {json.dumps(lesson())};\n"
    style = player.style() + compare.style() + maths.style()
    gr.HTML(
        "",
        html_template='<div class="md-mount"></div>',
        js_on_load=with_style("md-lesson-style", style, given + MOUNT),
        server_functions=[laid_open],
        apply_default_css=False,
        elem_id="about-lesson",
    )


TAB = Tab("About the maths", build)
