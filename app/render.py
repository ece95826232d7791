r"""Frames as what the player reads: JSON lines in a string that only ever grows.

    {"run": ID, "v": 1}                          a new run begins
    {"state": "queued", "message": ...}          also loading, done, stopped, failed
    {"start": {...}}                             what is known before the first step
    {"s": step, "c": calls, "t": t, "a": alpha,  a step in which something changed
     "r": [[position, token, probability, entropy, [token, log p, ...]], ...],
     "m": [position, ...],                       tokens that became masks again
     "w": {token: piece, ...}}                   pieces not seen before; bytes in a list if they
                                                 are parts of characters

Probabilities are rounded down, so that shown ones never add up to more than 1. A trajectory is the
same lines as a JSON document, O(L) in size: a step in which nothing changes leaves no line.
"""

import json
import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from app.logic import Run, dtype_name
from app.state import Frame
from mdcore.codecs import TextCodec

FORMAT = 1
PLAN_POINTS = 65

Json = dict[str, Any]


class Transcript:
    """What the player has been told of one run so far.

    Args:
        run: an id no other run in this browser has.
        row: which copy of the run it tells of.
    """

    def __init__(self, run: str, row: int = 0) -> None:
        self.text = ""
        self.row = row
        self._known: set[int] = set()
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
        self.tokens = run.z[self.row].tolist()
        return self._add({"start": self._header(run)})

    def frames(self, frames: Sequence[Frame]) -> str:
        """Steps, in order; of those in which nothing changed only the last is told."""
        for frame in frames:
            if frame.revealed or frame.remasked or frame is frames[-1]:
                self._add(self._frame(frame))
        return self.text

    def document(self) -> Json:
        """The run by itself, to be stored: what was told but for the states on the way."""
        lines = [json.loads(line) for line in self.text.splitlines()]
        kept = [line for line in lines if line.get("state") not in ("queued", "loading")]
        return {"format": FORMAT, "lines": kept}

    def decoded(self) -> str:
        """The text as it stands, [MASK] for what is still masked."""
        if self._run is None:
            return ""
        return self._run.checkpoint.codec.decode(torch.tensor(self.tokens))

    def _add(self, line: Json) -> str:
        self.text += _dump(line) + "\n"
        return self.text

    def _header(self, run: Run) -> Json:
        request, model = run.request, run.checkpoint.model
        mask = model.mask_id
        stays = run.stays.tolist()
        header: Json = {
            "kind": "text",
            "model": run.name,
            "length": len(self.tokens),
            "vocab": model.vocab_size,
            "steps": run.before + run.steps,
            "seed": run.seeds[self.row],
            "sampler": dict(request.sampler),
            "filters": [dict(spec) for spec in request.filters],
            "given": _runs(self.tokens, stays),
            "holes": [[hole.start, hole.count, hole.words] for hole in run.holes],
            "plan": [round(share, 4) for share in _thinned(_plan(run), PLAN_POINTS)],
            "where": f"{run.z.device.type}, {dtype_name(run)}",
            "w": self._words(token for token in self.tokens if token != mask),
        }
        if request.draft is not None:
            header["branch"] = {
                "of": request.draft.run,
                "step": request.draft.step,
                "t": round(run.times[0].item(), 4),
                "alpha": round(model.schedule.alpha(run.times[:1]).mean().item(), 4),
            }
            left = [token != mask and not s for token, s in zip(self.tokens, stays, strict=True)]
            header["kept"] = _runs(self.tokens, left)
        if run.steps > run.masked and not run.sampler.remasks:
            header["note"] = (
                f"Only {run.masked:,} tokens are masked: {run.steps:,} steps need at most "
                f"{run.masked:,} network calls."
            )
        return header

    def _frame(self, frame: Frame) -> Json:
        line: Json = {
            "s": self._before + frame.index,
            "c": frame.nfe,
            "t": round(frame.t, 4),
            "a": round(frame.alpha, 4),
        }
        if frame.revealed:
            line["r"] = [
                [
                    r.position,
                    r.token,
                    _floor(r.probability, 4),
                    round(r.entropy, 2),
                    [value for token, log_p in r.candidates for value in (token, _floor(log_p, 3))],
                ]
                for r in frame.revealed
            ]
            seen = (t for r in frame.revealed for t in (r.token, *(c for c, _ in r.candidates)))
            if words := self._words(seen):
                line["w"] = words
        if frame.remasked:
            line["m"] = list(frame.remasked)
        self._follow(frame)
        return line

    def _follow(self, frame: Frame) -> None:
        if self._run is None:
            raise ValueError("Frames came before the start; call start first.")
        for position in frame.remasked:
            self.tokens[position] = self._run.checkpoint.model.mask_id
        for reveal in frame.revealed:
            self.tokens[reveal.position] = reveal.token

    def _words(self, tokens: Iterable[int]) -> dict[str, str | list[int]]:
        """The pieces of those tokens that have not been told yet."""
        if self._run is None:
            return {}
        new = sorted(set(tokens) - self._known)
        self._known.update(new)
        return pieces_of(new, self._run.checkpoint.codec)


def pieces_of(tokens: Sequence[int], codec: TextCodec) -> dict[str, str | list[int]]:
    """Each of some tokens by its number: its text, or its bytes if they are parts of characters."""
    pieces = codec.pieces(torch.tensor(tokens, dtype=torch.long))
    told = [piece if isinstance(piece, str) else list(piece) for piece in pieces]
    return {str(token): piece for token, piece in zip(tokens, told, strict=True)}


def read_trajectory(path: Path) -> str:
    """A stored trajectory as the string that the player reads.

    Raises:
        ValueError: the file is not a trajectory of this format.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(
                f"{path} has format {document['format']}; this version reads {FORMAT}."
            )
        lines = [_dump(line) for line in document["lines"]]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not a trajectory; make one with python -m app.example."
        ) from error
    return "".join(line + "\n" for line in lines)


def _dump(line: Json) -> str:
    """One line, compact; no "<", so that no text is ever taken for HTML on its way."""
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _floor(value: float, digits: int) -> float:
    return float(math.floor(value * 10**digits) / 10**digits)


def _plan(run: Run) -> list[float]:
    """The share of what is not given that the schedule expects to be masked at each time."""
    hidden = run.checkpoint.model.schedule.hidden(run.times).mean(-1).detach()
    share = run.masked / (len(run.stays) - run.given)
    return [share * value for value in (hidden / hidden[0]).tolist()]


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
