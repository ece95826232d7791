"""The endpoints for images, for programs."""

import uuid
from typing import Any

import gradio as gr
from gradio.events import api

from app.lane import Lane
from app.live import complete
from app.shelf import Shelf
from app.state import Settings
from app.tabs.runs import told
from app.uploads import read_image


def add_image_endpoints(shelf: Shelf, lane: Lane) -> None:
    """Add /generate_image and /infill_image."""
    _add_generate(shelf, lane)
    _add_infill(shelf, lane)


def _add_generate(shelf: Shelf, lane: Lane) -> None:
    def generate_image(
        request: gr.Request,
        label: str | int | None = None,
        checkpoint: str | None = None,
        steps: int = 64,
        sampler: str = "ancestral",
        grid: str = "uniform",
        temperature: float = 1.0,
        top_p: float = 1.0,
        guidance: float = 1.0,
        seed: int = 0,
    ) -> dict[str, Any]:
        """An image, perhaps of a class: PNG in base64, seed, nfe, seconds and the trajectory."""
        with told():
            settings = Settings(
                steps=steps,
                sampler=sampler,
                grid=grid,
                temperature=temperature,
                top_p=top_p,
                guidance=guidance,
                seed=seed,
            )
            asked = settings.picture(checkpoint, label=label)
            return complete(shelf, lane, asked, request.session_hash or uuid.uuid4().hex)

    api(generate_image, api_name="generate_image", concurrency_limit=None)


def _add_infill(shelf: Shelf, lane: Lane) -> None:
    def infill_image(
        request: gr.Request,
        image: str = "",
        mask: str | None = None,
        label: str | int | None = None,
        checkpoint: str | None = None,
        steps: int = 64,
        sampler: str = "ancestral",
        grid: str = "uniform",
        temperature: float = 1.0,
        top_p: float = 1.0,
        guidance: float = 1.0,
        seed: int = 0,
    ) -> dict[str, Any]:
        """An image filled in where it is masked or transparent; "given" tells of the rest."""
        with told():
            settings = Settings(
                steps=steps,
                sampler=sampler,
                grid=grid,
                temperature=temperature,
                top_p=top_p,
                guidance=guidance,
                seed=seed,
            )
            codec = shelf.image_codec(checkpoint)
            asked = settings.picture(checkpoint, read_image(image, mask, codec), label=label)
            result = complete(shelf, lane, asked, request.session_hash or uuid.uuid4().hex)
            return result | {"given": _unchanged(result["trajectory"]["lines"][-1], codec.shape)}

    api(infill_image, api_name="infill_image", concurrency_limit=None)


def _unchanged(end: dict[str, Any], shape: tuple[int, int, int]) -> str:
    """What became of the given pixels, from what the run counted of their tokens."""
    given, kept = end["given"] // shape[2], end["kept"] // shape[2]
    pixels = f"{given:,} given pixel{'' if given == 1 else 's'}"
    if kept == given:
        return f"{pixels} unchanged"
    return f"{given - kept:,} of {pixels} changed, which must not happen. Please report it."
