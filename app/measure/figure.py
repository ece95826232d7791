"""A figure and the budget that it has to keep."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """What was measured; less is better.

    Attributes:
        what: it is.
        value: that was found.
        budget: that it may not exceed.
        unit: of both.
    """

    what: str
    value: float
    budget: float
    unit: str

    @property
    def ok(self) -> bool:
        """Whether the budget is kept."""
        return self.value <= self.budget

    def __str__(self) -> str:
        verdict = "ok" if self.ok else "over"
        return f"{self.what:58} {self.value:10.4g} {self.budget:8g} {self.unit:5} {verdict}"
