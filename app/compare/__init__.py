"""The script and style of comparisons as strings; they build on those of the player."""

from pathlib import Path

PARTS = ("chart", "plots", "table", "comparison")


def script(*parts: str) -> str:
    """JavaScript that defines the class Comparison, or just some parts of it.

    It stands in the scope of the player's script.
    """
    folder = Path(__file__).parent
    return "\n".join((folder / f"{part}.js").read_text(encoding="utf-8") for part in parts or PARTS)


def style() -> str:
    """The style sheet, light and dark."""
    return (Path(__file__).parent / "compare.css").read_text(encoding="utf-8")
