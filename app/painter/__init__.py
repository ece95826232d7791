"""The painter of masks on pictures: its script and style as strings for the page."""

from pathlib import Path

from app import player

PARTS = ("mask", "board", "keys", "painter")


def script() -> str:
    """JavaScript that defines the class Painter; its parts share one scope."""
    folder = Path(__file__).parent
    own = [(folder / f"{part}.js").read_text(encoding="utf-8") for part in PARTS]
    return "\n".join([player.script("dom"), *own])


def style() -> str:
    """The painter's style sheet, light and dark."""
    return (Path(__file__).parent / "painter.css").read_text(encoding="utf-8")
