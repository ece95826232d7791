"""Charts of estimates over a few categories, drawn with PIL: lines, error bars, a legend."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFont

from mdcore.evaluation import Estimate

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito's
INK, GRID = "#222222", "#dddddd"
SIZE, MARGIN = (960, 600), (96, 56, 232, 64)  # left, top, right (the legend), bottom
FINE = 4  # drawn so many times larger, then reduced by half: smooth lines, and a sharp picture
BAR = 4  # half a marker, and half the width of an error bar


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
        name: in the legend.
        values: one for each category, None where there is none.
        colour: index into COLOURS.
        dashed: a dashed line with hollow markers.
        joined: whether a line joins the markers.
    """

    name: str
    values: Sequence[Estimate | None]
    colour: int = 0
    dashed: bool = False
    joined: bool = True


@dataclass(frozen=True)
class Chart:
    """What a chart shows; values lie on a logarithmic axis if `log`."""

    title: str
    x: str
    y: str
    categories: Sequence[str]
    series: Sequence[Series]
    log: bool = False

    def draw(self) -> Image.Image:
        """The picture.

        Raises:
            ValueError: there is nothing to show.
        """
        size = (SIZE[0] * FINE, SIZE[1] * FINE)
        page = Image.new("RGB", size, "white")
        pen = ImageDraw.Draw(page)
        self._axes(pen)
        for place, series in enumerate(self.series):
            shift = (place - (len(self.series) - 1) / 2) * 1.5 * BAR  # so that bars do not collide
            self._line(pen, series, shift)
            self._legend(pen, series, place)
        return page.reduce(FINE // 2)

    @cached_property
    def _span(self) -> tuple[float, float]:
        """The ends of the vertical axis, logarithms if log."""
        shown = [value for series in self.series for value in series.values if value]
        values = [v.mean + sign * v.standard_error for v in shown for sign in (-1, 0, 1)]
        values = [self._scaled(value) for value in values if value > 0 or not self.log]
        if not values:
            raise ValueError("There is no value to draw; a logarithmic axis needs some above 0.")
        low, high = min(values), max(values)
        room = 0.06 * (high - low) or 0.5
        return low - room, high + room

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def _height(self, value: float) -> float:
        """Where a value lies, in unscaled pixels from the top; at the bottom if it cannot lie."""
        low, high = self._span
        scaled = low if self.log and value <= 0 else max(low, self._scaled(value))
        top, bottom = MARGIN[1], SIZE[1] - MARGIN[3]
        return bottom - (bottom - top) * (scaled - low) / (high - low)

    def _place(self, index: int) -> float:
        """Where a category lies, in unscaled pixels from the left."""
        width = SIZE[0] - MARGIN[0] - MARGIN[2]
        return MARGIN[0] + width * (index + 0.5) / len(self.categories)

    def _axes(self, pen: ImageDraw.ImageDraw) -> None:
        left, top, right, bottom = (
            MARGIN[0], MARGIN[1], SIZE[0] - MARGIN[2], SIZE[1] - MARGIN[3]
        )  # fmt: skip
        for value in ticks(*self._span, log=self.log):
            y = self._height(value)
            _stroke(pen, [(left, y), (right, y)], GRID, 1)
            _write(pen, (left - 8, y), f"{value:g}", "rm")
        for index, name in enumerate(self.categories):
            _write(pen, (self._place(index), bottom + 10), name, "mt")
        _stroke(pen, [(left, top), (left, bottom), (right, bottom)], INK, 1.5)
        _write(pen, (left, top / 2 - 8), self.title, "lm", 17)
        _write(pen, (left - 8, top - 14), self.y, "lm")
        _write(pen, ((left + right) / 2, bottom + 42), self.x, "mm")

    def _line(self, pen: ImageDraw.ImageDraw, series: Series, shift: float) -> None:
        colour = COLOURS[series.colour % len(COLOURS)]
        known = [(index, value) for index, value in enumerate(series.values) if value]
        centres = [(self._place(i) + shift, self._height(v.mean)) for i, v in known]
        if series.joined:
            _stroke(pen, centres, colour, 2, dashed=series.dashed)
        for (x, y), (_, value) in zip(centres, known, strict=True):
            ends = [value.mean - value.standard_error, value.mean + value.standard_error]
            low, high = map(self._height, ends)
            _stroke(pen, [(x, low), (x, high)], colour, 1.25)
            for end in (low, high):
                _stroke(pen, [(x - BAR, end), (x + BAR, end)], colour, 1.25)
            _mark(pen, (x, y), colour, hollow=series.dashed)

    def _legend(self, pen: ImageDraw.ImageDraw, series: Series, place: int) -> None:
        colour = COLOURS[series.colour % len(COLOURS)]
        x, y = SIZE[0] - MARGIN[2] + 24, MARGIN[1] + 12 + 24 * place
        if series.joined:
            _stroke(pen, [(x, y), (x + 32, y)], colour, 2, dashed=series.dashed)
        _mark(pen, (x + 16, y), colour, hollow=series.dashed)
        _write(pen, (x + 42, y), series.name, "lm")


def stacked(charts: Sequence[Chart]) -> Image.Image:
    """The pictures of charts, one below the other."""
    pictures = [chart.draw() for chart in charts]
    width, height = pictures[0].size
    page = Image.new("RGB", (width, height * len(pictures)), "white")
    for place, picture in enumerate(pictures):
        page.paste(picture, (0, place * height))
    return page


def ticks(low: float, high: float, *, log: bool) -> list[float]:
    """Round numbers in a span, some four to ten of them; low and high are logarithms if log."""
    if log and high - low > 0.7:
        digits = (1,) if high - low > 3 else (1, 2, 5)
        powers = range(math.floor(low), math.ceil(high) + 1)
        values = [digit * 10.0**power for power in powers for digit in digits]
        return [value for value in values if low <= math.log10(value) <= high]
    if log:
        low, high = 10**low, 10**high
    step = 10.0 ** math.floor(math.log10((high - low) / 4))
    step *= max(factor for factor in (1, 2, 5) if factor * step <= (high - low) / 4)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(count * step, 12) for count in range(first, last + 1)]


Points = Sequence[tuple[float, float]]


def _stroke(
    pen: ImageDraw.ImageDraw, points: Points, colour: str, width: float, *, dashed: bool = False
) -> None:
    """A line through points, in unscaled pixels."""
    for (x0, y0), (x1, y1) in pairwise(points):
        count = max(1, round(math.dist((x0, y0), (x1, y1)) / 5)) if dashed else 1
        for part in range(0, count, 2):
            ends = [part / count, min(1, (part + 1) / count)]
            pen.line(
                [(FINE * (x0 + e * (x1 - x0)), FINE * (y0 + e * (y1 - y0))) for e in ends],
                fill=colour,
                width=round(FINE * width),
            )


def _mark(
    pen: ImageDraw.ImageDraw, centre: tuple[float, float], colour: str, *, hollow: bool
) -> None:
    x, y = centre
    box = [FINE * side for side in (x - BAR, y - BAR, x + BAR, y + BAR)]
    pen.ellipse(box, fill="white" if hollow else colour, outline=colour, width=2 * FINE)


def _write(
    pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, anchor: str, size: int = 14
) -> None:
    font = ImageFont.load_default(FINE * size)
    pen.text((FINE * place[0], FINE * place[1]), text, fill=INK, font=font, anchor=anchor)
