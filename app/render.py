r"""Frames as what the player reads: JSON lines in a string that only ever grows.

    {"run": ID, "v": 1}                          a new run begins
    {"state": "queued", "message": ...}          also loading, done, stopped, failed
    {"start": {...}}                             what is known before the first step
    {"s": step, "t": 10000 t,                    a step in which something changed
     "c": calls,                                 if not one more than in the line before
     "r": [[position, entropy, place, token, cost, token, further cost, ...], ...],
     "m": [position, ...],                       tokens that became masks again
     "w": {token: piece, ...}}                   pieces not told before; bytes in a list if they
                                                 are parts of characters

A reveal lists the likeliest tokens and, last, the revealed one if it is none of them; the revealed
one stands at `place`. A cost is -log p in thousandths of a nat, each further one counts from that
before it. Costs are rounded up, so that probabilities never add up to more than 1. Entropy is in
tenths of a bit.

A trajectory is the same lines as a JSON document, O(L) in size: a step in which nothing changes
leaves no line, and where a sampler masks again, tokens that return bring no candidates with them
once DETAILED reveals have.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

import torch

from app.link import write_link
from app.logic import Run, dtype_name
from app.looks import looks, pieces_of
from app.outline import POINTS, alphas, still_masked
from app.state import Frame, Reveal

FORMAT = 2
DETAILED = 1024
"""Reveals of a run that are told with candidates; a position's first always is."""
CANDIDATES = 5120
"""Told of a run that reveals each position once: the more positions, the fewer of each."""

Json = dict[str, Any]


class Transcript:
    """What the player has been told of one run so far.

    Args:
        run: an id no other run in this browser has.
        row: which copy of the run it tells of; None for all of them side by side, see app.logic.
        link: how to make the run again, as `linked`, if it is part of something larger.
    """

    def __init__(self, run: str, row: int | None = None, link: Json | None = None) -> None:
        self.text = ""
        self.row = row
        self._link = link
        self._known: set[int] = set()
        self._untouched: set[int] = set()
        self._detailed = 0
        self._calls = 0
        self._run: Run | None = None
        self._before = 0
        self.tokens: list[int] = []
        self._add({"run": run, "v": FORMAT})

    def note(self, state: str, message: str, **facts: Any) -> str:
        """A state of the run, to be shown."""
        return self._add({"state": state, "message": message, **facts})

    def start(self, run: Run) -> str:
        """What is known before the first step."""
        self._run = run
        self._before = run.before
        self.tokens = run.z[self._rows].flatten().tolist()
        mask = run.model.mask_id
        self._untouched = {place for place, token in enumerate(self.tokens) if token == mask}
        return self._add({"start": self._header(run)})

    def frames(self, frames: Sequence[Frame]) -> str:
        """Steps, in order; of those in which nothing changed only the last is told."""
        for frame in frames:
            if frame.revealed or frame.remasked or frame is frames[-1]:
                self._add(self._frame(frame))
        return self.text

    def document(self) -> Json:
        """The run by itself, to be stored: what was told but for the states on the way."""
        lines = [json.loads(line) for line in self.text.split("\n") if line]
        kept = [line for line in lines if line.get("state") not in ("queued", "loading")]
        return {"format": FORMAT, "lines": kept}

    def decoded(self) -> list[Any]:
        """The texts or images of its copies as they stand, with holes for what is still masked."""
        if self._run is None:
            return []
        copies = torch.tensor(self.tokens).view(-1, len(self._run.stays))
        return [self._run.checkpoint.codec.decode(copy) for copy in copies]

    @property
    def _rows(self) -> slice:
        return slice(None) if self.row is None else slice(self.row, self.row + 1)

    def _add(self, line: Json) -> str:
        self.text += dump(line) + "\n"
        return self.text

    def _header(self, run: Run) -> Json:
        request, mask = run.request, run.model.mask_id
        stays = run.stays.repeat(len(run.z[self._rows])).tolist()
        header: Json = {
            **looks(run),
            **(self._link or linked(lambda: write_link(request, run.name))),
            "model": run.name,
            "length": len(self.tokens),
            "vocab": run.model.vocab_size,
            "steps": run.before + run.steps,
            "seed": run.seeds[self._rows][0],
            "sampler": dict(request.sampler),
            "filters": [dict(spec) for spec in request.filters],
            "given": _runs(self.tokens, stays),
            "holes": [[hole.start, hole.count, hole.words] for hole in run.holes],
            "alphas": [round(1000 * alpha) for alpha in alphas(run.model.schedule)],
            "plan": [round(share, 4) for share in _thinned(_plan(run), POINTS)],
            "where": f"{run.z.device.type}, {dtype_name(run)}",
            "w": self._words(token for token in self.tokens if token != mask),
        }
        if request.draft is not None:
            header["branch"] = {
                "of": request.draft.run,
                "step": request.draft.step,
                "t": round(run.times[0].item(), 4),
                "alpha": round(run.model.schedule.alpha(run.times[:1]).mean().item(), 4),
            }
            left = [token != mask and not s for token, s in zip(self.tokens, stays, strict=True)]
            header["kept"] = _runs(self.tokens, left)
        if len(run.z[self._rows]) > 1:
            header["copies"] = len(run.z)
        if run.steps > run.masked and not run.sampler.remasks:
            many = "s are" if run.masked > 1 else " is"
            header["note"] = (
                f"Only {run.masked:,} token{many} masked: {run.steps:,} steps need at most "
                f"{run.masked:,} network call{'s' if run.masked > 1 else ''}."
            )
        return header

    def _frame(self, frame: Frame) -> Json:
        step = self._before + frame.index
        line: Json = {"s": step, "t": round(10_000 * frame.t)}
        if frame.nfe != self._calls + 1:
            line["c"] = frame.nfe
        self._calls = frame.nfe
        if frame.revealed:
            line["r"] = [self._reveal(reveal) for reveal in frame.revealed]
            if words := self._words(token for told in line["r"] for token in told[3::2]):
                line["w"] = words
        if frame.remasked:
            line["m"] = list(frame.remasked)
        self._follow(frame)
        return line

    def _reveal(self, reveal: Reveal) -> list[int]:
        own = (reveal.token, reveal.log_probability)
        pairs = [own]
        if reveal.position in self._untouched or self._room:
            self._untouched.discard(reveal.position)
            self._detailed += 1
            best = reveal.candidates[: self._detail]
            pairs = [*best, *(pairs if own not in best else [])]
        told = [reveal.position, round(10 * reveal.entropy), pairs.index(own)]
        before = 0
        for token, log_p in pairs:
            cost = math.ceil(-1000 * log_p)
            told += [token, cost - before]
            before = cost
        return told

    @property
    def _detail(self) -> int:
        """How many candidates of a token there is room for."""
        return max(1, CANDIDATES // len(self._run.stays)) if self._run else 0

    @property
    def _room(self) -> bool:
        """Whether there is room for the candidates of a token that returns."""
        return self._detailed + len(self._untouched) < DETAILED

    def _follow(self, frame: Frame) -> None:
        if self._run is None:
            raise ValueError("Frames came before the start; call start first.")
        for position in frame.remasked:
            self.tokens[position] = self._run.model.mask_id
        for reveal in frame.revealed:
            self.tokens[reveal.position] = reveal.token

    def _words(self, tokens: Iterable[int]) -> dict[str, str | list[int]]:
        """The pieces of those tokens that have not been told yet."""
        if self._run is None:
            return {}
        new = sorted(set(tokens) - self._known)
        self._known.update(new)
        return pieces_of(new, self._run.checkpoint.codec)


def dump(line: Json) -> str:
    """One line, compact; no "<", so that no text is ever taken for HTML on its way."""
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def linked(write: Callable[[], dict[str, str]]) -> Json:
    """How to make a run again, or why a link cannot."""
    try:
        return {"link": write()}
    except ValueError as error:
        return {"unlinked": str(error)}


def _plan(run: Run) -> list[float]:
    """The share of what is not given that the schedule expects to be masked at each time."""
    share = run.masked / (len(run.stays) - run.given)
    return [share * left for left in still_masked(run.model.schedule, run.times)]


def _runs(tokens: Sequence[int], selected: Sequence[bool]) -> list[list[Any]]:
    """Selected tokens as [first position, [token, ...]], a pair for each stretch of them."""
    triples = zip(range(len(tokens)), tokens, selected, strict=True)
    stretches = (list(g) for chosen, g in groupby(triples, key=lambda one: one[2]) if chosen)
    return [[stretch[0][0], [token for _, token, _ in stretch]] for stretch in stretches]


def _thinned(values: Sequence[float], count: int) -> list[float]:
    """At most `count` of the values, evenly spread, both ends among them."""
    if len(values) <= count:
        return list(values)
    return [values[round(i * (len(values) - 1) / (count - 1))] for i in range(count)]
