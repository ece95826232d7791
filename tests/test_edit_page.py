"""Edit and go on, and what if, in a real browser."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from served import SlowShelf, fits, served, wait
from tiny_text import save_tiny_checkpoint

from app.interface import build_interface

Page = Any  # of playwright, which may be missing
WATCH = "#watch-player"
FRAME = 30


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> SlowShelf:
    home = tmp_path_factory.mktemp("checkpoints")
    save_tiny_checkpoint(home / "tiny")
    return SlowShelf([home], dtype=torch.float32)


@pytest.fixture(scope="module")
def address(shelf: SlowShelf) -> Iterator[str]:
    with served(build_interface(shelf)) as local:
        yield local


@pytest.fixture
def page(visit, address: str, shelf: SlowShelf) -> Page:  # noqa: ANN001
    """Watch, after a run with the prompt "The old king", back at a step in its midst."""
    shelf.seconds = 0.0
    page = visit(address)
    page.fill("#watch-prompt textarea", "The old king")
    page.fill("#watch-seed input", "5")
    page.wait_for_function("document.querySelector('#watch-lock input').checked", polling=20)
    page.click("#watch-generate")
    wait(page, f"{WATCH} .md-status", "seed 5$")
    page.locator(f"{WATCH} .md-scrub").fill(str(FRAME))
    return page


def states(page: Page, player: str = WATCH) -> list[str]:
    return page.evaluate(
        "p => [...document.querySelectorAll(p + ' .md-token')].map(t => t.dataset.state)", player
    )


def words(page: Page, player: str = WATCH) -> list[str]:
    """The words of all tokens, those under masks too."""
    return page.evaluate(
        "p => [...document.querySelectorAll(p + ' .md-token')].map(t => t.textContent)", player
    )


def shown(page: Page, player: str = WATCH) -> list[str | None]:
    pairs = zip(words(page, player), states(page, player), strict=True)
    return [None if state in ("masked", "again") else word for word, state in pairs]


def first(page: Page, state: str) -> int:
    """The first position in that state, with another of its kind beside it."""
    found = states(page)
    return next(k for k in range(3, len(found) - 1) if found[k] == found[k + 1] == state)


def token(page: Page, position: int, player: str = WATCH) -> Any:
    return page.locator(f"{player} .md-token").nth(position)


def agree(some: list[str | None], all_: list[str | None]) -> bool:
    """Whether what is shown in the first list stands in the second too.

    Bytes are left out: what they look like depends on their neighbours.
    """
    pairs = zip(some, all_, strict=True)
    return all(a is None or a == b or "‹" in a + str(b) or not a.strip() for a, b in pairs)


def go_on(page: Page) -> None:
    page.click(f"{WATCH} .md-go-on")
    page.wait_for_selector(f"{WATCH} .md-branches button[aria-pressed='true']")
    page.wait_for_function(
        "p => document.querySelector(p).dataset.run === 'done'",
        arg=f"{WATCH} .md-mount",
        polling=20,
    )


def branch(page: Page, name: str) -> None:
    page.locator(f"{WATCH} .md-branches button", has_text=re.compile(f"^{name}")).click()


def test_the_mouse_edits_and_the_run_goes_on(page: Page) -> None:
    before = shown(page)
    page.locator(f"{WATCH} .md-scrub").fill("64")
    parent = words(page)
    page.locator(f"{WATCH} .md-scrub").fill(str(FRAME))
    gap, seen = first(page, "masked"), first(page, "shown")

    token(page, seen).click()
    page.get_by_role("button", name="Mask again").click()
    assert states(page)[seen] == "masked"
    token(page, seen + 1).click()
    picks = page.locator(f"{WATCH} .md-pick")
    other = picks.nth(1 if picks.nth(0).get_attribute("aria-pressed") else 0)
    chosen = other.locator(".md-candidate-word").inner_text()
    other.click()
    assert page.inner_text(f"{WATCH} .md-card-title") == chosen
    token(page, gap).click()
    page.fill(f"{WATCH} .md-type", "fox")
    page.get_by_role("button", name="Put “␣fox” here").click()
    assert page.inner_text(f"{WATCH} .md-edit-count") == "3 edits"
    edited = shown(page)
    assert edited[seen] is None
    assert "fox" in "".join(word or "" for word in edited[gap:])

    go_on(page)
    assert page.inner_text(f"{WATCH} .md-readout").startswith("step 64/64")
    after = words(page)
    assert None not in shown(page)
    assert agree(edited, after)
    assert after != parent
    page.locator(f"{WATCH} .md-scrub").fill(str(FRAME))
    assert [word is None for word in shown(page)] == [word is None for word in edited]
    assert states(page)[0] == states(page)[seen + 1] == "given"
    page.locator(f"{WATCH} .md-scrub").fill(str(FRAME - 1))
    assert sum(word is None for word in shown(page)) >= sum(word is None for word in before)

    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    branch(page, "Parent")
    page.locator(f"{WATCH} .md-scrub").fill("64")
    assert words(page) == parent
    assert page.locator(f"{WATCH} .md-edit-count").inner_text() == ""
    branch(page, "Branch 1 · from step 30")
    page.locator(f"{WATCH} .md-scrub").fill("64")
    assert words(page) == after
    assert [url for url in requests if "heartbeat" not in url] == []


def test_the_keyboard_alone_edits_and_goes_on(page: Page) -> None:
    page.locator(f"{WATCH} .md-scrub").focus()  # what follows is keys alone
    _press(page, "Shift+Tab", "document.activeElement.matches('.md-token')")
    seen = first(page, "shown")
    _walk(page, seen)
    page.keyboard.press("m")
    assert states(page)[seen] == "masked"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Delete")
    assert states(page)[seen : seen + 3] == ["masked"] * 3 or states(page)[seen + 1] == "masked"
    page.keyboard.press("u")
    assert states(page)[seen + 1] == "shown"
    _walk(page, seen)
    page.keyboard.press("2")
    assert states(page)[seen] == "given"
    gap = first(page, "masked")
    _walk(page, gap)
    page.keyboard.press("Enter")
    page.keyboard.type("king")
    page.wait_for_selector(f"{WATCH} .md-options button")
    page.keyboard.press("Enter")
    assert states(page)[gap] == "given"
    assert page.evaluate("document.activeElement.matches('.md-token')")
    edited = shown(page)
    _press(page, "Tab", "document.activeElement.matches('.md-go-on')")
    page.keyboard.press("Enter")
    wait(page, f"{WATCH} .md-branches", "Branch 1")
    wait(page, f"{WATCH} .md-readout", "^step 64/64")
    after = words(page)
    assert agree(edited, after)
    _press(page, "Shift+Tab", "document.activeElement.textContent === 'Parent'")
    page.keyboard.press("Enter")
    assert page.inner_text(f"{WATCH} .md-readout").startswith(f"step {FRAME}/64")


def _press(page: Page, key: str, condition: str) -> None:
    for _ in range(60):
        page.keyboard.press(key)
        if page.evaluate(condition):
            return
    raise AssertionError(f"{key} never led to where {condition}")


def _walk(page: Page, position: int) -> None:
    page.keyboard.press("Home")
    for _ in range(position):
        page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.position") == str(position)


def test_text_that_does_not_fit_says_so_and_where_it_does(page: Page) -> None:
    found = states(page)
    ends = [*found, "end"]
    gap = next(k for k in range(4, len(found)) if ends[k - 1 : k + 2][1] == "masked" != ends[k + 1])
    token(page, gap).click()
    page.fill(f"{WATCH} .md-type", "a zebra with a violin and a very long and curious name")
    told = wait(page, f"{WATCH} .md-options", "makes")
    assert re.search(r"makes \d+ tokens, and this gap has \d+\. Shorten it, or mask \d+ more", told)
    page.fill(f"{WATCH} .md-type", "[MASK]")
    wait(page, f"{WATCH} .md-told", "what is not typed here stays masked")


def test_the_model_is_asked_about_a_mask(page: Page) -> None:
    token(page, first(page, "masked")).click()
    page.get_by_role("button", name="Ask the model").click()
    wait(page, f"{WATCH} .md-card-caption", "What the model expects in this frame")
    assert page.locator(f"{WATCH} .md-pick").count() == 5


def test_what_if_reshapes_at_once_and_asks_nothing(page: Page) -> None:
    token(page, first(page, "shown")).click()
    page.locator(f"{WATCH} .md-whatif summary").click()
    shares = page.locator(f"{WATCH} .md-candidate-share")
    plain = shares.all_inner_texts()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.get_by_label("What if: Temperature").fill("0")
    assert shares.all_inner_texts() == ["100.0 %", *["0 %"] * 4]
    page.get_by_label("What if: Temperature").fill("0.5")
    assert shares.first.inner_text() != plain[0]
    assert "What if temperature 0.50, top-p 1.00" in page.inner_text(f"{WATCH} .md-whatif summary")
    page.get_by_role("button", name="As the model").click()
    assert shares.all_inner_texts() == plain
    page.get_by_label("What if: Top-p").fill("0.05")
    kept = [float(share.strip("<% ")) for share in shares.all_inner_texts()]
    assert 99 < sum(kept) <= 100 < 20 * sum(float(share.strip("<% ")) for share in plain)
    assert [url for url in requests if "heartbeat" not in url] == []


def spoil(page: Page, **changed: Any) -> None:
    """Change what the page is going to send of a frame."""

    def change(route: Any) -> None:
        body = json.loads(route.request.post_data or "{}")
        if body.get("event_data"):
            body["event_data"] |= changed
        route.continue_(post_data=json.dumps(body))

    page.route("**/queue/join*", change)


def test_a_wrong_frame_is_answered_with_its_reason(page: Page) -> None:
    spoil(page, v=99)
    page.click(f"{WATCH} .md-go-on")
    told = wait(page, ".toast-wrap", "has format")
    assert "This frame has format '99'; this version reads 1. Load the page again." in told


def test_infill_goes_on_in_one_alternative_and_takes_it_as_the_text(page: Page) -> None:
    page.get_by_role("tab", name="Infill").click()
    page.wait_for_selector("#infill-editor .md-chip")
    page.get_by_role("button", name="Edit text").click()
    page.fill(".md-area", "The [[old king]] said nothing, and the [[fox]] flew away.")
    page.get_by_role("button", name="Show words").click()
    page.fill("#infill-seed input", "7")
    page.wait_for_function("document.querySelector('#infill-lock input').checked", polling=20)
    page.click("#infill-go")
    wait(page, "#infill-player-3 .md-status", "^Done")
    first_text = words(page, "#infill-player-1")
    second = "#infill-player-2"
    given = states(page, second).index("given")
    revealed = states(page, second).index("shown")
    token(page, given, second).click()
    page.locator(f"{second} .md-tool-row button", has_text="Mask again").click()
    token(page, revealed, second).click()
    page.keyboard.press("m")
    page.click(f"{second} .md-go-on")
    wait(page, f"{second} .md-branches", "Branch 1")
    proof = wait(page, f"{second} .md-proof", "given tokens unchanged")
    count = states(page, second).count("given")
    assert proof == f"✓ {count} given tokens unchanged, checked on the server"
    assert page.locator(f"{second} .md-changes del").count() == 3  # the holes, and the given token
    assert words(page, "#infill-player-1") == first_text
    page.locator("#infill-player-1 .md-branches").wait_for(state="hidden")
    spoil(page, tokens=[99999, None], given=[0])
    token(page, revealed, second).click()
    page.keyboard.press("m")
    page.click(f"{second} .md-go-on")
    wait(page, f"{second} .md-status", "Token 99,999 at position 0 is unknown to this model")
    page.locator(second).get_by_role("button", name="Undo all").click()
    text = re.sub("‹[^›]*›", "\N{REPLACEMENT CHARACTER}", "".join(words(page, second)))
    page.locator(second).get_by_role("button", name="Use as the text").click()
    assert page.input_value(".md-area") == text
    page.get_by_role("button", name="Undo", exact=True).first.click()
    assert page.input_value(".md-area").startswith("The [[old king]]")


def test_parts_of_characters_are_joined(page: Page) -> None:
    page.fill("#watch-prompt textarea", "The é and the —")
    page.click("#watch-generate")
    wait(page, f"{WATCH} .md-readout", "^step 64/64")
    text = page.text_content(f"{WATCH} .md-text")
    assert text.startswith("The é and the —")
    assert "\N{REPLACEMENT CHARACTER}" not in text
    position = words(page).index("é")
    token(page, position).click()
    box = token(page, position).locator(".md-face").bounding_box()
    after = token(page, position + 1).locator(".md-face").bounding_box()
    assert box["width"] == pytest.approx(after["width"], abs=0.1)  # half of the letter each


def test_a_phone_keeps_stop_in_reach(page: Page, shelf: SlowShelf) -> None:
    page.set_viewport_size({"width": 390, "height": 500})
    shelf.seconds = 1.0
    page.click("#watch-generate")
    page.wait_for_selector(f"{WATCH} .md-stop:visible")
    page.evaluate("window.scrollTo(0, document.querySelector('.md-readout').offsetTop + 300)")
    box = page.locator(f"{WATCH} .md-stop").bounding_box()
    assert 0 <= box["y"] <= 450
    page.locator(f"{WATCH} .md-stop").click()
    wait(page, f"{WATCH} .md-status", "^Stopped at step")
    fits(page, 390)


def test_the_legend_is_seen_without_scrolling(page: Page) -> None:
    page.evaluate("window.scrollTo(0, 0)")
    box = page.locator(f"{WATCH} .md-legend").bounding_box()
    assert box["y"] + box["height"] <= 900
