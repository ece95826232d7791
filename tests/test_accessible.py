"""The page for everyone: axe-core finds nothing serious, in light and dark, wide and narrow."""

from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from typing import Any

import pytest
import torch
from served import SlowShelf, served, wait
from tiny_image import save_tiny_image_model
from tiny_text import save_tiny_checkpoint

from app.interface import build_interface

Page = Any  # of playwright, which may be missing
TEXT = "The old king said [MASK] nothing, and the [[little bird]] flew away."
NARROW = "document.documentElement.scrollWidth <= window.innerWidth"
ASK = """async ([within, contrast]) => {
  const finite = (animation) => animation.effect.getComputedTiming().iterations < Infinity;
  await Promise.all(document.getAnimations().filter(finite).map((a) => a.finished.catch(() => 0)));
  const rules = { 'color-contrast': { enabled: contrast } };
  const { violations } = await axe.run(within, { resultTypes: ['violations'], rules });
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.html).join(' ')}`);
}"""


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> SlowShelf:
    home = tmp_path_factory.mktemp("checkpoints")
    save_tiny_checkpoint(home / "tiny", length=64)
    save_tiny_image_model(home / "tiny-picture", "grey", height=28, width=28)
    return SlowShelf([home], dtype=torch.float32)


@pytest.fixture(scope="module")
def address(shelf: SlowShelf) -> Iterator[str]:
    with served(build_interface(shelf)) as local:
        yield local


@pytest.fixture(scope="module")
def axe() -> str:
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is missing")
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(params=["light", "dark"])
def page(
    visit: Callable[[str], Page], address: str, axe: str, request: pytest.FixtureRequest
) -> Page:
    """A fresh visit with axe in the page."""
    page = visit(f"{address}?__theme={request.param}")
    page.wait_for_selector(".md-player .md-play")
    page.evaluate(f"{axe}\n0")
    return page


def check(
    page: Page, state: str, within: str = "html", *, contrast: Sequence[int] = (1280,)
) -> None:
    """On a desk and on a phone nothing serious is wrong, and nothing is wider than the window.

    Contrast is what takes axe its time, so it is asked for where it may differ.
    """
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        page.wait_for_function(NARROW, polling=20)
        assert page.evaluate(ASK, [within, width in contrast]) == [], (state, width)


def test_watch(page: Page, shelf: SlowShelf) -> None:
    check(page, "fresh", contrast=())
    page.click("#watch-more")
    page.click("#watch-sampler input")
    check(page, "an open menu", "#watch-sampler")
    page.get_by_role("option", name="Remask rescale").click()
    shelf.seconds = 0.3
    page.fill("#watch-steps input[type=number]", "30")
    page.click("#watch-generate")
    wait(page, "#watch-player .md-status", r"^step \d+/30 ·")
    check(page, "running")
    shelf.seconds = 0.0
    wait(page, "#watch-player .md-status", "^Done in")
    for colour in ("Reveal step", "Confidence", "Entropy"):
        page.get_by_text(colour, exact=True).click()
        check(page, f"coloured by {colour}", "#watch-player .md-text")
    page.locator("#watch-player .md-token").nth(20).focus()
    check(page, "a token's card")
    page.fill("#watch-prompt textarea", "word " * 200)
    page.click("#watch-generate")
    wait(page, "#watch-player .md-status", "Shorten the text by about")
    page.fill("#watch-seed input", "-5")
    page.click("#watch-generate")
    wait(page, ".toast-body", "seed is '-5'")
    check(page, "a failure and a message", contrast=(390, 1280))


def test_infill(page: Page) -> None:
    page.get_by_role("tab", name="Infill").click()
    page.wait_for_selector("#infill-editor .md-chip")
    check(page, "fresh", contrast=())
    page.get_by_role("button", name="Edit text").click()
    page.fill(".md-area", TEXT)
    check(page, "typing", ".md-editor")
    page.get_by_role("button", name="Show words").click()
    page.locator(".md-hole .md-chip").last.focus()
    wait(page, ".md-size", "tokens?$")
    check(page, "a hole", ".md-editor")
    page.click("#infill-go")
    wait(page, "#infill-player-3 .md-status", "^Done in")
    check(page, "three alternatives", contrast=(390, 1280))
    page.locator("#infill-player-2 .md-token").nth(3).focus()
    check(page, "a token's card", "#infill-player-2")
    page.get_by_role("button", name="Unmask all").click()
    wait(page, ".md-facts", "nothing masked")
    page.click("#infill-go")
    wait(page, "#infill-player-1 .md-status", "Nothing is masked")
    check(page, "a failure", contrast=())


def test_infill_of_a_picture(page: Page) -> None:
    page.get_by_role("tab", name="Infill").click()
    page.click("#infill-model input")
    page.get_by_role("option", name="tiny-picture").click()
    wait(page, "#infill-painter .md-sum", "^392 of 784 pixels masked")
    page.locator("#infill-painter .md-board").focus()
    page.keyboard.press("Space")
    check(page, "painting", "#infill-painter", contrast=(390, 1280))
    page.click("#infill-painter button:has-text('Last sample')")
    page.click("#infill-go-picture")
    wait(page, "#infill-picture .md-status", "^Done in")
    check(page, "three results", contrast=(390, 1280))


def test_compare(page: Page) -> None:
    page.get_by_role("tab", name="Compare").click()
    page.wait_for_selector("#compare-view .md-chart .md-line")
    check(page, "fresh", contrast=())
    page.click("#compare-count label:has-text('3')")
    page.click("#compare-model input")
    page.get_by_role("option", name="tiny (").click()
    page.click("#compare-generate")
    wait(page, "#compare-view .md-overall .md-status", "^Done in")
    check(page, "three runs", contrast=(390, 1280))


def test_about_the_maths(page: Page) -> None:
    page.get_by_role("tab", name="About the maths").click()
    wait(page, "#about-lesson", "None of the models here learned its schedule")
    check(page, "about", contrast=(390, 1280))
