"""What a page begins with: the models that lie in the folders now, and the run of a link."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from app.lane import Lane
from app.link import Arrival, read_link
from app.shelf import Shelf
from app.tabs.form import Form, Menu, class_menu, model_menu

BEGIN = """(note) => {
  const go = /data-go="([\\w-]+)"/.exec(note || '');
  if (!go) return;
  const begun = performance.now();
  const look = (now) => {
    const face = document.getElementById(go[1]);
    if (face?.offsetParent) face.click();
    else if (now - begun < 5000) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""


@dataclass(frozen=True, kw_only=True)
class Entrance:
    """Where a link leads in a tab.

    Attributes:
        text: the prompt, or the text with holes.
        form: how to sample.
        go: the button that lets a run begin.
        more: what else a link may say, by the name of its parameter.
    """

    text: gr.components.Component
    form: Form
    go: gr.Button
    more: Mapping[str, gr.components.Component] = field(default_factory=dict)

    @property
    def outputs(self) -> list[gr.components.Component]:
        """What is set when somebody arrives."""
        form = self.form
        parts = [self.text, form.model, form.problems, form.label]
        return [*parts, *form.inputs, *self.more.values()]

    def updates(
        self, menu: Menu, classes: Mapping[str, Sequence[str]], arrival: Arrival | None
    ) -> list[Any]:
        """An update for each output; `classes` are those of each model."""
        values = dict(arrival.values) if arrival else {}
        if "seed" in values:
            values["lock"] = True
        model = values.get("model")
        label = values.get("label", gr.skip())
        if "label" in values:
            label = gr.update(**class_menu(classes[values["model"]], label))
        same = model is None and menu.choices == self.form.menu.choices
        return [
            values.get("text", gr.skip()),
            gr.skip() if same else gr.update(**menu.shown(model)),
            gr.update(value=menu.problems, visible=bool(menu.problems)),
            label,
            *(values.get(name, gr.skip()) for name in (*self.form.sampling, *self.more)),
        ]


def welcome(
    page: gr.Blocks,
    tabs: gr.Tabs,
    note: gr.HTML,
    entrances: Mapping[str, Entrance],
    shelf: Shelf,
    lane: Lane,
) -> None:
    """Set the page as a visitor arrives, and start the run of a link.

    Args:
        page: the page.
        tabs: its tabs.
        note: where it is said what a link has done.
        entrances: one a tab, by its id.
        shelf: what can be chosen.
        lane: where the run would wait.
    """

    def greet(request: gr.Request) -> list[Any]:
        menus = {tab: model_menu(shelf, e.form.menu.kind) for tab, e in entrances.items()}
        classes = {entry.name: entry.classes for entry in shelf.usable()}
        arrival = read_link(dict(request.query_params), classes)
        updates = [
            update
            for tab, entrance in entrances.items()
            for update in entrance.updates(
                menus[tab], classes, arrival if arrival and arrival.tab == tab else None
            )
        ]
        if arrival is None:
            return [gr.skip(), gr.skip(), *updates]
        go = entrances[arrival.tab].go
        told = gr.update(value=_say(arrival, go, busy=len(lane) > 0), visible=True)
        return [gr.update(selected=arrival.tab), told, *updates]

    outputs = [component for entrance in entrances.values() for component in entrance.outputs]
    page.load(
        greet,
        None,
        [tabs, note, *outputs],
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    ).then(None, note, None, js=BEGIN, api_visibility="private")


def _say(arrival: Arrival, go: gr.Button, *, busy: bool) -> str:
    press = f"Press {go.value} to let it begin."
    if arrival.problems:
        problems = "".join(f"<li>{html.escape(problem)}</li>" for problem in arrival.problems)
        return (
            '<div class="md-arrival md-wrong"><p>This link cannot be followed in full:</p>'
            f"<ul>{problems}</ul><p>Nothing was started. All else is set as the link says. "
            f"{press}</p></div>"
        )
    if busy:
        return (
            '<div class="md-arrival"><p>All is set for the run of this link, but another one is '
            f"going on. {press}</p></div>"
        )
    return (
        f'<div class="md-arrival" data-go="{go.elem_id}"><p>The run of this link is being made '
        "again: the same model, settings and seed give the same result.</p></div>"
    )
