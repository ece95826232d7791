"""What runs are made of, as frozen data; all that comes from a browser is checked here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mdcore.registry import Spec
from mdcore.sampling import GRIDS, SAMPLERS

FRAME_FORMAT = 1
MAX_STEPS = 4096
MAX_TOKENS = 65_536
MAX_STEP = 1_000_000
MAX_TEXT = 200_000
MAX_SEED = 2**32 - 1
MAX_COPIES = 16
MAX_GUIDANCE = 20.0
OFFERED = {
    "steps": (1, 1024),
    "temperature": (0.0, 2.0),
    "top_p": (0.05, 1.0),
    "guidance": (0.0, 5.0),
}
"""What forms and links offer; programs may go further."""
SHEETS = (1, 4, 9, 16)
"""How many images they offer to draw at once."""
MAX_VOCABULARY = 10_000_000
RELOAD = "Load the page again."

Kind = Literal["text", "image"]
"""What a checkpoint models."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A frame of a run as a visitor has changed it, to go on from.

    Attributes:
        run: id of the run.
        step: how many steps it had done.
        t: the time it had reached.
        label: name of the class that it draws, or None.
        tokens: one a position, None for a mask.
        given: positions of the tokens that stay.
    """

    run: str
    step: int
    t: float
    label: str | None = None
    tokens: tuple[int | None, ...]
    given: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One run, asked for by a visitor.

    Attributes:
        checkpoint: a name on the shelf; None takes the first text model.
        sampler: a spec of SAMPLERS without filters.
        filters: specs of FILTERS, in order.
        raw: text with holes, see app.holes; or an image with holes, see mdcore.codecs.image, None
            for one of masks alone.
        fill: whether masks follow the text up to the model's length.
        label: a class by number or by name, where the model has classes.
        guidance: scale of classifier-free guidance towards the class.
        copies: how many samples are drawn side by side.
        draft: a frame to go on from, in place of the text.
        schedule: a spec of SCHEDULES to remove the masks by; None for the model's own.
        seed: of the first copy's generator; each further copy has the next one.
    """

    checkpoint: str | None
    sampler: Spec
    raw: str | np.ndarray | None
    seed: int
    filters: tuple[Spec, ...] = ()
    fill: bool = False
    label: int | str | None = None
    guidance: float = 1.0
    copies: int = 1
    draft: Draft | None = None
    schedule: Spec | None = None

    @property
    def kind(self) -> Kind | None:
        """What the checkpoint has to model; None for a draft, which either may have made."""
        if self.draft:
            return None
        return "text" if isinstance(self.raw, str) else "image"


Candidates = tuple[tuple[int, float], ...]
"""The likeliest tokens, each with its log-probability in nats."""


@dataclass(frozen=True, slots=True)
class Reveal:
    """A mask that became a token.

    Attributes:
        position: in the sequence.
        token: what it became.
        log_probability: of that token under the model, before temperature and top-p, in nats.
        entropy: of the model's distribution at that place, in bits.
        candidates: the likeliest tokens.
    """

    position: int
    token: int
    log_probability: float
    entropy: float
    candidates: Candidates

    @property
    def probability(self) -> float:
        """Of the token under the model."""
        return math.exp(self.log_probability)


@dataclass(frozen=True, slots=True)
class Frame:
    """What one sampler step changed.

    Attributes:
        index: steps done.
        nfe: network calls for this sample so far.
        t: time reached.
        revealed: masks that became tokens.
        remasked: positions of tokens that became masks again.
        kept: how many of the given tokens are what they were at the start.
    """

    index: int
    nfe: int
    t: float
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
    guidance: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_whole("steps", self.steps, 1, MAX_STEPS)
        check_whole("seed", self.seed, 0, MAX_SEED)
        check_choice("sampler", self.sampler, list(SAMPLERS))
        check_choice("grid", self.grid, list(GRIDS))
        check_number("temperature", self.temperature, 0.0, 5.0)
        check_number("top_p", self.top_p, 0.001, 1.0)
        check_number("guidance", self.guidance, 0.0, MAX_GUIDANCE)

    def request(self, checkpoint: str | None, raw: str, *, fill: bool, copies: int = 1) -> Request:
        """The run with these settings that turns `raw` into a sample.

        Raises:
            ValueError: `raw` is not text, or far too long to be read at all.
        """
        if not isinstance(raw, str) or (checkpoint is not None and not isinstance(checkpoint, str)):
            raise ValueError("The text and the model's name must be strings.")
        check_whole("copies", copies, 1, MAX_COPIES)
        if len(raw) > MAX_TEXT:
            raise ValueError(f"{len(raw):,} characters; give at most {MAX_TEXT:,}.")
        return Request(
            checkpoint=checkpoint,
            sampler=self._sampler(),
            filters=self._filters(),
            raw=raw.rstrip(" ") if fill else raw,  # a word brings the space before it itself
            fill=fill,
            seed=int(self.seed),
            copies=int(copies),
        )

    def picture(
        self,
        checkpoint: str | None,
        raw: np.ndarray | None = None,
        *,
        label: int | str | None = None,
        copies: int = 1,
    ) -> Request:
        """The run with these settings that fills an image's holes, or draws a whole one for None.

        Raises:
            ValueError: the name, the label or the number of copies is of the wrong type.
        """
        if checkpoint is not None and not isinstance(checkpoint, str):
            raise ValueError("The model's name must be a string.")
        check_whole("copies", copies, 1, MAX_COPIES)
        if label is not None and not isinstance(label, str):
            check_whole("label", label, 0, MAX_VOCABULARY)
        return Request(
            checkpoint=checkpoint,
            sampler=self._sampler(),
            filters=self._filters(),
            raw=raw,
            label=int(label) if isinstance(label, float) else label,
            guidance=float(self.guidance),
            seed=int(self.seed),
            copies=int(copies),
        )

    def resume(self, frame: object) -> Request:
        """The run with these settings that goes on from a frame, as a browser sends it.

        Raises:
            ValueError: the frame is not what the player of this version makes.
        """
        if not isinstance(frame, dict) or not isinstance(frame.get("model"), str):
            raise ValueError(f"This is no frame of a run. {RELOAD}")
        draft = _read_draft(frame)
        return Request(
            checkpoint=frame["model"],
            sampler=self._sampler(),
            filters=self._filters(),
            raw="",
            label=draft.label,
            guidance=float(self.guidance),
            seed=int(self.seed),
            draft=draft,
        )

    def _sampler(self) -> Spec:
        return {"name": self.sampler, "steps": int(self.steps), "grid": self.grid}

    def _filters(self) -> tuple[Spec, ...]:
        return (
            {"name": "temperature", "temperature": float(self.temperature)},
            {"name": "top_p", "p": float(self.top_p)},
        )


def _read_draft(frame: dict[str, Any]) -> Draft:
    version, run = frame.get("v"), frame.get("run")
    if version != FRAME_FORMAT or isinstance(version, bool):
        raise ValueError(
            f"This frame has format {str(version)[:40]!r}; this version reads {FRAME_FORMAT}. "
            f"{RELOAD}"
        )
    if not isinstance(run, str) or len(run) > 40:
        raise ValueError(f"run is {str(run)[:40]!r}; give the id of a run. {RELOAD}")
    check_whole("step", frame.get("step"), 0, MAX_STEP)
    check_number("t", frame.get("t"), 0.0, 1.0)
    label = frame.get("label")
    if label is not None and not isinstance(label, str):
        raise ValueError(f"label is {str(label)[:40]!r}; give the name of a class. {RELOAD}")
    tokens, given = frame.get("tokens"), frame.get("given")
    if not isinstance(tokens, list) or not 1 <= len(tokens) <= MAX_TOKENS:
        raise ValueError(f"tokens must be a list of 1 to {MAX_TOKENS:,} tokens. {RELOAD}")
    for position, token in enumerate(tokens):
        if token is not None:
            check_whole(f"token {position}", token, 0, MAX_VOCABULARY - 1)
    if not isinstance(given, list) or len(given) > len(tokens):
        raise ValueError(f"given must be a list of at most {len(tokens):,} positions. {RELOAD}")
    for position in given:
        check_whole("a given position", position, 0, len(tokens) - 1)
        if tokens[int(position)] is None:
            raise ValueError(f"Position {position} is given and masked at once. {RELOAD}")
    return Draft(
        run=run,
        step=int(frame["step"]),
        t=float(frame["t"]),
        label=label,
        tokens=tuple(None if token is None else int(token) for token in tokens),
        given=frozenset(map(int, given)),
    )


def check_number(name: str, value: object, low: float, high: float) -> None:
    """Raise a ValueError that names the value unless it is a number in a range."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(float(value)) or not low <= float(value) <= high:  # type: ignore[arg-type]
        raise ValueError(f"{name} is {str(value)[:40]!r}; give a number from {low:g} to {high:g}.")


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """Raise a ValueError that names the value unless it is a whole number in a range."""
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
    if not whole or not low <= value <= high:  # type: ignore[operator]
        raise ValueError(
            f"{name} is {str(value)[:40]!r}; give a whole number from {low:,} to {high:,}."
        )


def check_choice(name: str, value: object, known: Sequence[str]) -> None:
    """Raise a ValueError that names the value unless it is a known one."""
    if value not in known:
        raise ValueError(f"Unknown {name} {str(value)[:40]!r}. Known: {', '.join(known)}.")
