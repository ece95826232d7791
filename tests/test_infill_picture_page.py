"""The tab Infill for pictures in a real browser."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from easel import Page, cells, middle, pixels_of
from PIL import Image
from served import fits, served, wait
from tiny_image import save_tiny_image_model
from tiny_text import save_tiny_checkpoint

from app.interface import build_interface
from app.shelf import Shelf

BOARD = "#infill-painter .md-board"
SHOWN = "#infill-painter .md-below"
FIRST = Path(__file__).parent.parent / "assets" / "examples" / "pictures" / "digit-2.png"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("checkpoints")
    save_tiny_image_model(home / "digits", "grey", height=28, width=28)
    save_tiny_image_model(home / "emoji", "palette")
    save_tiny_checkpoint(home / "words", length=192)
    with served(build_interface(Shelf([home], dtype=torch.float32))) as local:
        yield local


@pytest.fixture
def page(visit: Callable[[str], Page], address: str) -> Page:
    """The tab with the first digit, its lower half masked, and runs of eight steps."""
    return infill(visit(address))


def infill(page: Page) -> Page:
    page.get_by_role("tab", name="Infill").click()
    page.wait_for_selector("#infill-painter .md-thumbs canvas")
    page.fill("#infill-steps input[type=number]", "8")
    page.locator("#infill-steps input[type=number]").press("Tab")
    return page


def choose(page: Page, menu: str, option: str) -> None:
    page.click(f"#infill-{menu} input")
    page.get_by_role("option", name=option).click()


def results(page: Page, count: int) -> None:
    page.click(f"#infill-count label:has-text('{count}')")


def fill(page: Page) -> None:
    page.evaluate("document.querySelector('#infill-picture .md-status')?.replaceChildren()")
    page.click("#infill-go-picture")
    wait(page, "#infill-picture .md-status", r"^Done in .* seed \d+$")


def use(page: Page, number: int = 1) -> np.ndarray:
    """Take a result as the picture; its grey values."""
    page.locator("#infill-picture .md-results button").nth(number - 1).click()
    page.wait_for_function(
        "document.querySelector('#infill-painter .md-sum').textContent.startsWith('0 of')",
        polling=20,
    )
    return pixels_of(page, SHOWN)[..., 0]


def test_what_is_not_masked_comes_back_bit_for_bit(page: Page) -> None:
    digit = np.asarray(Image.open(FIRST))
    mask = cells((0, 14, 28, 28), (3, 4, 11, 5))
    page.click("#infill-painter .md-brushes label:has-text('1')")
    page.mouse.move(*middle(page, 3, 4, BOARD))
    page.mouse.down()
    page.mouse.move(*middle(page, 10, 4, BOARD))
    page.mouse.up()
    fill(page)
    before, after = (
        pixels_of(page, f"#infill-picture .md-before {c}") for c in ("canvas", ".md-holes")
    )
    assert np.array_equal(before[..., 0], digit)
    assert np.array_equal(after[..., 3] == 0, mask)
    assert np.array_equal(after[~mask][:, 0], digit[~mask])
    proof = page.inner_text("#infill-picture .md-proof")
    assert proof == f"✓ {(~mask).sum()} given pixels unchanged, checked on the server"
    drawn = [use(page, number) for number in (1, 2, 3)]
    for result in drawn:
        assert np.array_equal(result[~mask], digit[~mask])
        assert (result[mask] != digit[mask]).mean() > 0.5
    assert not np.array_equal(drawn[0], drawn[1])
    for _ in drawn:
        page.click("#infill-painter button:has-text('Undo')")
    assert np.array_equal(pixels_of(page, SHOWN)[..., 0], digit)
    assert page.inner_text("#infill-painter .md-sum") == f"{mask.sum()} of 784 pixels masked"


def test_one_scrubber_goes_through_the_results(page: Page) -> None:
    results(page, 1)
    fill(page)
    assert page.locator("#infill-picture .md-results button").inner_text() == (
        "Use this result as the picture"
    )
    page.locator("#infill-picture .md-scrub").fill("0")
    assert "masked 392/392" in page.inner_text("#infill-picture .md-readout")
    use_masked = page.locator("#infill-picture .md-results button")
    page.click("#infill-painter button[aria-label='Border']")
    use_masked.click()
    assert page.inner_text("#infill-painter .md-sum") == "392 of 784 pixels masked"
    assert "unchanged" in page.inner_text("#infill-picture .md-proof")


def test_a_run_gone_on_with_still_shows_what_was_before(page: Page) -> None:
    results(page, 1)
    fill(page)
    before = pixels_of(page, "#infill-picture .md-before canvas")
    page.locator("#infill-picture .md-sheet canvas").click(position={"x": 60, "y": 300})
    page.keyboard.press("m")
    page.keyboard.press("Escape")
    page.evaluate("document.querySelector('#infill-picture .md-status').replaceChildren()")
    page.click("#infill-picture .md-go-on")
    wait(page, "#infill-picture .md-status", "^Done in")
    page.wait_for_selector("#infill-picture .md-branches button")
    assert np.array_equal(pixels_of(page, "#infill-picture .md-before canvas"), before)
    assert page.inner_text("#infill-picture .md-proof").startswith("✓ 392 given pixels")
    assert use(page).shape == (28, 28)


def test_the_class_and_the_seed_decide(page: Page) -> None:
    results(page, 1)
    page.fill("#infill-seed input", "5")
    page.wait_for_function("document.querySelector('#infill-lock input').checked", polling=20)
    drawn = []
    for name in ("any", "dog", "any"):
        choose(page, "label", name)
        fill(page)
        drawn.append(use(page))
        page.click("#infill-painter button:has-text('Undo')")
    assert np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], drawn[1])


def test_what_is_wrong_is_told(page: Page) -> None:
    page.click("#infill-painter button:has-text('Clear')")
    page.click("#infill-go-picture")
    wait(
        page,
        "#infill-picture .md-status",
        r"^Nothing is masked, so there is nothing to fill in\. Paint over pixels first\.$",
    )
    page.click("#infill-painter button:has-text('Last sample')")
    wait(page, "#infill-painter .md-problem", "no sample of a picture yet. Generate one in Watch")


def test_the_tab_follows_the_model(page: Page) -> None:
    editor, painter = page.locator("#infill-editor"), page.locator("#infill-painter")
    assert editor.is_hidden()
    fill(page)
    choose(page, "model", "words")
    page.wait_for_selector("#infill-editor .md-chip")
    assert painter.is_hidden()
    page.locator("#infill-picture").wait_for(state="hidden")
    page.locator("#infill-count").wait_for(state="hidden")
    page.click("#infill-go")
    wait(page, "#infill-player-1 .md-status", "^Done in")
    choose(page, "model", "emoji")
    wait(page, "#infill-painter .md-sum", "32 of 64 pixels masked")
    assert editor.is_hidden()
    fill(page)
    assert page.inner_text("#infill-picture .md-proof").startswith("✓ 32 given pixels")


def test_the_last_sample_of_watch_is_painted_on(page: Page) -> None:
    page.get_by_role("tab", name="Watch").click()
    page.fill("#watch-steps input[type=number]", "8")
    page.locator("#watch-steps input[type=number]").press("Tab")
    page.click("#watch-generate")
    wait(page, "#watch-player .md-status", "^Done in")
    page.get_by_role("tab", name="Infill").click()
    before = pixels_of(page, SHOWN)
    page.click("#infill-painter button:has-text('Last sample')")
    wait(page, "#infill-painter .md-sum", "^0 of 784")
    assert not np.array_equal(pixels_of(page, SHOWN), before)


def test_a_phone_in_the_dark_shows_all_of_it(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(address + "?__theme=dark")
    infill(page)
    fill(page)
    fits(page, 390)
    for canvas in page.locator("#infill-picture canvas").all():
        box = canvas.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
