"""The player's script and style as strings: for the page, and for runs saved as one file."""

from pathlib import Path

PARTS = ("dom", "trajectory", "card", "text_view", "sparkline", "transport", "player")


def script() -> str:
    """JavaScript that defines the class Player; its parts share one scope."""
    folder = Path(__file__).parent
    return "\n".join((folder / f"{part}.js").read_text(encoding="utf-8") for part in PARTS)


def style() -> str:
    """The player's style sheet, light and dark."""
    return (Path(__file__).parent / "player.css").read_text(encoding="utf-8")
