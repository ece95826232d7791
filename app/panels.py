"""Panels side by side: what a visitor may ask of them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from app.state import MAX_SEED, Request, Settings
from mdcore.registry import Spec
from mdcore.sampling import SAMPLERS

FEWEST, MOST = 2, 3
OWN = "own"
"""Stands for the schedule that the model was trained with."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """How one of the runs is sampled.

    Attributes:
        schedule: a name in SCHEDULES or OWN, or a spec with its options.
        grid: of the times.
        sampler: by name.
        steps: how many.
    """

    schedule: str | Spec = OWN
    grid: str = "uniform"
    sampler: str = "ancestral"
    steps: int = 64

    def __post_init__(self) -> None:
        Settings(steps=self.steps, sampler=self.sampler, grid=self.grid)  # checks them

    @property
    def spec(self) -> Spec | None:
        """Of the schedule; None for the model's own."""
        if self.schedule == OWN:
            return None
        return {"name": self.schedule} if isinstance(self.schedule, str) else self.schedule

    @property
    def rule(self) -> Spec:
        """Of the sampler."""
        return {"name": self.sampler, "steps": int(self.steps), "grid": self.grid}

    @property
    def by_arrival(self) -> bool:
        """Whether the seed alone decides the order in which masks go."""
        return SAMPLERS[self.sampler].by_arrival

    def of(self, request: Request, number: int, *, same_noise: bool) -> Request:
        """The request as this panel, counted from 0, does it."""
        seed = request.seed if same_noise else (request.seed + number) % (MAX_SEED + 1)
        return replace(request, sampler=self.rule, schedule=self.spec, seed=seed)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs of one model, prompt and seed that differ in how they are sampled.

    Attributes:
        panels: how each of them is.
        request: what they have in common.
        same_noise: whether they have the seed in common too; else each has the next one.
    """

    panels: tuple[Panel, ...]
    request: Request
    same_noise: bool = True

    def __post_init__(self) -> None:
        if not FEWEST <= len(self.panels) <= MOST:
            raise ValueError(f"{len(self.panels)} panels; give {FEWEST} or {MOST}.")

    @property
    def requests(self) -> list[Request]:
        """One a panel."""
        return [
            panel.of(self.request, number, same_noise=self.same_noise)
            for number, panel in enumerate(self.panels)
        ]


def read_panels(told: object) -> tuple[Panel, ...]:
    """Panels from a program, each a mapping of what is not as usual.

    Raises:
        ValueError: they are too few or too many, or one of them is wrong; the text says which.
    """
    if not isinstance(told, Sequence) or isinstance(told, str):
        raise ValueError(f"panels is {str(told)[:40]!r}; give a list of {FEWEST} or {MOST}.")
    return tuple(_read_panel(number, one) for number, one in enumerate(told[: MOST + 1]))


def _read_panel(number: int, told: object) -> Panel:
    known = tuple(Panel.__dataclass_fields__)
    with in_panel(number):
        if not isinstance(told, Mapping):
            raise ValueError(f"{str(told)[:40]!r} is no mapping; give some of {', '.join(known)}.")
        for key in told:
            if key not in known:
                raise ValueError(f"unknown option {str(key)[:40]!r}. Known: {', '.join(known)}.")
        if not isinstance(told.get("schedule", OWN), str | Mapping):
            raise ValueError(f"schedule is {told['schedule']!r}; give a name or a spec.")
        return Panel(**told)


@contextmanager
def in_panel(number: int) -> Iterator[None]:
    """A ValueError inside says which panel it is about, counted from 1."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise ValueError(f"Panel {number + 1}: {error}") from error
