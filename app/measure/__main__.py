"""Print what the page costs beside what it may: python -m app.measure [--json | --panels MODEL]."""

import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from app.measure.figure import Figure
from mdcore.hardware import pick_device


@dataclass(frozen=True)
class Arguments:
    """Serve the page with models of known cost and measure it."""

    json: bool = False
    """Print one JSON object a line."""
    runs: int = 200
    """After how many runs memory is looked at."""
    panels: str | None = None
    """Print instead how fluently one, two and three panels of a bundled model run in Compare."""


def main() -> None:
    """Print a line a budget: what, figure, budget, ok or over."""
    arguments = tyro.cli(Arguments)
    if arguments.panels:
        for line in panels(arguments.panels):
            print(line, flush=True)
        return
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported
    try:
        from app.measure import browser
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("playwright"):
            raise
        sys.exit("python -m app.measure needs playwright: pip install -r requirements.txt")
    try:
        browser.chromium()
    except ValueError as error:
        sys.exit(str(error))
    for figure in figures(arguments.runs):
        line = json.dumps(dataclasses.asdict(figure) | {"ok": figure.ok})
        print(line if arguments.json else figure, flush=True)


def panels(model: str) -> Iterator[str]:
    """The table of a bundled model's panels."""
    from app.measure.side_by_side import fluency
    from app.shelf import Shelf

    try:
        yield from fluency(Shelf(device=pick_device("auto")), model)
    except ValueError as error:
        sys.exit(str(error))


def figures(runs: int) -> Iterator[Figure]:
    """All figures, of a page that is served here and now."""
    from app.interface import build_interface
    from app.measure import browser, server
    from app.measure.stand import SlowShelf, served, stand_in

    with tempfile.TemporaryDirectory() as folder:
        for name, length in (("narrow", 256), ("wide", 1024)):
            stand_in(Path(folder) / name, length)
        shelf = SlowShelf([Path(folder)], dtype=torch.float32)
        with served(build_interface(shelf)) as address:
            yield from browser.of_page(shelf, address)
            yield from server.of_runs(shelf, address)
            yield from server.of_visitors(shelf, address, runs)


if __name__ == "__main__":
    main()
