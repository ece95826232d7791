"""A page to be measured: models that cost what one wants, on a free port."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio as gr
import torch

from app.interface import look
from app.shelf import BUNDLED, Shelf
from mdcore.checkpoint import Checkpoint, ModelConfig, build_model, read_config, save_checkpoint
from mdcore.codecs import CODECS


class SlowShelf(Shelf):
    """A shelf whose models take a while, so that a run can be watched and stopped."""

    seconds = 0.0

    def load(self, name: str) -> Checkpoint:
        """As Shelf, each network call `seconds` longer."""
        known = self.is_loaded(name)
        checkpoint = super().load(name)
        if not known:
            checkpoint.model.denoiser.register_forward_pre_hook(lambda *_: time.sleep(self.seconds))
        return checkpoint


@contextmanager
def served(page: gr.Blocks) -> Iterator[str]:
    """The address of a page while the block runs."""
    with socket.socket() as probe:  # gradio leaves a socket open at each port that is taken
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    _, address, _ = page.launch(
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        **look(),
    )
    try:
        yield address
    finally:
        page.close()


def stand_in(folder: Path, length: int) -> Path:
    """A checkpoint with the bundled model's tokens, and next to no network behind them."""
    bundled = Shelf([BUNDLED]).find(None).folder
    spec = {**read_config(bundled)["model"]["codec"], "length": length}
    config = ModelConfig(
        codec=spec,
        schedule={"name": "linear"},
        backbone={"name": "transformer", "width": 16, "depth": 1, "heads": 1},
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(config)
    codec = CODECS.build(spec, folder=bundled)
    save_checkpoint(folder, Checkpoint(model=model, codec=codec, config=config))
    return folder
