"""Serving a page to a test."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from app.interface import look


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
