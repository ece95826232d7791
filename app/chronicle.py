r"""A comparison as what its page reads: JSON lines in a string that only ever grows.

{"compare": ID, "panels": [{"schedule", "grid", "sampler", "steps", "by_arrival"}, ...],
 "same_noise": ...}                          a new comparison begins
{"state": "running", "message": ...}         of all of it; states are those of app.render
{"curves": [{"alphas", "weights", "shares", "masked"}, ...]}   of each panel, see app.outline
[panel, {...}]                               a line of that panel's run, see app.render
{"row": panel, "nfe": ..., ...}              what the table says of a panel
{"order": [position, ...], "agreed": ...}    the order in which all panels reveal, if agreed
"""

import uuid
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from app.comparison import Side, order_of
from app.link import write_comparison_link
from app.live import STOPPED, end
from app.outline import curves
from app.panels import Comparison
from app.render import Json, Transcript, dump, linked
from app.state import Frame


class Chronicle:
    """What a page has been told of one comparison so far."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison
        self.text = ""
        self.transcripts: list[Transcript] = []
        self.agreed = True
        self._read: list[int] = []
        panels = [asdict(p) | {"by_arrival": p.by_arrival} for p in comparison.panels]
        self._add(
            {
                "compare": uuid.uuid4().hex[:8],
                "panels": panels,
                "same_noise": comparison.same_noise,
            }
        )

    def note(self, state: str, message: str, **facts: Any) -> str:
        """A state of the whole, to be shown."""
        return self._add({"state": state, "message": message, **facts})

    def start(self, sides: Sequence[Side]) -> str:
        """What is known before the first step."""
        link = linked(lambda: write_comparison_link(self.comparison, sides[0].run.name))
        self.transcripts = [Transcript(uuid.uuid4().hex[:8], link=link) for _ in sides]
        self._read = [0] * len(sides)
        drawn = [
            curves(side.run.model.schedule, side.run.sampler, side.run.masked) for side in sides
        ]
        self._add({"curves": drawn})
        self.note("running", "Sampling")
        for transcript, side in zip(self.transcripts, sides, strict=True):
            transcript.start(side.run)
        return self._copy()

    def frames(self, told: Sequence[tuple[int, Frame]]) -> str:
        """Steps of the panels, each panel's in order."""
        for number, transcript in enumerate(self.transcripts):
            own = [frame for panel, frame in told if panel == number]
            if own:
                transcript.frames(own)
        return self._copy()

    def end(self, sides: Sequence[Side]) -> str:
        """How each run ended, and in what order masks went."""
        for transcript, side in zip(self.transcripts, sides, strict=True):
            if side.last:
                end(transcript, side.run, side.last, side.seconds)
            else:  # stopped before its first turn
                transcript.note("stopped", STOPPED)
        self._copy()
        order, self.agreed = order_of(sides)
        return self._add({"order": order, "agreed": self.agreed})

    def row(self, number: int, row: Json) -> str:
        """What the table says of a panel; said again when more is known."""
        return self._add({"row": number, **row})

    def _copy(self) -> str:
        """Take over what the panels' transcripts have been told since."""
        for number, transcript in enumerate(self.transcripts):
            fresh = transcript.text[self._read[number] :]
            self._read[number] += len(fresh)
            for line in fresh.splitlines():
                self.text += f"[{number},{line}]\n"
        return self.text

    def _add(self, line: Json) -> str:
        self.text += dump(line) + "\n"
        return self.text
