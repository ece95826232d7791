"""The painter by itself, in a page without Gradio and without a server."""

import base64
import json
from typing import Any

import numpy as np

from app import painter, player

Page = Any  # of playwright, which may be missing
WIDTH, HEIGHT = 28, 28
PAGE = """<!doctype html><meta charset="utf-8"><title>Painter</title>
<style>{style}</style><body class="{theme}"><div id="here"></div><script>
{script}
const told = {told};
const values = [];
const server = {{ describe: async () => told, convert: async () => told.converted }};
const painter = new Painter(
  document.getElementById('here'), (value) => values.push(value), server, () => null);
painter.choose('tiny');
</script></body>"""


def packed(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def open_easel(page: Page, pixels: np.ndarray, theme: str = "", **more: Any) -> None:
    """Show the painter with one example picture, (28, 28, channels)."""
    told = {
        "codec": "tiny",
        "width": WIDTH,
        "height": HEIGHT,
        "channels": pixels.shape[-1],
        "rule": "Uploads are cut.",
        "invertible": True,
        "examples": [{"name": "one", "pixels": packed(pixels)}],
        **more,
    }
    style = player.style() + painter.style()
    page.set_content(
        PAGE.format(style=style, script=painter.script(), told=json.dumps(told), theme=theme)
    )
    page.wait_for_function("values.length > 0", polling=20)


def mask_of(value: dict[str, Any]) -> np.ndarray:
    """The mask (28, 28) bool of the painter's value, read as APP.md says."""
    bits = np.unpackbits(np.frombuffer(base64.b64decode(value["mask"]), np.uint8))
    return bits.reshape(HEIGHT, WIDTH).astype(bool)


def cells(*corners: tuple[int, int, int, int]) -> np.ndarray:
    """A mask that covers some rectangles: left, top, right, bottom, the last two excluded."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    for left, top, right, bottom in corners:
        mask[max(0, top) : bottom, max(0, left) : right] = True
    return mask


def middle(page: Page, x: float, y: float, board: str = ".md-board") -> tuple[float, float]:
    """Where the middle of a pixel of the picture is in the window."""
    box = page.locator(f"{board} .md-above").bounding_box()
    return (
        box["x"] + (x + 0.5) * box["width"] / WIDTH,
        box["y"] + (y + 0.5) * box["height"] / HEIGHT,
    )


def pixels_of(page: Page, canvas: str) -> np.ndarray:
    """What a canvas holds, (height, width, 4)."""
    width, values = page.evaluate(
        """selector => { const c = document.querySelector(selector);
        return [c.width, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]; }""",
        canvas,
    )
    return np.array(values, np.uint8).reshape(-1, width, 4)
