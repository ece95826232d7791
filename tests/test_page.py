"""The page in a real browser: Debian's chromium through playwright."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from gradio_client import Client
from served import SlowShelf, fits, served
from tiny_text import save_tiny_checkpoint

from app import live
from app.interface import build_interface
from app.lane import Lane
from app.state import Settings
from app.tabs import watch

Page = Any  # of playwright, which may be missing


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> SlowShelf:
    home = tmp_path_factory.mktemp("checkpoints")
    save_tiny_checkpoint(home / "tiny")
    return SlowShelf([home], dtype=torch.float32)


@pytest.fixture(scope="module")
def page_of(shelf: SlowShelf, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running page, with a bundled run of the tiny model."""
    examples = tmp_path_factory.mktemp("examples")
    request = Settings(seed=3).request("tiny", "Once upon a time", fill=True)
    stored = live.complete(shelf, Lane(), request, "nobody")["trajectory"]
    (examples / "tiny.json").write_text(json.dumps(stored))
    before, watch.EXAMPLES = watch.EXAMPLES, examples
    page = build_interface(shelf)
    watch.EXAMPLES = before
    with served(page) as address:
        yield address


@pytest.fixture
def page(visit, page_of: str, shelf: SlowShelf) -> Page:  # noqa: ANN001
    """A fresh visit."""
    shelf.seconds = 0.0
    page = visit(page_of)
    page.wait_for_selector(".md-token")
    return page


def wait(page: Page, pattern: str) -> str:
    """The player's status, once it matches."""
    page.wait_for_function(
        "p => new RegExp(p).test(document.querySelector('.md-status').textContent)",
        arg=pattern,
        polling=20,
    )
    return page.inner_text(".md-status")


def keep_seed(page: Page, seed: int) -> None:
    page.fill("#watch-seed input", str(seed))
    page.wait_for_function("document.querySelector('#watch-lock input').checked", polling=20)


def text_of(page: Page) -> str:
    return page.evaluate("document.querySelector('.md-text').textContent")


def generate(page: Page, seed: int) -> str:
    keep_seed(page, seed)
    page.click("#watch-generate")
    wait(page, f"^Done in .*seed {seed}$")
    return text_of(page)


def test_the_bundled_run_plays_before_any_model_is_loaded(page, shelf: SlowShelf) -> None:  # noqa: ANN001
    assert page.locator("h1").count() == 1
    assert page.inner_text(".md-status") == "Recorded run of tiny: 64 steps, seed 3"
    page.wait_for_function("/^step [1-9]/.test(document.querySelector('.md-readout').textContent)")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Last step").click()
    readout = page.inner_text(".md-readout")
    assert re.fullmatch(
        r"step 64/64 · t=0\.00 · alpha=1\.00 · masked 0/\d+ · \d+ network calls", readout
    )
    assert text_of(page).startswith("Once upon a time")


def test_generate_streams_and_ends_with_the_seed(page, shelf: SlowShelf) -> None:  # noqa: ANN001
    shelf.seconds = 0.02
    keep_seed(page, 77)
    page.fill("#watch-prompt textarea", "The old king")
    page.keyboard.press("Control+Enter")
    running = wait(page, r"^step \d+/64 · [\d.]+ steps/s · [\d.]+ s left$")
    assert not running.startswith("step 64")
    masked = page.locator('.md-token[data-state="masked"]').count()
    assert masked > 0
    wait(page, r"^Done in \d+\.\d s, seed 77$")
    assert page.locator('.md-token[data-state="masked"]').count() == 0
    assert text_of(page).startswith("The old king")
    assert page.locator('.md-token[data-state="given"]').count() > 0


def test_the_same_seed_gives_the_same_text_and_another_another(page) -> None:  # noqa: ANN001
    first = generate(page, 5)
    assert generate(page, 6) != first
    assert generate(page, 5) == first


def test_an_unlocked_seed_is_rolled(page) -> None:  # noqa: ANN001
    page.click("#watch-generate")
    status = wait(page, "^Done in")
    seed = page.input_value("#watch-seed input")
    assert status.endswith(f"seed {seed}")
    assert seed != "1234"
    page.click("#watch-dice")
    page.wait_for_function("document.querySelector('#watch-lock input').checked", polling=20)
    assert page.input_value("#watch-seed input") != seed


def test_replay_asks_the_server_nothing_and_never_reflows(page) -> None:  # noqa: ANN001
    generate(page, 5)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    boxes = "[...document.querySelectorAll('.md-token')].map(t => t.getBoundingClientRect().left)"
    final = page.evaluate(boxes)
    scrub = page.locator(".md-scrub")
    for step in (0, 10, 33, 64):
        scrub.fill(str(step))
        assert page.inner_text(".md-readout").startswith(f"step {step}/64")
        assert page.evaluate(boxes) == final
    assert scrub.get_attribute("aria-valuetext").startswith("step 64/64")
    scrub.focus()
    page.keyboard.press("Home")
    assert page.inner_text(".md-readout").startswith("step 0/64")
    assert page.locator('.md-token[data-state="masked"]').count() == 48
    page.keyboard.press("k")
    page.wait_for_function("/^step [1-9]/.test(document.querySelector('.md-readout').textContent)")
    page.keyboard.press("k")
    assert [url for url in requests if "heartbeat" not in url] == []


def test_a_token_tells_its_candidates(page) -> None:  # noqa: ANN001
    generate(page, 5)
    for position in (3, 20, 40):
        page.locator(".md-token").nth(position).hover()
        assert "Revealed at step" in page.inner_text(".md-card-facts")
        shares = page.locator(".md-candidate-share").all_inner_texts()
        assert len(shares) == 5
        assert sum(float(share.strip("<% ")) for share in shares) <= 100
    page.locator(".md-token").nth(7).focus()
    before = page.inner_text(".md-card-title")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.position") == "8"
    assert page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text(".md-card-title") == before
    page.keyboard.press("Escape")
    page.locator(".md-card").wait_for(state="hidden")


def test_colours_and_their_legend(page) -> None:  # noqa: ANN001
    generate(page, 5)
    for label, legend in [
        ("Reveal step", "early"),
        ("Confidence", "100 %"),
        ("Entropy", "bits"),
        ("State", "revealed before"),
    ]:
        page.get_by_text(label, exact=True).click()
        assert legend in page.inner_text(".md-legend")


def test_remasked_tokens_play_back(page) -> None:  # noqa: ANN001
    page.click("#watch-sampler input")
    page.get_by_role("option", name="Remask rescale").click()
    generate(page, 5)
    assert "masked again" in page.inner_text(".md-legend")
    states = "document.querySelectorAll('.md-token[data-state=\"again\"]').length"
    scrub = page.locator(".md-scrub")
    seen = 0
    for step in range(64):
        scrub.fill(str(step))
        seen += page.evaluate(states)
    assert seen > 0


def test_stop_five_times_and_then_a_run_works(page, shelf: SlowShelf) -> None:  # noqa: ANN001
    shelf.seconds = 0.1
    for _ in range(5):
        page.click("#watch-generate")
        wait(page, r"^step \d+/64 ·")
        start = time.monotonic()
        page.click("#watch-stop")
        status = wait(page, r"^Stopped at step \d+/64\. Partial result kept\.$")
        assert time.monotonic() - start < 5.0  # less than the run; 250 ms is for app.measure
        done = int(re.search(r"step (\d+)", status).group(1))
        assert page.inner_text(".md-readout").startswith(f"step {done}/64")
        page.wait_for_function("document.querySelector('#watch-stop').disabled", polling=20)
    shelf.seconds = 0.0
    generate(page, 5)


def test_a_second_visitor_waits_and_then_runs(browser, page, page_of: str, shelf) -> None:  # noqa: ANN001
    shelf.seconds = 0.3
    other = browser.new_page()
    other.goto(page_of)
    other.wait_for_selector(".md-token")
    keep_seed(page, 1)
    keep_seed(other, 2)
    page.click("#watch-generate")
    wait(page, r"^step \d+/64")
    other.click("#watch-generate")
    wait(other, "^Waiting: 1 ahead$")
    shelf.seconds = 0.0
    wait(page, "seed 1$")
    wait(other, "seed 2$")
    other.close()


def test_a_closed_tab_frees_the_lane(browser, page, page_of: str, shelf) -> None:  # noqa: ANN001
    shelf.seconds = 0.2
    other = browser.new_page()
    other.goto(page_of)
    other.wait_for_selector(".md-token")
    other.click("#watch-generate")
    wait(other, r"^step \d+/64")
    other.close()
    start = time.monotonic()
    page.click("#watch-generate")
    wait(page, r"^step \d+/64")
    assert time.monotonic() - start < 10.0  # less than the run of the tab
    shelf.seconds = 0.0
    wait(page, "^Done in")


def test_an_error_is_told_where_one_looks(page) -> None:  # noqa: ANN001
    page.fill("#watch-prompt textarea", "word " * 200)
    page.click("#watch-generate")
    assert "this model reads 48. Shorten the text by about" in wait(page, "reads 48")
    page.fill("#watch-prompt textarea", "")
    generate(page, 5)


def test_a_phone_shows_all_of_it(page) -> None:  # noqa: ANN001
    page.set_viewport_size({"width": 390, "height": 844})
    generate(page, 5)
    fits(page, 390)
    page.locator(".md-token").nth(5).click()
    card = page.locator(".md-card").bounding_box()
    assert card["x"] >= 0
    assert card["x"] + card["width"] <= 390


def test_the_dark_page_is_dark(page, page_of: str) -> None:  # noqa: ANN001
    colours = """() => ['backgroundColor', 'color'].map((name) =>
        getComputedStyle(document.querySelector('.md-player'))[name].match(/\\d+/g).map(Number))"""
    light_paper, light_ink = page.evaluate(colours)
    page.goto(page_of + "?__theme=dark")
    page.wait_for_selector(".md-token")
    dark_paper, dark_ink = page.evaluate(colours)
    assert sum(light_paper) > sum(light_ink)
    assert sum(dark_paper) < sum(dark_ink)


def test_the_endpoint_answers_a_program(page_of: str) -> None:
    client = Client(page_of, verbose=False)
    result = client.predict(prompt="The", steps=8, seed=4, api_name="/generate_text")
    assert set(result) == {"text", "seed", "nfe", "seconds", "trajectory"}
    assert result["text"].startswith("The")
    assert result["seed"] == 4
    again = client.predict(prompt="The", steps=8, seed=4, api_name="/generate_text")
    assert again["text"] == result["text"]
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(named) == {
        "/generate_text",
        "/infill_text",
        "/generate_image",
        "/infill_image",
        "/compare",
    }
