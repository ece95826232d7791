"""The script and style of the lesson as strings; they build on those of the player and charts."""

from pathlib import Path

from app import compare, player


def script() -> str:
    """JavaScript that defines the class Lesson."""
    own = (Path(__file__).parent / "lesson.js").read_text(encoding="utf-8")
    return "\n".join([player.script("dom"), compare.script("chart"), own])


def style() -> str:
    """The style sheet, light and dark; it needs those of the player and of comparisons."""
    return (Path(__file__).parent / "lesson.css").read_text(encoding="utf-8")
