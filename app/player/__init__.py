"""The player's script and style as strings: for the page, and for runs saved as one file."""

from pathlib import Path

PARTS = (
    "dom",
    "pieces",
    "looks",
    "trajectory",
    "draft",
    "whatif",
    "candidates",
    "tools",
    "card",
    "text_view",
    "pixel_view",
    "sparkline",
    "transport",
    "difference",
    "given",
    "colours",
    "branches",
    "editing",
    "portrait",
    "files",
    "saving",
    "player",
)
SHEETS = (
    "player",
    "top",
    "stage",
    "pixels",
    "card",
    "edit",
    "difference",
    "given",
    "bottom",
    "saving",
    "narrow",
)


def script(*parts: str) -> str:
    """JavaScript that defines the class Player, or just some parts of it; they share one scope."""
    folder = Path(__file__).parent
    return "\n".join((folder / f"{part}.js").read_text(encoding="utf-8") for part in parts or PARTS)


def style() -> str:
    """The player's style sheet, light and dark."""
    folder = Path(__file__).parent
    return "\n".join((folder / f"{sheet}.css").read_text(encoding="utf-8") for sheet in SHEETS)
