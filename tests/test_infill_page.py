"""The tab Infill in a real browser."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from gradio_client import Client
from served import fits, served
from tiny_text import save_tiny_checkpoint

from app.interface import build_interface
from app.shelf import Shelf

Page = Any  # of playwright, which may be missing
TEXT = "The old king said nothing, and the fox flew away."


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("checkpoints")
    save_tiny_checkpoint(home / "tiny", length=64)
    with served(build_interface(Shelf([home], dtype=torch.float32))) as local:
        yield local


@pytest.fixture
def page(visit, address: str) -> Page:  # noqa: ANN001
    """The tab with TEXT in it, nothing masked."""
    page = visit(address)
    page.get_by_role("tab", name="Infill").click()
    page.wait_for_selector("#infill-editor .md-chip")
    write(page, TEXT)
    return page


def write(page: Page, text: str) -> None:
    page.get_by_role("button", name="Edit text").click()
    page.fill(".md-area", text)
    page.get_by_role("button", name="Show words").click()


def notation(page: Page) -> str:
    return page.input_value(".md-area")


def wait(page: Page, selector: str, pattern: str) -> str:
    page.wait_for_function(
        "([s, p]) => new RegExp(p).test(document.querySelector(s)?.textContent)",
        arg=[selector, pattern],
        polling=20,
    )
    return page.text_content(selector)


def test_the_keyboard_alone_masks_resizes_and_fills(page: Page) -> None:
    page.locator(".md-chip").first.focus()
    for key in ("ArrowRight", "Shift+ArrowRight", "m"):
        page.keyboard.press(key)
    assert notation(page) == TEXT.replace("old king", "[[old king]]")
    wait(page, ".md-size", r"^\d+ tokens")
    page.keyboard.press("+")
    assert re.search(r"\[\[old king\|\d+\]\]", notation(page))
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("m")
    assert "[[away]]." in notation(page)
    page.keyboard.press("u")
    assert "[[away]]" not in notation(page)
    page.keyboard.press("Control+z")
    assert "[[away]]" in notation(page)
    page.keyboard.press("Control+Enter")
    for k in (1, 2, 3):
        wait(page, f"#infill-player-{k} .md-status", r"^Done in .* seed \d+$")
        proof = page.text_content(f"#infill-player-{k} .md-proof")
        assert re.fullmatch(r"✓ \d+ given tokens unchanged, checked on the server", proof)
        assert page.locator(f"#infill-player-{k} .md-changes del").count() == 2
        text = page.text_content(f"#infill-player-{k} .md-text")
        assert text.startswith("The")
        assert " said nothing, and the fox flew" in text


def test_bundled_alternatives_play_before_any_model_is_loaded(visit, address: str) -> None:  # noqa: ANN001
    page = visit(address)
    page.get_by_role("tab", name="Infill").click()
    for k in (1, 2, 3):
        wait(page, f"#infill-player-{k} .md-status", f"^Recorded run of .* seed {k + 16}$")
        page.locator(f"#infill-player-{k}").get_by_role("button", name="Last step").click()
        assert page.locator(f"#infill-player-{k} .md-changes del").count() == 5
        text = page.text_content(f"#infill-player-{k} .md-text")
        assert text.startswith("Once upon a time there was")
        assert "every evening she sat by the fire and listened to" in text


def test_unmasking_leaves_the_text_as_if_there_had_been_no_mask(page: Page) -> None:
    for typed, left in [
        ("The [MASK] king.", "The king."),
        ("[MASK] The king.", "The king."),
        ("The king[MASK].", "The king."),
        ("The king [MASK][MASK].", "The king."),
        ("The [[old]] king.", "The old king."),
    ]:
        write(page, typed)
        page.get_by_role("button", name="Unmask all").click()
        assert notation(page) == left


def test_brackets_cannot_be_masked_and_the_page_says_so(page: Page) -> None:
    write(page, "The [old king.")
    bracket = page.locator(".md-chip-mark").first
    bracket.click()
    assert notation(page) == "The [old king."
    wait(page, ".md-about", "^“\\[” cannot be masked: brackets and bars are what holes are written")
    page.get_by_role("button", name="Edit text").click()
    wait(page, ".md-about", "brackets and bars cannot stand inside")


def test_the_mouse_masks_by_click_and_drag(page: Page) -> None:
    chips = page.locator(".md-chip")
    chips.nth(1).click()
    assert notation(page).startswith("The [[old]] king")
    chips.nth(1).click()
    assert notation(page) == TEXT
    chips.nth(1).hover()
    page.mouse.down()
    chips.nth(3).hover()
    page.mouse.up()
    assert notation(page).startswith("The [[old king said]] nothing")
    page.get_by_role("button", name="Unmask all").click()
    page.get_by_role("button", name="Mask a random 30 %").click()
    holes = re.findall(r"\[\[(.*?)\]\]", notation(page))
    assert sum(len(words.split()) for words in holes) == 3  # of 10 words


def test_what_is_wrong_with_a_text_is_told(page: Page) -> None:
    wait(page, ".md-facts", "nothing masked yet")
    page.click("#infill-go")
    wait(page, "#infill-player-1 .md-status", "Nothing is masked, so there is nothing to fill in")
    write(page, "word " * 200)
    wait(page, ".md-facts", "this model reads 64. Shorten the text by about")
    write(page, "A [MASK] <b>of</b> `${x}` {{y}} [[日本語]] é")
    wait(page, ".md-facts", r"^\d+ of 64 tokens · \d+ masked in 2 holes$")


def test_a_phone_in_the_dark_shows_all_of_it(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(address + "?__theme=dark")
    page.get_by_role("tab", name="Infill").click()
    page.wait_for_selector("#infill-editor .md-chip")
    write(page, "The [[old king]] said [MASK] nothing.")
    page.click("#infill-go")
    wait(page, "#infill-player-3 .md-status", "^Done in")
    fits(page, 390)


def test_the_endpoint_answers_a_program(address: str) -> None:
    client = Client(address, verbose=False)
    asked = {"text": "The [[old king]] said nothing.", "steps": 8, "seed": 4}
    result = client.predict(**asked, api_name="/infill_text")
    assert set(result) == {"text", "seed", "nfe", "seconds", "trajectory"}
    assert result["text"].startswith("The")
    assert result["text"].endswith(" said nothing.")
    assert client.predict(**asked, api_name="/infill_text")["text"] == result["text"]
    with pytest.raises(Exception, match="Nothing is masked"):
        client.predict(text="The old king", api_name="/infill_text")
