"""Open the page: python -m app [--checkpoints DIR ...]."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro

from app.shelf import BUNDLED, Shelf
from mdcore.hardware import DeviceName, pick_device


@dataclass(frozen=True)
class Arguments:
    """A page on which one watches masked diffusion models write."""

    checkpoints: tuple[Path, ...] = ()
    """Checkpoints, or folders that hold some; the bundled models if not given."""
    device: DeviceName = "auto"
    """Where models run."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the matrix work; auto takes what is fast on the device."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets other machines in."""
    port: int = 7860
    """Port to listen on."""
    share: bool = False
    """Also open a public link through Gradio's servers."""


def main() -> None:
    """Serve the page until interrupted."""
    arguments = tyro.cli(Arguments)
    for folder in arguments.checkpoints:
        if not folder.is_dir():
            sys.exit(f"There is no folder {folder}. Give --checkpoints a folder of checkpoints.")
    try:
        device = pick_device(arguments.device)
    except ValueError as error:
        sys.exit(str(error))
    shelf = Shelf(
        arguments.checkpoints or (BUNDLED,),
        device=device,
        dtype=None if arguments.dtype == "auto" else getattr(torch, arguments.dtype),
    )
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from app.interface import build_interface, look

    try:
        build_interface(shelf).launch(
            server_name=arguments.host,
            server_port=arguments.port,
            share=arguments.share,
            **look(),
        )
    except OSError as error:
        sys.exit(f"{error} Choose another port with --port.")


if __name__ == "__main__":
    main()
