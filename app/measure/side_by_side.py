"""How fluently panels run side by side, on this machine and a model of the shelf."""

import time
from collections.abc import Iterator
from itertools import pairwise

from app.comparison import Side, play_sides
from app.logic import prepare
from app.panels import Panel
from app.shelf import Shelf
from app.state import Settings


def fluency(shelf: Shelf, name: str, *, steps: int = 64) -> Iterator[str]:
    """The lines of a table: frames a second, and a panel's longest wait, for 1, 2 and 3 panels.

    Panels differ in nothing but their seeds, so that each costs the same. The time is the sampler's
    and the network's, as Compare runs them; what the page adds is told by the other figures.
    """
    yield "| model | panels | frames a second, all | each | longest wait of a panel, ms |"
    yield "|---|---|---|---|---|"
    frames(shelf, name, 1, 4)  # to load and warm up
    for panels in (1, 2, 3):
        moments = frames(shelf, name, panels, steps)
        whole = max(own[-1] for own in moments)
        rate = sum(len(own) - 1 for own in moments) / whole
        wait = max(b - a for own in moments for a, b in pairwise(own))
        yield f"| {name} | {panels} | {rate:.1f} | {rate / panels:.1f} | {1000 * wait:.0f} |"


def frames(shelf: Shelf, name: str, panels: int, steps: int) -> list[list[float]]:
    """When the frames of each panel came, in seconds since the start, which is the first of them.

    Raises:
        ValueError: the shelf has no such model.
    """
    settings = Settings(steps=steps)
    text = shelf.find(name).kind == "text"
    request = settings.request(name, "", fill=True) if text else settings.picture(name)
    panel = Panel(steps=steps)
    sides = [
        Side(run=prepare(shelf, panel.of(request, number, same_noise=False)))
        for number in range(panels)
    ]
    start = time.perf_counter()
    moments = [[0.0] for _ in sides]
    for number, _ in play_sides(sides):
        moments[number].append(time.perf_counter() - start)
    return moments
