"""What runs are made of, as frozen data; all that comes from a browser is checked here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mdcore.registry import Spec
from mdcore.sampling import GRIDS, SAMPLERS

MAX_STEPS = 4096
MAX_TEXT = 200_000
MAX_SEED = 2**32 - 1
MAX_COPIES = 16


@dataclass(frozen=True, kw_only=True)
class Request:
    """One run, asked for by a visitor.

    Attributes:
        checkpoint: a name on the shelf; None takes the first text model.
        sampler: a spec of SAMPLERS without filters.
        filters: specs of FILTERS, in order.
        raw: text with holes, see app.holes.
        fill: whether masks follow the text up to the model's length.
        label: a class, where the model has classes.
        copies: how many samples are drawn side by side.
        seed: of the first copy's generator; each further copy has the next one.
    """

    checkpoint: str | None
    sampler: Spec
    raw: str
    seed: int
    filters: tuple[Spec, ...] = ()
    fill: bool = False
    label: int | None = None
    copies: int = 1


@dataclass(frozen=True, slots=True)
class Reveal:
    """A mask that became a token.

    Attributes:
        position: in the sequence.
        token: what it became.
        probability: of that token under the model, before temperature and top-p.
        entropy: of the model's distribution at that place, in bits.
        candidates: the likeliest tokens, each with its log-probability in nats.
    """

    position: int
    token: int
    probability: float
    entropy: float
    candidates: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """What one sampler step changed.

    Attributes:
        index: steps done.
        nfe: network calls for this sample so far.
        t: time reached.
        alpha: how likely a token is clean at that time; the mean over tokens if they differ.
        revealed: masks that became tokens.
        remasked: positions of tokens that became masks again.
        kept: how many of the given tokens are what they were at the start.
    """

    index: int
    nfe: int
    t: float
    alpha: float
    revealed: tuple[Reveal, ...]
    remasked: tuple[int, ...]
    kept: int = 0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to sample, as a form or an API caller gives it.

    Raises:
        ValueError: a value is of the wrong type or out of range.
    """

    steps: int = 64
    sampler: str = "ancestral"
    grid: str = "uniform"
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        _check_whole("steps", self.steps, 1, MAX_STEPS)
        _check_whole("seed", self.seed, 0, MAX_SEED)
        _check_choice("sampler", self.sampler, list(SAMPLERS))
        _check_choice("grid", self.grid, list(GRIDS))
        _check_number("temperature", self.temperature, 0.0, 5.0)
        _check_number("top_p", self.top_p, 0.001, 1.0)

    def request(self, checkpoint: str | None, raw: str, *, fill: bool, copies: int = 1) -> Request:
        """The run with these settings that turns `raw` into a sample.

        Raises:
            ValueError: `raw` is not text, or far too long to be read at all.
        """
        if not isinstance(raw, str) or (checkpoint is not None and not isinstance(checkpoint, str)):
            raise ValueError("The text and the model's name must be strings.")
        _check_whole("copies", copies, 1, MAX_COPIES)
        if len(raw) > MAX_TEXT:
            raise ValueError(f"{len(raw):,} characters; give at most {MAX_TEXT:,}.")
        return Request(
            checkpoint=checkpoint,
            sampler={"name": self.sampler, "steps": int(self.steps), "grid": self.grid},
            filters=(
                {"name": "temperature", "temperature": float(self.temperature)},
                {"name": "top_p", "p": float(self.top_p)},
            ),
            raw=raw.rstrip(" ") if fill else raw,  # a word brings the space before it itself
            fill=fill,
            seed=int(self.seed),
            copies=int(copies),
        )


def _check_number(name: str, value: object, low: float, high: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(float(value)) or not low <= float(value) <= high:  # type: ignore[arg-type]
        raise ValueError(f"{name} is {str(value)[:40]!r}; give a number from {low:g} to {high:g}.")


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
    if not whole or not low <= value <= high:  # type: ignore[operator]
        raise ValueError(
            f"{name} is {str(value)[:40]!r}; give a whole number from {low:,} to {high:,}."
        )


def _check_choice(name: str, value: object, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"Unknown {name} {str(value)[:40]!r}. Known: {', '.join(known)}.")
