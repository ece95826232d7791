"""The whole of Watch and of Infill without a mouse."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from served import SlowShelf, served, wait
from tiny_text import save_tiny_checkpoint

from app.interface import build_interface

Page = Any  # of playwright, which may be missing
STOPS = 120  # more than a tab has, so that what cannot be reached is found out
SEEN = """() => {
  const there = document.activeElement;
  const near = [there, there.nextElementSibling, ...there.querySelectorAll('.md-face')];
  return near.filter(Boolean).some((element) => {
    const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(element);
    return (outlineStyle !== 'none' && parseFloat(outlineWidth) > 0) || boxShadow !== 'none';
  });
}"""
WHERE = "(() => { const e = document.activeElement; return e.outerHTML.slice(0, 200); })()"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> SlowShelf:
    home = tmp_path_factory.mktemp("checkpoints")
    for name in ("first", "second"):
        save_tiny_checkpoint(home / name, length=64)
    return SlowShelf([home], dtype=torch.float32)


@pytest.fixture(scope="module")
def address(shelf: SlowShelf) -> Iterator[str]:
    with served(build_interface(shelf)) as local:
        yield local


@pytest.fixture
def page(visit: Callable[[str], Page], address: str, shelf: SlowShelf) -> Page:
    """A fresh visit; from here on there is only a keyboard."""
    shelf.seconds = 0.0
    page = visit(address)
    page.wait_for_selector(".md-player .md-play")
    return page


def go(page: Page, selector: str, key: str = "Tab") -> None:
    """Press Tab until the focus is there; each stop on the way shows that it has the focus."""
    for _ in range(STOPS):
        page.keyboard.press(key)
        assert page.evaluate(SEEN), f"no visible focus: {page.evaluate(WHERE)}"
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached with {key}")


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def status(page: Page, pattern: str) -> str:
    return wait(page, "#watch-player .md-status", pattern)


def readout(page: Page, pattern: str) -> str:
    return wait(page, "#watch-player .md-readout", pattern)


def option(page: Page, selector: str, chosen: str) -> None:
    """Go to a menu and choose its second entry."""
    go(page, selector)
    press(page, "ArrowDown", "Enter")
    page.wait_for_function(
        "([s, text]) => document.querySelector(s).value.startsWith(text)", arg=[selector, chosen]
    )


def test_a_run_is_asked_for_and_stopped(page: Page, shelf: SlowShelf) -> None:
    go(page, "#watch-prompt textarea")
    page.keyboard.type("Once upon")
    option(page, "#watch-model input", "second")
    go(page, "#watch-steps input[type=number]")
    press(page, "Control+a", "4", "0")
    go(page, "#watch-steps input[type=range]")
    press(page, "ArrowRight")
    option(page, "#watch-sampler input", "First hitting")
    go(page, "#watch-more button")
    press(page, "Enter")
    go(page, "#watch-grid input")
    press(page, "ArrowRight")
    go(page, "#watch-temperature input[type=range]")
    press(page, "ArrowLeft")
    go(page, "#watch-top-p input[type=range]")
    press(page, "ArrowLeft")
    go(page, "#watch-seed input")
    press(page, "Control+a", "5")
    go(page, "#watch-dice")
    go(page, "#watch-lock input")
    shelf.seconds = 0.6
    press(page, "Control+Enter")
    status(page, r"^step \d+/\d+ ·")
    go(page, "#watch-stop", "Shift+Tab")
    press(page, "Enter")
    status(page, r"^Stopped at step \d+/\d+\. Partial result kept\.$")
    shelf.seconds = 0.0
    go(page, "#watch-generate", "Shift+Tab")
    press(page, "Enter")
    status(page, "^Done in .* seed 5$")
    assert page.text_content("#watch-player .md-text").startswith("Once upon")


def test_a_run_is_played_and_questioned(page: Page) -> None:
    go(page, "#watch-generate")
    press(page, "Enter")
    status(page, "^Done in")
    go(page, "#watch-player [name^=md-colour]")
    for shown in ("early", "100 %", "bits"):
        press(page, "ArrowRight")
        assert shown in page.inner_text("#watch-player .md-legend")
    go(page, "#watch-player .md-token")
    press(page, "End", "ArrowLeft")
    assert page.evaluate("document.activeElement.dataset.position") == "62"
    assert "Revealed at step" in page.inner_text("#watch-player .md-card-facts")
    assert page.locator("#watch-player .md-candidate-share").count() == 5
    press(page, "Escape")
    page.locator("#watch-player .md-card").wait_for(state="hidden")
    go(page, "#watch-player .md-scrub")
    press(page, "Home")
    readout(page, "^step 0/64")
    press(page, "ArrowRight", "ArrowRight")
    readout(page, "^step 2/64")
    go(page, "#watch-player [aria-label='Step forward']")
    press(page, "Enter", "Space")
    readout(page, "^step 4/64")
    go(page, "#watch-player [aria-label='Last step']")
    press(page, "Enter")
    readout(page, "^step 64/64")
    go(page, "#watch-player [aria-label=Loop]")
    press(page, "Space")
    assert page.get_attribute("#watch-player [aria-label=Loop]", "aria-pressed") == "true"
    go(page, "#watch-player .md-speed")
    press(page, "ArrowDown")
    assert page.input_value("#watch-player .md-speed") == "2"
    go(page, "#watch-player .md-play", "Shift+Tab")
    press(page, "Enter")
    readout(page, "^step [1-9]")
    press(page, "k")
    assert page.get_attribute("#watch-player .md-play", "aria-label") == "Play"


def test_a_text_is_masked_filled_and_compared(page: Page) -> None:
    go(page, "#md-tabs [role=tab]")
    press(page, "ArrowRight")
    go(page, "#infill-editor .md-typing")
    press(page, "Enter", "Control+a")
    page.keyboard.type("The old king said nothing, and the fox flew away.")
    go(page, "#infill-editor .md-typing", "Shift+Tab")
    press(page, "Enter")
    go(page, "#infill-editor .md-chip")
    press(page, "ArrowRight", "Shift+ArrowRight", "m")
    assert "[[old king]]" in page.input_value(".md-area")
    wait(page, ".md-size", r"^\d+ tokens")
    press(page, "+")
    assert re.search(r"\[\[old king\|\d+\]\]", page.input_value(".md-area"))
    press(page, "End", "ArrowLeft", "m", "u")
    assert "away." in page.input_value(".md-area")
    press(page, "ArrowLeft", "m")
    assert "[[flew]]" in page.input_value(".md-area")
    wait(page, ".md-size", r"^\d+ tokens")
    go(page, "#infill-editor .md-length button")
    press(page, "Space")
    go(page, "#infill-go")
    press(page, "Enter")
    for k in (1, 2, 3):
        wait(page, f"#infill-player-{k} .md-status", "^Done in")
        go(page, f"#infill-player-{k} .md-token")
        page.locator(f"#infill-player-{k} .md-card").wait_for()
        press(page, "Escape")
        assert page.locator(f"#infill-player-{k} .md-changes del").count() == 2


def test_a_third_of_the_words_at_random(page: Page) -> None:
    go(page, "#md-tabs [role=tab]")
    press(page, "ArrowRight")
    go(page, "#infill-editor .md-chip")
    go(page, "#infill-editor .md-tools button", "Shift+Tab")
    while page.evaluate("document.activeElement.textContent") != "Unmask all":
        press(page, "Shift+Tab")
    press(page, "Enter")
    assert "[[" not in page.input_value(".md-area")
    press(page, "Shift+Tab", "Enter")
    assert "[[" in page.input_value(".md-area")


def test_unwelcome_motion_stays_away(visit: Callable[[str], Page], address: str) -> None:
    """Nothing moves by itself: the bundled run waits at its end, and nothing fades or breathes."""
    page = visit("about:blank")
    page.emulate_media(reduced_motion="reduce")
    page.goto(address)
    page.wait_for_selector("#watch-player .md-token")
    label = page.get_attribute("#watch-player .md-play", "aria-label")
    before = page.inner_text("#watch-player .md-readout")
    page.click("#watch-generate")
    status(page, "^Done in")
    name = "(a) => a.animationName || a.transitionProperty || a.effect.target.className"
    moving = page.evaluate(f"document.getAnimations().map({name})")
    assert (label, moving) == ("Play", [])
    assert re.match(r"step (\d+)/\1 ", before)
