"""Serving a page to a test."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from app.interface import look
from app.shelf import Shelf
from mdcore.checkpoint import Checkpoint


class SlowShelf(Shelf):
    """A shelf whose models take a while, so that a run can be watched and stopped."""

    seconds = 0.0

    def load(self, name: str) -> Checkpoint:
        known = self.is_loaded(name)
        checkpoint = super().load(name)
        if not known:
            checkpoint.model.register_forward_pre_hook(lambda *_: time.sleep(self.seconds))
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
        ssr_mode=False,
        run_history=False,
        **look(),
    )
    try:
        yield address
    finally:
        page.close()
