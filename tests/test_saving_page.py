"""Runs saved and shared, and what a page begins with, in a real browser."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from readme import python_with
from served import SlowShelf, fits, served, wait
from tiny_text import save_tiny_checkpoint

from app import player
from app.animation import FRAMES
from app.interface import build_interface
from app.replay import read_trajectory, read_transcript, walk
from mdcore.checkpoint import WEIGHTS_FILE

Page = Any  # of playwright, which may be missing
KINDS = {
    "html": "Web page",
    "gif": "Animation",
    "png": "Picture",
    "json": "Data",
    "txt": "Text",
}
TEXT = "The [[old king]] said nothing, & the [[fox|3]] flew <b>away</b>."


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> SlowShelf:
    home = tmp_path_factory.mktemp("checkpoints")
    save_tiny_checkpoint(home / "tiny", length=64)
    return SlowShelf([home], dtype=torch.float32)


@pytest.fixture(scope="module")
def address(browser: Any, shelf: SlowShelf) -> Iterator[str]:
    # The browser has an event loop; without one gradio opens some and closes none.
    with served(build_interface(shelf)) as local:
        yield local


@pytest.fixture
def come(visit: Callable[[str], Page], address: str, shelf: SlowShelf) -> Callable[..., Page]:
    """Opens the page, by a link if there are parameters."""
    shelf.seconds = 0.0

    def come(parameters: str = "") -> Page:
        page = visit(f"{address}?{parameters}" if parameters else address)
        page.wait_for_selector(".md-token", state="attached")  # a link's tab hides the others
        return page

    return come


def saved(page: Page, kind: str, folder: Path, of: str = "#watch-player") -> Path:
    """A file as the menu Save makes it, under the name that it gives."""
    if page.locator(f"{of} .md-save-menu").is_hidden():
        page.click(f"{of} .md-save")
    with page.expect_download() as download:
        page.click(f"{of} .md-save-menu button:has-text('{KINDS[kind]}')")
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    wait(page, f"{of} .md-saved", f"^Saved {re.escape(path.name)}$")
    return path


def text_of(page: Page, of: str = "#watch-player") -> str:
    return page.evaluate("s => document.querySelector(s).textContent", f"{of} .md-text")


def tokens_in(path: Path) -> list[int | None]:
    """What stands at the end of a stored trajectory."""
    *_, (_, tokens) = walk(read_transcript(read_trajectory(path)))
    return tokens


def replay(page: Page) -> list[str]:
    """The text of a player after some of its steps."""
    texts = []
    for share in (0, 0.3, 0.6, 1):
        step = round(share * int(page.get_attribute(".md-scrub", "max")))
        page.locator(".md-scrub").fill(str(step))
        states = "[...document.querySelectorAll('.md-token')].map((t) => t.dataset.state).join()"
        texts.append(page.evaluate(states))
    return texts


def test_a_run_is_saved_in_every_form_while_it_is_replayed(
    come: Callable[..., Page], visit: Callable[[str], Page], tmp_path: Path
) -> None:
    page = come("model=tiny&seed=5&steps=24&prompt=The old king")
    wait(page, ".md-status", "^Done in .*seed 5$")
    final = text_of(page)
    seen = replay(page)
    page.locator(".md-scrub").fill("12")
    page.get_by_role("button", name="Play").click()
    files = {kind: saved(page, kind, tmp_path) for kind in KINDS}
    assert [path.name for path in files.values()] == [f"tiny-5.{kind}" for kind in KINDS]
    assert files["txt"].read_text(encoding="utf-8").startswith("The old king")
    assert len(tokens_in(files["json"])) == 64
    with Image.open(files["gif"]) as picture:
        assert 24 <= picture.n_frames <= FRAMES + 1
    with Image.open(files["png"]) as picture:
        assert picture.width > 2 * page.locator(".md-text").bounding_box()["width"]
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 20
    alone = visit("about:blank")
    alone.unroute("**/*")  # a file's page asks for itself alone
    requests: list[str] = []
    alone.on("request", lambda request: requests.append(request.url))
    alone.goto(files["html"].as_uri())
    assert alone.title() == "A run of tiny, seed 5"
    # The file's policy forbids the eval by which playwright waits for a function.
    alone.locator(".md-readout").filter(has_text=re.compile("^step [1-9]")).wait_for()
    alone.get_by_role("button", name="Pause").click()
    assert replay(alone) == seen
    assert text_of(alone, "main") == final
    alone.locator(".md-token").nth(9).hover()
    assert "Revealed at step" in alone.inner_text(".md-card")
    alone.click(".md-save")
    assert alone.locator(".md-save-menu button").count() == 3  # no server, no page of a page
    with alone.expect_download() as download:
        alone.get_by_role("button", name="Data").click()
    download.value.save_as(tmp_path / "again.json")
    assert read_trajectory(tmp_path / "again.json") == read_trajectory(files["json"])
    assert [url for url in requests if not url.startswith(("file:", "blob:"))] == []


def test_a_branch_is_saved_with_what_came_before_it(
    come: Callable[..., Page], visit: Callable[[str], Page], tmp_path: Path
) -> None:
    page = come("model=tiny&seed=5&steps=24&prompt=The old king")
    wait(page, ".md-status", "^Done in .*seed 5$")
    page.locator(".md-token").nth(1).focus()
    page.keyboard.press("m")
    page.locator(".md-scrub").fill("12")
    page.click(".md-go-on")
    wait(page, ".md-branches", "Branch 1")
    wait(page, ".md-readout", "^step 24/24")
    seen, final = replay(page), text_of(page)
    path = saved(page, "html", tmp_path)
    assert tokens_in(saved(page, "json", tmp_path)).count(None) == 0
    alone = visit("about:blank")
    alone.unroute("**/*")
    alone.goto(path.as_uri())
    alone.get_by_role("button", name="Pause").click()
    assert replay(alone) == seen
    assert text_of(alone, "main") == final
    assert alone.locator(".md-go-on").count() == 0  # no server


def test_a_stopped_run_that_remasks_is_saved_as_far_as_it_came(
    come: Callable[..., Page], visit: Callable[[str], Page], shelf: SlowShelf, tmp_path: Path
) -> None:
    shelf.seconds = 0.5
    page = come("model=tiny&seed=5&steps=99&sampler=remask_rescale")
    wait(page, ".md-status", r"^step [1-6]\d/99")
    page.click("#watch-stop")
    wait(page, ".md-status", "^Stopped at step")
    masked = page.locator('.md-text :is([data-state="masked"], [data-state="again"])').count()
    files = {kind: saved(page, kind, tmp_path) for kind in KINDS}
    assert files["txt"].read_text(encoding="utf-8").count("[MASK]") == masked > 0
    assert tokens_in(files["json"]).count(None) == masked
    with Image.open(files["gif"]) as picture:
        picture.seek(picture.n_frames - 1)
        assert picture.width == 760
    alone = visit("about:blank")
    alone.unroute("**/*")
    alone.goto(files["html"].as_uri())
    assert len(set(replay(alone))) > 1
    assert alone.locator('.md-text :is([data-state="masked"], [data-state="again"])').count() == (
        masked
    )


def test_each_alternative_is_saved_by_itself_and_shared_with_the_others(
    come: Callable[..., Page], address: str, tmp_path: Path
) -> None:
    page = come(f"tab=infill&model=tiny&seed=5&steps=16&text={TEXT.replace('&', '%26')}")
    for k in (1, 2, 3):
        wait(page, f"#infill-player-{k} .md-status", f"^Done in .* seed {4 + k}$")
    assert page.input_value(".md-area") == TEXT
    texts = [saved(page, "txt", tmp_path, of=f"#infill-player-{k}") for k in (1, 2, 3)]
    assert [path.name for path in texts] == ["tiny-5.txt", "tiny-6.txt", "tiny-7.txt"]
    for path in texts:
        text = path.read_text(encoding="utf-8")
        assert text.startswith("The")
        assert text.endswith(" flew <b>away</b>.")
    data = saved(page, "json", tmp_path, of="#infill-player-3")
    (start,) = (line["start"] for line in read_transcript(read_trajectory(data)) if "start" in line)
    assert start["link"]["text"] == TEXT
    assert start["link"]["seed"] == "5"
    shot = saved(page, "html", tmp_path, of="#infill-player-2").read_text(encoding="utf-8")
    assert "<b>away" not in shot
    again = come(address_of(page, "#infill-player-2").split("?")[1])
    before = [text_of(page, f"#infill-player-{k}") for k in (1, 2, 3)]
    wait(again, "#infill-player-3 .md-status", "^Done in .* seed 7$")
    assert [text_of(again, f"#infill-player-{k}") for k in (1, 2, 3)] == before


def address_of(page: Page, of: str = "#watch-player") -> str:
    """The link that the menu gives where a page may not write to the clipboard."""
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    if page.locator(f"{of} .md-save-menu").is_hidden():
        page.click(f"{of} .md-save")
    page.click(f"{of} .md-save-menu button:has-text('Copy link')")
    wait(page, f"{of} .md-saved", "^This is the link")
    return page.input_value(f"{of} .md-link")


def test_a_link_makes_the_run_again_and_says_so(come: Callable[..., Page], address: str) -> None:
    page = come()
    page.fill("#watch-prompt textarea", 'The "old" king & [MASK]\nüber 100 %')
    page.fill("#watch-steps input[type=number]", "20")
    page.click("#watch-generate")
    wait(page, ".md-status", "^Done in")
    link = address_of(page)
    assert link.startswith(address)
    again = come(link.split("?")[1])
    wait(again, "#md-arrival", "The run of this link is being made again")
    wait(again, ".md-status", "^Done in")
    assert text_of(again) == text_of(page)
    for field in ("#watch-prompt textarea", "#watch-seed input", "#watch-steps input[type=number]"):
        assert again.input_value(field) == page.input_value(field)


def test_a_link_is_copied(browser: Any, come: Callable[..., Page], address: str) -> None:
    browser.grant_permissions(["clipboard-read", "clipboard-write"])
    page = come("model=tiny&seed=7&steps=8")
    wait(page, ".md-status", "^Done in .*seed 7$")
    page.click(".md-save")
    page.get_by_role("button", name="Copy link").click()
    wait(page, ".md-saved", "^Link copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(f"{address}?tab=watch&model=tiny")
    assert "seed=7" in copied
    page.keyboard.press("Escape")
    page.wait_for_selector(".md-save-menu", state="hidden")
    assert page.evaluate("document.activeElement.className") == "md-save"


def test_a_bad_link_starts_nothing_and_says_what_is_wrong(come: Callable[..., Page]) -> None:
    page = come("model=<b>no</b>&steps=9999&seed=12&prompt=" + "x" * 2049)
    told = wait(page, "#md-arrival", "cannot be followed in full")
    assert "Unknown model '<b>no</b>'. Known: tiny." in told
    assert "steps is '9999'; give a whole number from 1 to 1,024." in told
    assert "prompt has 2,049 bytes; a link holds 2,048." in told
    assert page.input_value("#watch-seed input") == "12"
    assert page.input_value("#watch-steps input[type=number]") == "64"
    assert page.input_value("#watch-prompt textarea") == ""
    assert page.inner_text(".md-status").startswith("Recorded run")


def test_a_link_waits_for_the_visitor_while_the_model_is_busy(
    come: Callable[..., Page], shelf: SlowShelf
) -> None:
    page = come()
    shelf.seconds = 0.5
    page.click("#watch-generate")
    wait(page, ".md-status", r"^step \d+/64")
    other = come("model=tiny&seed=3&steps=8")
    wait(other, "#md-arrival", "another one is going on. Press Generate")
    assert other.inner_text("#watch-player .md-status").startswith("Recorded run")
    page.click("#watch-stop")
    wait(page, ".md-status", "^Stopped")
    shelf.seconds = 0.0
    other.click("#watch-generate")
    wait(other, ".md-status", "^Done in .*seed 3$")


def test_a_player_without_a_run_says_that_there_is_nothing_to_save(
    visit: Callable[[str], Page],
) -> None:
    page = visit("about:blank")
    page.set_content('<div class="md-mount"></div>')
    page.add_script_tag(content=f"{player.script()}\nnew Player(document.querySelector('div'));")
    page.click(".md-save")
    assert page.inner_text(".md-saved") == "Nothing to save yet: let a run begin first."
    assert page.locator(".md-save-menu button:enabled").count() == 0


def test_a_new_checkpoint_is_there_after_a_reload(
    come: Callable[..., Page], shelf: SlowShelf
) -> None:
    def names() -> list[str]:
        page.click("#watch-model input")
        shown = page.locator("#watch-model [role=option]").all_inner_texts()
        return [text.removeprefix("✓").strip() for text in shown]

    page = come()
    (home,) = shelf.folders
    save_tiny_checkpoint(home / "later", length=48)
    bad = save_tiny_checkpoint(home / "torn")
    (bad / WEIGHTS_FILE).write_bytes((bad / WEIGHTS_FILE).read_bytes()[:-99])
    page.reload()
    wait(page, "#watch-problems", "torn cannot be used: .*is damaged or cut short")
    assert names() == ["later (0.0M, 48 tokens)", "tiny (0.0M, 64 tokens)"]
    page.get_by_role("option", name="later").click()
    page.click("#watch-generate")
    wait(page, ".md-status", "^Done in")
    assert page.locator(".md-token").count() == 48
    for folder in (home / "later", bad):
        shutil.rmtree(folder)
    page.reload()
    page.wait_for_function("!document.querySelector('#watch-problems')?.offsetParent", polling=20)
    assert names() == ["tiny (0.0M, 64 tokens)"]


def test_the_menu_of_a_phone_stays_on_it(come: Callable[..., Page]) -> None:
    page = come()
    page.set_viewport_size({"width": 390, "height": 844})
    page.click(".md-save")
    box = page.locator(".md-save-menu").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    fits(page, 390)
    page.mouse.click(5, 5)
    page.locator(".md-save-menu").wait_for(state="hidden")


def test_the_program_in_the_readme_writes_and_fills(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    exec(python_with("/generate_text").replace("http://127.0.0.1:7860", address), names)
    assert names["written"]["text"].startswith("Once upon a time")
    assert names["written"]["seed"] == 7
    assert re.fullmatch(r"The.* said.* nothing\.", names["filled"]["text"], re.S)
    assert names["filled"]["nfe"] <= 5
    assert names["filled"]["text"] in capsys.readouterr().out
