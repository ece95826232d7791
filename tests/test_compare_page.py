"""Tab Compare in a real browser, and its endpoint."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from gradio_client import Client
from gradio_client.exceptions import AppError
from readme import python_with
from served import SlowShelf, served, wait
from tiny_image import save_tiny_image_model
from tiny_text import save_tiny_checkpoint

from app.interface import build_interface

Page = Any  # of playwright, which may be missing
STATUS = "#compare-view .md-overall .md-status"
READOUTS = "[...document.querySelectorAll('#compare-view .md-side:not([hidden]) .md-readout')].map(p => p.textContent)"  # noqa: E501
LINES = "(chart) => [...chart.querySelectorAll('.md-line')].map((path) => path.getAttribute('d'))"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> SlowShelf:
    home = tmp_path_factory.mktemp("checkpoints")
    save_tiny_checkpoint(home / "tiny")
    save_tiny_checkpoint(home / "tiny-learned", schedule="learned_polynomial")
    save_tiny_image_model(home / "tiny-picture", "grey")
    return SlowShelf([home], dtype=torch.float32, capacity=3)


@pytest.fixture(scope="module")
def address(browser: Any, shelf: SlowShelf) -> Iterator[str]:
    # The browser has an event loop; without one gradio opens some and closes none.
    with served(build_interface(shelf)) as local:
        yield local


@pytest.fixture(scope="module")
def client(address: str) -> Client:
    return Client(address, verbose=False)


@pytest.fixture
def come(visit: Callable[[str], Page], address: str, shelf: SlowShelf) -> Callable[..., Page]:
    """Opens the tab, by a link if there are parameters."""
    shelf.seconds = 0.0

    def come(parameters: str = "") -> Page:
        page = visit(f"{address}?{parameters}")
        page.wait_for_selector(".md-player", state="attached")  # hidden behind a link's tab
        if not parameters:
            page.get_by_role("tab", name="Compare").click()
            wait(page, STATUS, "^Press Generate")
            page.wait_for_selector("#compare-view .md-chart .md-line")
        return page

    return come


def choose(page: Page, menu: str, option: str) -> None:
    page.click(f"#compare-{menu} input")
    page.get_by_role("option", name=option, exact=True).click()


def set_steps(page: Page, panel: int, steps: int) -> None:
    page.fill(f"#compare-{panel}-steps input[type=number]", str(steps))
    page.keyboard.press("Tab")


def generate(page: Page, seed: int = 5) -> None:
    page.fill("#compare-seed input", str(seed))
    page.wait_for_function("document.querySelector('#compare-lock input').checked", polling=20)
    page.click("#compare-generate")
    wait(page, STATUS, f"^Done in .*seed {seed}$")


def chart(page: Page, title: str) -> Page:
    return page.locator(".md-chart:visible").filter(has_text=title)


def points(path: str) -> list[list[float]]:
    return [[float(v) for v in pair.split()] for pair in path.removeprefix("M").split("L")]


def test_panels_stream_together_and_end_together(
    come: Callable[..., Page], shelf: SlowShelf
) -> None:
    page = come()
    shelf.seconds = 0.02
    page.fill("#compare-prompt textarea", "The old king")
    page.keyboard.press("Control+Enter")
    wait(page, STATUS, r"^[1-9]\d? % of the steps of each panel$")
    page.wait_for_function(f"{READOUTS}.every((told) => /^step [1-9]/.test(told))", polling=20)
    steps = [int(re.match(r"step (\d+)/64", told).group(1)) for told in page.evaluate(READOUTS)]
    assert abs(steps[0] - steps[1]) <= 2
    shelf.seconds = 0.0
    wait(page, STATUS, r"^Done in \d+\.\d s, seed \d+$")
    assert page.input_value("#compare-seed input") in page.inner_text(STATUS)
    texts = page.locator("#compare-view .md-text").all_text_contents()
    assert len(texts) == 2
    assert all(text.startswith("The old king") for text in texts)
    assert page.locator('#compare-view .md-token[data-state="masked"]').count() == 0
    assert [told.split(" ·")[0] for told in page.evaluate(READOUTS)] == ["step 64/64"] * 2
    names = page.locator(".md-side-name").all_text_contents()
    assert names == [
        "Linear, uniform grid, ancestral, 64 steps",
        "Cosine, uniform grid, ancestral, 64 steps",
    ]


def test_one_scrubber_moves_all_players(come: Callable[..., Page]) -> None:
    page = come()
    page.click("#compare-count label:has-text('3')")
    set_steps(page, 2, 16)
    choose(page, "3-sampler", "First hitting")
    generate(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    ranges = page.locator("#compare-view input[type=range]:visible")
    assert ranges.count() == 1
    ranges.fill("32")
    told = [text.split(" ·")[0] for text in page.evaluate(READOUTS)]
    assert told == ["step 32/64", "step 8/16", "step 24/48"]
    ranges.focus()
    page.keyboard.press("Home")
    assert (
        page.locator('#compare-view .md-side:not([hidden]) .md-token[data-state="masked"]').count()
        == 144
    )
    page.locator("#compare-view .md-save").first.focus()
    page.keyboard.press("End")  # in a player, too
    assert (
        page.locator('#compare-view .md-side:not([hidden]) .md-token[data-state="masked"]').count()
        == 0
    )
    page.locator("#compare-view .md-sparkline").nth(1).click(position={"x": 1, "y": 10})
    assert all(text.startswith("step 0/") for text in page.evaluate(READOUTS))
    page.locator("#compare-view .md-play:visible").click()
    page.wait_for_function(f"{READOUTS}.every((told) => !/^step 0/.test(told))", polling=20)
    assert [url for url in asked if "heartbeat" not in url] == []


def test_the_same_noise_shows_the_same_order(come: Callable[..., Page]) -> None:
    page = come()
    generate(page)
    assert "both panels reveal the 48 positions in the same order" in wait(
        page, "#compare-view .md-order", "^Same noise"
    )
    lines = chart(page, "Which position goes when").evaluate(LINES)
    assert len(lines) == 2
    for line in lines:
        times = [x for x, _ in points(line)]
        assert times == sorted(times)
        assert len(times) == 48
    page.click("#compare-noise label")
    generate(page)
    wait(page, "#compare-view .md-order", "noise of its own")
    times = [[x for x, _ in points(line)] for line in chart(page, "goes when").evaluate(LINES)]
    assert any(each != sorted(each) for each in times)
    page.click("#compare-noise label")
    choose(page, "2-sampler", "Margin")
    generate(page)
    wait(page, "#compare-view .md-order", "margin chooses its own")


def test_the_table_and_the_bars_say_what_happened(come: Callable[..., Page]) -> None:
    page = come()
    set_steps(page, 1, 8)
    generate(page)
    rows = {
        row.locator("th").inner_text(): row.locator("td").all_inner_texts()
        for row in page.locator(".md-figures tbody tr").all()
    }
    assert list(rows) == [
        "Steps",
        "Network calls",
        "Most tokens in one step",
        "Mean entropy at reveal",
        "Time",
        "Bits per token",
    ]
    assert rows["Steps"] == ["8", "64"]
    assert all(re.fullmatch(r"\d+\.\d\d ± \d+\.\d\d", cell) for cell in rows["Bits per token"])
    about = chart(page, "A: tokens in each step").locator("svg").get_attribute("aria-label")
    assert f"at most {rows['Most tokens in one step'][0]} revealed in one" in about
    assert chart(page, "A: tokens in each step").locator(".md-bars").get_attribute("d")


def test_curves_move_with_the_controls(come: Callable[..., Page]) -> None:
    page = come()
    alpha, pace = chart(page, "Share still clean"), chart(page, "B: tokens in each step")
    before = alpha.evaluate(LINES)
    assert points(before[0])[32][1] == pytest.approx(510, abs=1)  # linear: half of the height
    choose(page, "2-schedule", "Geometric")
    changed = (
        "(old) => document.querySelectorAll('.md-chart .md-line')[1].getAttribute('d') !== old"
    )
    page.wait_for_function(changed, arg=before[1], polling=20)
    assert alpha.evaluate(LINES)[0] == before[0]
    set_steps(page, 2, 10)
    page.wait_for_function(
        "document.querySelector('.md-charts').textContent && [...document.querySelectorAll("
        "'.md-chart svg')].some((s) => s.getAttribute('aria-label')?.startsWith('B: 10 steps'))",
        polling=20,
    )
    assert len(points(pace.evaluate(LINES)[0])) == 10
    page.click("#compare-count label:has-text('3')")
    chart(page, "C: tokens in each step").wait_for()
    page.locator("#compare-3-schedule").wait_for()
    page.click("#compare-count label:has-text('2')")
    page.wait_for_selector("#compare-3-schedule", state="hidden")


def test_a_learned_schedule_stays_and_the_page_says_why(come: Callable[..., Page]) -> None:
    page = come()
    page.click("#compare-model input")
    page.get_by_role("option", name="tiny-learned").click()
    wait(page, "#compare-1-schedule", "learned a schedule for each token")
    page.wait_for_function(
        "document.querySelector('#compare-1-schedule input').value.includes('own')", polling=20
    )
    page.wait_for_selector(".options", state="hidden")
    page.click("#compare-2-schedule input")
    page.locator(".options li").first.wait_for()
    assert page.locator(".options li").count() == 1
    page.keyboard.press("Escape")
    set_steps(page, 2, 20)
    generate(page)
    wait(page, "#compare-view .md-order", "with a schedule for each token")


def test_pictures(come: Callable[..., Page]) -> None:
    page = come()
    page.fill("#compare-prompt textarea", "is hidden, and plays no part")
    page.click("#compare-model input")
    page.get_by_role("option", name="tiny-picture").click()
    page.wait_for_selector("#compare-label")
    page.wait_for_selector("#compare-prompt", state="hidden")
    choose(page, "label", "dog")
    generate(page)
    assert page.locator("#compare-view .md-sheet canvas").count() == 2
    wait(page, "#compare-view .md-order", "the 48 positions in the same order")


def test_stop_keeps_what_there_is(come: Callable[..., Page], shelf: SlowShelf) -> None:
    page = come()
    shelf.seconds = 0.2
    page.click("#compare-generate")
    wait(page, STATUS, r"^\d+ % of the steps")
    page.click("#compare-stop")
    wait(page, STATUS, r"^Stopped\. Partial results kept\.$")
    ends = page.locator("#compare-view .md-side .md-status").all_text_contents()
    assert all(re.match(r"Stopped (at step \d+/64|before it began)\.", end) for end in ends), ends
    page.wait_for_function("document.querySelector('#compare-stop').disabled", polling=20)
    shelf.seconds = 0.0
    generate(page)


def test_a_failure_is_told(come: Callable[..., Page]) -> None:
    page = come()
    page.fill("#compare-prompt textarea", "word " * 200)
    page.click("#compare-generate")
    wait(page, STATUS, "this model reads 48. Shorten the text by about")
    page.fill("#compare-prompt textarea", "")
    generate(page)


def test_a_link_makes_it_again_and_a_run_can_be_saved(come: Callable[..., Page]) -> None:
    page = come(
        "tab=compare&model=tiny&panels=3&noise=other&seed=9&prompt=The+fox"
        "&schedule1=geometric&steps1=10&sampler2=margin&grid3=cosine"
    )
    wait(page, STATUS, "^Done in .*seed 9$")
    assert page.locator(".md-side-name").all_text_contents() == [
        "Geometric, uniform grid, ancestral, 10 steps",
        "Cosine, uniform grid, margin, 64 steps",
        "Polynomial, cosine grid, ancestral, 64 steps",
    ]
    assert not page.locator("#compare-noise input").is_checked()
    page.locator("#compare-view .md-save").nth(2).click()
    with page.expect_download() as caught:
        page.locator(".md-save-menu:visible button:has-text('Data')").click()
    start = json.loads(caught.value.path().read_text())["lines"][1]["start"]
    expected = {"tab": "compare", "panels": "3", "noise": "other", "sampler2": "margin"}
    assert expected.items() <= start["link"].items()


# By program


def test_the_endpoint_answers_a_program(client: Client) -> None:
    panels = [{"schedule": "cosine", "steps": 8}, {"schedule": "linear", "grid": "cosine"}]
    asked = {"panels": panels, "prompt": "The", "seed": 4, "draws": 2}
    result = client.predict(**asked, api_name="/compare")
    assert set(result) == {"panels", "seed", "same_noise", "same_order"}
    assert result["same_order"] is True
    first, second = result["panels"]
    assert first["text"].startswith("The")
    assert (first["steps"], second["grid"]) == (8, "cosine")
    assert first["trajectory"]["format"]
    again = client.predict(**asked, api_name="/compare")
    assert [panel["text"] for panel in again["panels"]] == [first["text"], second["text"]]
    usual = client.predict(draws=0, api_name="/compare")
    assert [panel["schedule"] for panel in usual["panels"]] == ["linear", "cosine"]
    drawn = client.predict(checkpoint="tiny-picture", label="dog", draws=0, api_name="/compare")
    assert drawn["panels"][0]["image"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"panels": [{}]}, "1 panels; give 2 or 3."),
        ({"panels": [{}, {"schedule": "sine"}]}, "Panel 2: Unknown schedule 'sine'. Did you mean"),
        ({"draws": 1000}, "draws is '1000'; give a whole number from 0 to 64"),
        ({"checkpoint": "tiny-learned"}, "Panel 1: This model learned a schedule for each token"),
        ({"checkpoint": "tiny-picture", "prompt": "x"}, "takes no prompt"),
        ({"label": 1}, "This model has no classes"),
    ],
)
def test_the_endpoint_says_what_is_wrong(
    client: Client, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(AppError) as caught:
        client.predict(**asked, api_name="/compare")
    assert message in str(caught.value)


def test_the_program_in_the_readme_compares(
    address: str, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    exec(python_with("/compare").replace("http://127.0.0.1:7860", address), names)
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == "True"
    assert [line.split()[0] for line in printed[-3:-1]] == ["linear", "cosine"]
    assert [panel["text"][:16] for panel in names["compared"]["panels"]] == ["Once upon a time"] * 2
    spec = {"name": "polynomial", "exponent": 3.0}
    more = client.predict(panels=[{"schedule": spec}, {}], draws=0, api_name="/compare")
    assert more["panels"][0]["schedule"] == "polynomial"
