"""A run as a link: what makes it again, as the parameters of the page's address, and back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.panels import FEWEST, MOST, OWN, Comparison
from app.state import (
    MAX_SEED,
    OFFERED,
    SHEETS,
    Request,
    check_choice,
    check_number,
    check_whole,
)
from mdcore.sampling import GRIDS, SAMPLERS
from mdcore.schedules import SCHEDULES

MAX_BYTES = 2048
TEXTS = {"watch": "prompt", "infill": "text", "compare": "prompt"}
"""What a tab calls its text."""
PACES = {"sampler": "name", "grid": "grid", "steps": "steps"}
NOISES = ("same", "other")
PANEL = ("schedule", "grid", "sampler", "steps")
"""What a link says of each panel, with the panel's number behind it."""


@dataclass
class Arrival:
    """What a link asks for.

    Attributes:
        tab: to be opened.
        values: by the parameter's name; the text is "text" in every tab.
        problems: a message for each parameter that cannot be used.
    """

    tab: str = "watch"
    values: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def write_link(request: Request, model: str) -> dict[str, str]:
    """The parameters of a link that makes the run again.

    Args:
        request: the run.
        model: the name of its checkpoint.

    Raises:
        ValueError: its text is too long, it fills in an image, or it went on from another run.
    """
    if request.draft is not None:
        raise ValueError("A link cannot hold edited frames. Save the run as a page or as data.")
    if not isinstance(request.raw, str | None):
        raise ValueError("A link cannot hold an image. Save the run as a page or as data.")
    tab = "infill" if request.raw is not None and not request.fill else "watch"
    paces = {name: request.sampler[key] for name, key in PACES.items()}
    values = {"tab": tab, "model": model, **paces, **_shared(request)}
    if request.raw is None:
        values["images"] = request.copies
    if request.raw:
        values[TEXTS[tab]] = _short("The text", request.raw)
    return _written(values)


def write_comparison_link(comparison: Comparison, model: str) -> dict[str, str]:
    """The parameters of a link that makes a comparison again; else as `write_link`.

    Raises:
        ValueError: its text is too long, or a schedule has options.
    """
    request = comparison.request
    values: dict[str, Any] = {
        "tab": "compare",
        "model": model,
        "panels": len(comparison.panels),
        "noise": NOISES[0] if comparison.same_noise else NOISES[1],
        **_shared(request),
    }
    for number, panel in enumerate(comparison.panels, start=1):
        if not isinstance(panel.schedule, str):
            raise ValueError("A link cannot hold the options of a schedule. Save the run as data.")
        values |= {f"{option}{number}": getattr(panel, option) for option in PANEL}
    if isinstance(request.raw, str) and request.raw:
        values[TEXTS["compare"]] = _short("The text", request.raw)
    return _written(values)


def _shared(request: Request) -> dict[str, Any]:
    """What every run is asked for, whatever its tab."""
    values: dict[str, Any] = {
        "temperature": next((f["temperature"] for f in request.filters if "temperature" in f), 1.0),
        "top_p": next((f["p"] for f in request.filters if "p" in f), 1.0),
        "seed": request.seed,
    }
    if request.raw is None:
        values["guidance"] = request.guidance
    if request.label is not None:
        values["label"] = request.label
    return values


def _written(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: f"{v:.12g}" if isinstance(v, float) else str(v) for name, v in values.items()}


def read_link(parameters: Mapping[str, str], models: Mapping[str, Sequence[str]]) -> Arrival | None:
    """What the parameters of an address ask for; None if none of them is a link's.

    Args:
        parameters: of the address; those that are not a link's are none of our business.
        models: names that can be used here, each with the names of its classes.
    """
    readers = _readers(list(models))
    given = {name: parameters[name] for name in readers if name in parameters}
    if not given:
        return None
    arrival = Arrival()
    for name, value in given.items():
        try:
            arrival.values[name] = readers[name](value)
        except ValueError as error:
            arrival.problems.append(str(error))
    arrival.tab = arrival.values.pop("tab", arrival.tab)
    label, model = arrival.values.get("label"), arrival.values.get("model")
    if label is not None and label not in models.get(model or "", ()):
        del arrival.values["label"]
        arrival.problems.append(f"label is {label[:40]!r}; name a class of the link's model.")
    texts = {name: arrival.values.pop(name, None) for name in dict.fromkeys(TEXTS.values())}
    text = texts.pop(TEXTS[arrival.tab])
    if text is not None:
        arrival.values["text"] = text
    arrival.problems += [
        f"{name} belongs to another tab than {arrival.tab}; leave it out or change tab."
        for name, value in texts.items()
        if value is not None
    ]
    return arrival


def _readers(models: Sequence[str]) -> dict[str, Callable[[str], Any]]:
    readers: dict[str, Callable[[str], Any]] = {
        "tab": lambda value: _choice("tab", value, list(TEXTS)),
        "model": lambda value: _choice("model", value, models),
        "sampler": lambda value: _choice("sampler", value, list(SAMPLERS)),
        "grid": lambda value: _choice("grid", value, list(GRIDS)),
        "steps": lambda value: _whole("steps", value, *OFFERED["steps"]),
        "temperature": lambda value: _number("temperature", value),
        "top_p": lambda value: _number("top_p", value),
        "guidance": lambda value: _number("guidance", value),
        "label": lambda value: _short("label", value),
        "images": lambda value: int(_choice("images", value, [str(n) for n in SHEETS])),
        "seed": lambda value: _whole("seed", value, 0, MAX_SEED),
        "prompt": lambda value: _short("prompt", value),
        "text": lambda value: _short("text", value),
        "panels": lambda value: int(_choice("panels", value, [str(n) for n in (FEWEST, MOST)])),
        "noise": lambda value: _choice("noise", value, NOISES) == NOISES[0],
    }
    for number in range(1, MOST + 1):
        readers |= _panel_readers(number)
    return readers


def _panel_readers(number: int) -> dict[str, Callable[[str], Any]]:
    schedule, grid, sampler, steps = (f"{name}{number}" for name in PANEL)
    shared = [OWN, *(name for name in SCHEDULES if SCHEDULES[name].shared)]
    return {
        schedule: lambda value: _choice(schedule, value, shared),
        grid: lambda value: _choice(grid, value, list(GRIDS)),
        sampler: lambda value: _choice(sampler, value, list(SAMPLERS)),
        steps: lambda value: _whole(steps, value, *OFFERED["steps"]),
    }


def _choice(name: str, value: str, known: Sequence[str]) -> str:
    check_choice(name, value, known)
    return value


def _whole(name: str, value: str, low: float, high: float) -> int:
    whole = int(value) if value.isascii() and value.isdigit() and len(value) < 20 else value
    check_whole(name, whole, int(low), int(high))
    return int(whole)


def _number(name: str, value: str) -> float:
    try:
        number: float | str = float(value)
    except ValueError:
        number = value
    check_number(name, number, *OFFERED[name])
    return float(number)


def _short(name: str, text: str) -> str:
    size = len(text.encode("utf-8", "replace"))
    if size > MAX_BYTES:
        raise ValueError(
            f"{name} has {size:,} bytes; a link holds {MAX_BYTES:,}. "
            "Shorten it, or save the run as a page or as data."
        )
    return text
