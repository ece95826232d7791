"""The page: its tabs under one heading, one lane for the model, one look."""

from pathlib import Path
from typing import Any

import gradio as gr

from app.lane import Lane
from app.shelf import Shelf
from app.tabs import TABS
from app.tabs.arrival import welcome

TITLE = "Masked diffusion"
HEADER = f"""<header class="md-header"><h1>{TITLE}</h1>
<p>A text or an image starts as nothing but masks; step by step, in any order, a model turns them
into words or pixels. Stop it, run it backwards, and ask each of them how sure the model was.
</p></header>"""
SESSIONS = 50  # Gradio keeps what each has seen, for an hour after it has left


def build_interface(shelf: Shelf) -> gr.Blocks:
    """The page for the models on a shelf; start it with `launch(**look())`."""
    lane = Lane()
    page: gr.Blocks
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        gr.HTML(HEADER, apply_default_css=False, elem_id="md-header")
        note = gr.HTML(visible=False, apply_default_css=False, elem_id="md-arrival")
        entrances = {}
        with gr.Tabs(elem_id="md-tabs") as tabs:
            for tab in TABS:
                with gr.Tab(tab.name, id=tab.name.lower()):
                    entrance = tab.build(shelf, lane)
                if entrance:
                    entrances[tab.name.lower()] = entrance
        welcome(page, tabs, note, entrances, shelf, lane)
        page.load(None, js=_source("page.js"), api_visibility="private")
        page.unload(_leaver(lane))
        page.queue(max_size=64)
    return page


def _leaver(lane: Lane) -> Any:
    def leave(request: gr.Request) -> None:
        lane.leave(request.session_hash or "")

    return leave


def look() -> dict[str, Any]:
    """Theme, style and habits for `launch`: Gradio takes them there."""
    return {
        "ssr_mode": False,
        "run_history": False,
        "state_session_capacity": SESSIONS,
        "theme": _theme(),
        "css": _source("page.css"),
        "footer_links": [],
    }


def _source(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _theme() -> gr.themes.Base:
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Liberation Sans", "sans-serif"]
    mono = ["ui-monospace", "SF Mono", "Consolas", "Liberation Mono", "monospace"]
    theme = gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        font=[gr.themes.Font(name) for name in fonts],
        font_mono=[gr.themes.Font(name) for name in mono],
        radius_size=gr.themes.sizes.radius_md,
    )
    paper, page, edge, ink, quiet, accent = range(6)
    light = ("#fffdf9", "#f6f2ea", "#e4ddd0", "#211d18", "#665e53", "#0b6b62")
    dark = ("#1b1d1f", "#121415", "#34373a", "#ece7de", "#a9a399", "#63cdbd")
    return theme.set(
        body_background_fill=light[page],
        body_background_fill_dark=dark[page],
        body_text_color=light[ink],
        body_text_color_dark=dark[ink],
        body_text_color_subdued=light[quiet],
        body_text_color_subdued_dark=dark[quiet],
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_padding="0px",
        block_shadow="none",
        block_label_text_color=light[ink],
        block_label_text_color_dark=dark[ink],
        block_title_text_color=light[ink],
        block_title_text_color_dark=dark[ink],
        block_title_text_weight="600",
        block_info_text_color=light[quiet],
        block_info_text_color_dark=dark[quiet],
        input_background_fill=light[paper],
        input_background_fill_dark=dark[paper],
        input_border_color=light[edge],
        input_border_color_dark=dark[edge],
        input_border_color_focus=light[accent],
        input_border_color_focus_dark=dark[accent],
        input_placeholder_color=light[quiet],
        input_placeholder_color_dark=dark[quiet],
        button_primary_background_fill=light[accent],
        button_primary_background_fill_dark=dark[accent],
        button_primary_background_fill_hover="#0e7f75",
        button_primary_background_fill_hover_dark="#86dccf",
        button_primary_text_color=light[paper],
        button_primary_text_color_dark=dark[paper],
        button_secondary_background_fill=light[paper],
        button_secondary_background_fill_dark=dark[paper],
        button_secondary_background_fill_hover=light[edge],
        button_secondary_background_fill_hover_dark=dark[edge],
        button_secondary_border_color=light[edge],
        button_secondary_border_color_dark=dark[edge],
        button_secondary_text_color=light[ink],
        button_secondary_text_color_dark=dark[ink],
        slider_color=light[accent],
        slider_color_dark=dark[accent],
        checkbox_background_color=light[paper],
        checkbox_background_color_dark=dark[paper],
        checkbox_background_color_selected=light[accent],
        checkbox_background_color_selected_dark=dark[accent],
        checkbox_border_color=light[quiet],
        checkbox_border_color_dark=dark[quiet],
        border_color_primary=light[edge],
        border_color_primary_dark=dark[edge],
        color_accent=light[accent],
    )
