"""Panels under way: their runs in turns, what is counted of each, and whether orders agree."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch

from app.logic import Run, play, prepare
from app.panels import Comparison, Panel, in_panel
from app.shelf import Shelf
from app.state import Frame
from mdcore.diffusion import MD4
from mdcore.evaluation import Estimate, bits_per_token_draws, estimate

DRAWS = 8
MAX_DRAWS = 64
ROWS = 4  # times spread evenly in each draw: four times the network, far less noise


@dataclass(kw_only=True)
class Side:
    """A panel's run on its way.

    Attributes:
        run: made ready.
        when: the step in which each position was revealed last.
        seconds: that it took by itself.
        last: what its last step did.
    """

    run: Run
    when: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    last: Frame | None = None
    _together: dict[int, int] = field(default_factory=dict)
    _entropies: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        """How much of its steps is done."""
        return self.last.index / self.run.steps if self.last else 0.0

    @property
    def most(self) -> int:
        """The most tokens that were revealed in one step."""
        return max(self._together.values(), default=0)

    @property
    def entropy(self) -> float | None:
        """The mean entropy of the model where it revealed, in bits."""
        return sum(self._entropies) / len(self._entropies) if self._entropies else None

    def take(self, frame: Frame) -> None:
        """One step further."""
        self.last = frame
        for position in frame.remasked:
            self.when.pop(position, None)
        for reveal in frame.revealed:
            self.when[reveal.position] = frame.index
            self._entropies.append(reveal.entropy)
        self._together[frame.index] = len(frame.revealed)


def prepare_sides(shelf: Shelf, comparison: Comparison) -> list[Side]:
    """The panels' runs made ready.

    Raises:
        ValueError: as `prepare`; a panel that has a fault of its own is named.
    """
    prepare(shelf, comparison.request)  # what is wrong with all of them is no panel's fault
    sides = []
    for number, request in enumerate(comparison.requests):
        with in_panel(number):
            sides.append(Side(run=prepare(shelf, request)))
    return sides


def play_sides(
    sides: Sequence[Side], *, stopped: Callable[[], bool] = lambda: False
) -> Iterator[tuple[int, Frame]]:
    """The runs in turns, so that all have done about the same share of their steps at any time.

    Yields:
        The number of a panel and what it did. Ends early after a step in which `stopped` says so.

    Raises:
        ValueError: as `play`.
    """
    under_way = {number: play(side.run) for number, side in enumerate(sides)}
    while under_way:
        number = min(under_way, key=lambda k: sides[k].share)
        start = time.perf_counter()
        with in_panel(number):
            frame = next(under_way[number], None)
        sides[number].seconds += time.perf_counter() - start
        if frame is None:
            del under_way[number]
            continue
        sides[number].take(frame)
        yield number, frame
        if stopped():
            return


def bits_of(
    run: Run, tokens: Sequence[int], *, draws: int, stopped: Callable[[], bool]
) -> Estimate | None:
    """Bits per token of a finished sample under the model, by its own schedule and unguided.

    None if there are masks left, or it is stopped before the second draw. The noise is the same for
    every panel, so that less of it is in their differences.
    """
    model: MD4 = run.checkpoint.model
    if model.mask_id in tokens or draws < 2:
        return None
    rows = torch.tensor(tokens, device=run.z.device).expand(ROWS, -1)
    label = run.condition
    passes = []
    for bits in bits_per_token_draws(
        model,
        rows,
        None if label is None else label.expand(ROWS),
        draws=draws,
        generator=torch.Generator().manual_seed(0),
    ):
        passes.append(bits)
        if stopped():
            break
    return estimate(passes) if len(passes) > 1 else None


def order_of(sides: Sequence[Side]) -> tuple[list[int], bool]:
    """The positions that all panels revealed, and whether no two panels disagree on their order.

    Sorted by the mean share of the steps done at their reveal: if there is an order that every
    panel follows, with ties where positions share a step, it is this one.
    """
    common = set.intersection(*(set(side.when) for side in sides))
    order = sorted(
        common, key=lambda place: (sum(s.when[place] / s.run.steps for s in sides), place)
    )
    agreed = all(
        side.when[first] <= side.when[second] for side in sides for first, second in pairwise(order)
    )
    return order, agreed


def row_of(panel: Panel, side: Side) -> dict[str, Any]:
    """What the table says of a panel, but for its bits."""
    name = side.run.checkpoint.config.schedule["name"] if panel.spec is None else panel.spec["name"]
    return {
        "schedule": name,
        "own": panel.spec is None,
        "grid": panel.grid,
        "sampler": panel.sampler,
        "steps": side.run.steps,
        "nfe": side.last.nfe if side.last else 0,
        "most_at_once": side.most,
        "entropy": None if side.entropy is None else round(side.entropy, 3),
        "seconds": round(side.seconds, 3),
    }
