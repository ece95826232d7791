"""Every message of the page, each by doing what it warns of, in a real browser."""

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from gradio_client import Client
from served import served, wait
from tiny_image import save_tiny_image_model
from tiny_text import save_tiny_checkpoint

from app.interface import build_interface
from app.measure.visitor import Visitor
from app.shelf import Shelf
from mdcore.checkpoint import (
    WEIGHTS_FILE,
    Checkpoint,
    ModelConfig,
    build_model,
    load_checkpoint,
    save_checkpoint,
)
from mdcore.codecs import Characters

Page = Any  # of playwright, which may be missing


class Trouble(Shelf):
    """A shelf with a model that fits into no memory, and loading that lasts as long as wanted."""

    def __init__(self, folders: list[Path]) -> None:
        super().__init__(folders, dtype=torch.bfloat16, capacity=8)
        self.open = threading.Event()
        self.open.set()
        self.run = threading.Event()
        self.run.set()

    def load(self, name: str) -> Checkpoint:
        self.open.wait(30)
        known = self.is_loaded(name)
        checkpoint = super().load(name)
        if not known:
            hook = self._full if name == "huge" else self._wait
            checkpoint.model.register_forward_pre_hook(hook)
        return checkpoint

    def _full(self, *_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    def _wait(self, *_: object) -> None:
        self.run.wait(30)


def save_letters(folder: Path) -> None:
    """A model that knows small letters only."""
    config = ModelConfig(
        codec={"name": "characters", "length": 64},
        schedule={"name": "linear"},
        backbone={"name": "transformer", "width": 16, "depth": 1, "heads": 1},
    )
    codec = Characters(length=64)
    save_checkpoint(folder, Checkpoint(model=build_model(config), codec=codec, config=config))


def save_broken(folder: Path) -> None:
    """A model whose weights are not numbers."""
    checkpoint = load_checkpoint(save_tiny_checkpoint(folder))
    for weight in checkpoint.model.parameters():
        torch.nn.init.constant_(weight, float("nan"))
    save_checkpoint(folder, checkpoint)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Trouble:
    home = tmp_path_factory.mktemp("checkpoints")
    for name in ("tiny", "huge", "<b>cut"):
        save_tiny_checkpoint(home / name)
    weights = home / "<b>cut" / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:-100])
    save_letters(home / "letters")
    save_broken(home / "nan")
    save_tiny_image_model(home / "pictures", "grey", height=28, width=28)
    return Trouble([home])


@pytest.fixture(scope="module")
def address(shelf: Trouble) -> Iterator[str]:
    with served(build_interface(shelf)) as local:
        yield local


@pytest.fixture
def watch(visit: Callable[[str], Page], address: str) -> Page:
    """The tab Watch, with the tiny model."""
    page = visit(address)
    page.wait_for_selector(".md-player")
    choose(page, "watch", "tiny")
    return page


def choose(page: Page, tab: str, model: str) -> None:
    page.click(f"#{tab}-model input")
    page.get_by_role("option", name=f"{model} (").click()


def status(page: Page, text: str) -> None:
    """Wait for a status; a failure is said there and nowhere else."""
    wait(page, "#watch-player .md-status", f"^{text}$")
    assert page.locator(".toast-body").count() == 0


def test_loading(watch: Page, shelf: Trouble) -> None:
    shelf.open.clear()
    watch.click("#watch-generate")
    status(watch, "Loading tiny")
    shelf.open.set()
    status(watch, r"Done in \d+\.\d s, seed \d+")


def test_a_text_that_is_too_long(watch: Page) -> None:
    watch.fill("#watch-prompt textarea", "<i>word</i> " * 90)
    watch.click("#watch-generate")
    status(watch, r"[\d,]+ tokens; this model reads 48\. Shorten the text by about [\d,]+ tokens\.")


def test_characters_that_the_model_does_not_know(watch: Page) -> None:
    choose(watch, "watch", "letters")
    watch.fill("#watch-prompt textarea", "once <b>")
    watch.click("#watch-generate")
    status(
        watch,
        "These characters are unknown to this model: '<' at 5, '>' at 7. Replace or remove them.",
    )
    watch.get_by_role("tab", name="Infill").click()
    watch.wait_for_selector("#infill-editor .md-chip")
    choose(watch, "infill", "letters")
    watch.get_by_role("button", name="Edit text").click()
    watch.fill(".md-area", "[[a cat]] sat[MASK] É")
    wait(watch, ".md-facts", "unknown to this model: 'É' at 20. Replace or remove them.$")


def test_more_steps_than_masks_is_a_note(watch: Page) -> None:
    watch.click("#watch-generate")
    status(watch, r"Done in .*")
    note = "Only 48 tokens are masked: 64 steps need at most 48 network calls."
    assert watch.inner_text("#watch-player .md-note") == note


def test_memory_that_runs_out(watch: Page) -> None:
    choose(watch, "watch", "huge")
    watch.click("#watch-generate")
    status(
        watch,
        "The GPU ran out of memory at batch 1. Close what else uses it, or start with "
        "--device cpu.",
    )


def test_logits_that_are_no_numbers(watch: Page) -> None:
    choose(watch, "watch", "nan")
    watch.click("#watch-generate")
    status(watch, r"The model returned NaN at step \d+ in bfloat16. Start with --dtype float32.")
    choose(watch, "watch", "tiny")
    watch.click("#watch-generate")
    status(watch, "Done in .*")


def test_numbers_out_of_range_are_named(watch: Page) -> None:
    watch.fill("#watch-seed input", "-5")
    watch.click("#watch-generate")
    wait(watch, ".toast-body", r"seed is '-5'; give a whole number from 0 to 4,294,967,295\.")
    watch.fill("#watch-seed input", "5")
    watch.fill("#watch-steps input[type=number]", "5000")
    watch.keyboard.press("Control+Enter")
    wait(watch, ".toast-body", r"steps is '5000'; give a whole number from 1 to 4,096\.")


def test_nothing_is_masked(watch: Page) -> None:
    watch.get_by_role("tab", name="Infill").click()
    watch.wait_for_selector("#infill-editor .md-chip")
    choose(watch, "infill", "tiny")
    watch.get_by_role("button", name="Edit text").click()
    watch.fill(".md-area", "The old king.")
    wait(watch, ".md-facts", "nothing masked")
    watch.click("#infill-go")
    message = "Nothing is masked, so there is nothing to fill in. Select words and press M."
    wait(watch, "#infill-player-1 .md-status", f"^{message}$")
    watch.wait_for_function("document.querySelector('#infill-stop').disabled", polling=20)
    watch.fill(".md-area", "The [MASK] king.")
    wait(watch, ".md-facts", "1 masked in 1 hole")
    watch.click("#infill-go")
    wait(watch, "#infill-player-3 .md-status", "^Done in")
    watch.wait_for_function("document.querySelector('#infill-stop').disabled", polling=20)
    watch.fill(".md-area", "The king.")
    wait(watch, ".md-facts", "nothing masked")
    watch.click("#infill-go")
    wait(watch, "#infill-player-1 .md-status", f"^{message}$")
    said = watch.locator(".md-status").filter(visible=True).all_inner_texts()
    assert [text for text in said if text] == [message]


def test_a_damaged_checkpoint_is_listed_with_its_reason(watch: Page) -> None:
    notice = watch.inner_text("#watch-problems")
    assert re.search(r"<b>cut cannot be used: .* is damaged or cut short .*; copy", notice)
    watch.click("#watch-model input")
    names = watch.locator("#watch-model").get_by_role("option").all_inner_texts()
    assert [name.split(" (")[0].strip("✓ \n") for name in names] == [
        "huge",
        "letters",
        "nan",
        "pictures",
        "tiny",
    ]


def test_an_image_checkpoint_is_refused(address: str, shelf: Trouble) -> None:
    client = Client(address, verbose=False)
    told = re.escape("pictures is an image checkpoint (28x28x1). Choose it under an image tab.")
    for name in ("/generate_text", "/infill_text"):
        with pytest.raises(Exception, match=told):
            client.predict("a [MASK]", checkpoint="pictures", api_name=name)


def test_a_queue_that_is_full(watch: Page, address: str, shelf: Trouble) -> None:
    """One runs, sixteen wait; whoever comes then is told so, and may come back."""
    watch.click("#watch-generate")
    status(watch, "Done in .*")
    shelf.run.clear()
    joined = threading.Semaphore(0)
    crowd = threading.Thread(target=lambda: asyncio.run(_crowd(address, joined)))
    crowd.start()
    try:
        assert all(joined.acquire(timeout=30) for _ in range(17))
        watch.click("#watch-generate")
        status(watch, "Busy: 16 requests are waiting. Try again in a minute.")
    finally:
        shelf.run.set()
        crowd.join()
    watch.click("#watch-generate")
    status(watch, "Done in .*")


async def _crowd(address: str, joined: threading.Semaphore) -> None:
    async with contextlib.AsyncExitStack() as stack:
        visitors = [await stack.enter_async_context(Visitor(address)) for _ in range(17)]
        await asyncio.gather(*(_run(visitor, joined) for visitor in visitors))


async def _run(visitor: Visitor, joined: threading.Semaphore) -> None:
    values = {"watch-prompt": "", "watch-model": "tiny", "watch-steps": 2}
    told = ""
    async for text in visitor.press("watch-generate", values):
        if not told:
            joined.release()
        told = text
    assert '"state":"done"' in told


def test_an_empty_shelf_still_shows_a_page(visit: Callable[[str], Page], tmp_path: Path) -> None:
    folder = tmp_path / "<b>none_`x`_${y}"
    folder.mkdir()
    with served(build_interface(Shelf([folder]))) as local:
        page = visit(local)
        page.wait_for_selector(".md-player")
        notice = page.inner_text("#watch-problems")
        assert notice.startswith(f"No model in {tmp_path}/<b>none_x_${{y}}. Train one with")
        assert "python -m training.train childrens-books" in notice
        assert page.get_by_label("Model", exact=True).count() == 0
        page.click("#watch-generate")
        wait(page, "#watch-player .md-status", "^No text model in .*<b>none_`x`_.* Train one")
