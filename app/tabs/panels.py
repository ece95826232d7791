"""What tab Compare asks of each panel: schedule, grid, sampler, steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from app.link import PANEL
from app.panels import FEWEST, MOST, OWN
from app.shelf import Shelf
from app.tabs.form import entry_of, grid_menu, sampler_menu, steps_slider
from mdcore.schedules import SCHEDULES

OPTIONS: tuple[dict[str, Any], ...] = tuple(
    {"schedule": schedule, "grid": "uniform", "sampler": "ancestral", "steps": 64}
    for schedule in ("linear", "cosine", "polynomial")
)
"""What the panels begin with."""
LEARNED = (
    "This model learned a schedule for each token together with its network, so it keeps it: what "
    "is still masked tells it something of the tokens."
)
COSINE = (
    "Cosine is MD4’s, alpha = 1 − cos(π/2 (1 − t)); other papers use the word for other curves. "
    "Any of these schedules can sample a model trained with another: a network that takes the "
    "time as input is told the time at which its own schedule has the same alpha."
)


@dataclass(frozen=True, kw_only=True)
class PanelForm:
    """The components that say how many panels there are, and how each of them samples.

    Attributes:
        count: of panels.
        parts: of each panel, in the order of `app.link.PANEL`.
    """

    count: gr.Radio
    parts: list[list[gr.components.Component]]

    @property
    def inputs(self) -> list[gr.components.Component]:
        """What `read` reads, the count first."""
        return [self.count, *(part for panel in self.parts for part in panel)]

    @property
    def named(self) -> dict[str, gr.components.Component]:
        """The same, by the names that links have for them."""
        names = [f"{option}{k}" for k in range(1, MOST + 1) for option in PANEL]
        return dict(zip(["panels", *names], self.inputs, strict=True))

    def read(self, values: Sequence[Any]) -> list[dict[str, Any]]:
        """The panels that are shown, from the values of the inputs."""
        count, *values = values
        shown = count if isinstance(count, int) else FEWEST
        rows = (values[k : k + len(PANEL)] for k in range(0, len(values), len(PANEL)))
        panels = [dict(zip(PANEL, row, strict=True)) for row in rows]
        return panels[:shown]


def panel_form(shelf: Shelf) -> PanelForm:
    """The form; it begins with what the first model on the shelf can do."""
    first = next(iter(shelf.usable()), None)
    with gr.Column(elem_classes="md-panel"):
        count = gr.Radio(
            [(str(n), n) for n in range(FEWEST, MOST + 1)],
            value=FEWEST,
            label="Panels",
            elem_id="compare-count",
        )
    with gr.Row(elem_id="compare-panels", elem_classes="md-two"):
        parts = [_panel(shelf, number, first.name if first else None) for number in range(MOST)]
    gr.HTML(f'<p class="md-hint">{COSINE}</p>', apply_default_css=False)
    return PanelForm(count=count, parts=parts)


def _panel(shelf: Shelf, number: int, model: str | None) -> list[gr.components.Component]:
    letter, tab = "ABC"[number], f"compare-{number + 1}"
    third = ["md-third"] * (number >= FEWEST)
    with gr.Column(min_width=200, elem_classes=["md-panel", "md-panel-form", *third]):
        gr.HTML(f"<h2>Panel {letter}</h2>", apply_default_css=False)
        schedule = gr.Dropdown(
            label="Schedule",
            filterable=False,
            elem_id=f"{tab}-schedule",
            **_schedules(shelf, model, OPTIONS[number]["schedule"]),
        )
        steps = steps_slider(tab)
        sampler = sampler_menu(tab)
        grid = grid_menu(tab, "uniform")
    return [schedule, grid, sampler, steps]


def _schedules(shelf: Shelf, model: object, chosen: str) -> dict[str, Any]:
    """What the menu of schedules shows for a model; one that it can have stays chosen."""
    entry = entry_of(shelf, model)
    name = entry.schedule.replace("_", " ") if entry else ""
    choices = [(f"the model’s own ({name})" if name else "the model’s own", OWN)]
    learned = entry is not None and entry.learned
    if not learned:
        shared = (name for name in SCHEDULES if SCHEDULES[name].shared)
        choices = [*((name.capitalize(), name) for name in shared), *choices]
    known = chosen in [value for _, value in choices]
    return {
        "choices": choices,
        "value": chosen if known else OWN,
        "info": LEARNED if learned else None,
    }


def follow_model(shelf: Shelf, model: gr.Dropdown, panels: PanelForm) -> None:
    """Offer the schedules that the model can be sampled with."""
    menus = [parts[0] for parts in panels.parts]
    model.change(
        lambda name, *chosen: [gr.update(**_schedules(shelf, name, one)) for one in chosen],
        [model, *menus],
        menus,
        preprocess=False,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
