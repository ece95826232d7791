"""Watch with models of images, in a real browser; and the endpoints for images."""

import base64
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gradio_client import Client
from PIL import Image
from served import SlowShelf, fits, served, wait
from tiny_image import CLASSES, save_tiny_image_model
from tiny_text import save_tiny_checkpoint

from app.interface import build_interface

Page = Any  # of playwright, which may be missing
HEIGHT, WIDTH = 8, 6
PLAYER = "#watch-player"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> SlowShelf:
    home = tmp_path_factory.mktemp("checkpoints")
    save_tiny_image_model(home / "grey", "grey")
    save_tiny_image_model(home / "rgb", "rgb")
    save_tiny_image_model(home / "mnist", "grey", height=28, width=28)
    save_tiny_checkpoint(home / "words")
    return SlowShelf([home], dtype=torch.float32)


@pytest.fixture(scope="module")
def address(shelf: SlowShelf) -> Iterator[str]:
    with served(build_interface(shelf)) as local:
        yield local


@pytest.fixture(scope="module")
def client(address: str) -> Client:
    return Client(address, verbose=False)


@pytest.fixture
def come(visit: Callable[[str], Page], address: str, shelf: SlowShelf) -> Callable[..., Page]:
    """Opens the page, by a link if there are parameters."""
    shelf.seconds = 0.0

    def come(parameters: str = "") -> Page:
        page = visit(f"{address}?{parameters}")
        page.wait_for_selector(":is(.md-token, .md-sheet canvas):visible")
        return page

    return come


def drawn(come: Callable[..., Page], parameters: str) -> Page:
    """A page that shows the finished run of a link."""
    page = come(parameters)
    wait(page, ".md-status", "^Done in")
    return page


def choose(page: Page, menu: str, option: str) -> None:
    page.click(f"#watch-{menu} input")
    page.get_by_role("option", name=option).click()
    page.wait_for_selector(".options", state="hidden")  # it fades out, and others may open


def cells(page: Page, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """The first image on the canvas as (height, width, cell, cell, 3)."""
    picture = page.evaluate("document.querySelector('.md-sheet canvas').toDataURL()")
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))))
    pixels, wide = pixels[..., :3], pixels.shape[1]
    side = wide // width
    grid = pixels[: height * side, : width * side].reshape(height, side, width, side, 3)
    return grid.transpose(0, 2, 1, 3, 4)


def plain(cells: np.ndarray) -> np.ndarray:
    """Whether each cell is of one colour within its frame."""
    inner = cells[:, :, 3:-3, 3:-3].astype(int)
    return (inner == inner[:, :, :1, :1]).all(axis=(2, 3, 4))


def decoded(result: dict[str, Any]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(result["image"]))))


def scrub(page: Page, step: int) -> None:
    page.locator(".md-scrub").fill(str(step))


# what can be chosen


def test_the_form_follows_the_model(come: Callable[..., Page]) -> None:
    page = come()
    wait(page, "#watch-images", "16")  # the first model on the shelf draws
    choose(page, "model", "words")
    page.wait_for_selector("#watch-prompt textarea")
    page.wait_for_selector("#watch-label", state="hidden")
    page.locator("#watch-guidance").wait_for(state="hidden")
    page.locator("#watch-images").wait_for(state="hidden")
    grid = "document.querySelector('#watch-grid input:checked')?.value"
    page.click("#watch-more button")
    page.wait_for_function(f"{grid} === 'uniform'", polling=20)
    choose(page, "model", "grey")
    page.wait_for_selector("#watch-label")
    page.wait_for_function(f"{grid} === 'cosine'", polling=20)
    page.locator("#watch-guidance").wait_for()
    page.locator("#watch-prompt").wait_for(state="hidden")
    page.click("#watch-label input")
    page.locator(".options li").nth(len(CLASSES)).wait_for()
    options = page.locator(".options li").all_inner_texts()
    assert [option.strip("✓ \n") for option in options] == ["any", *CLASSES]
    page.keyboard.press("Escape")
    page.wait_for_selector(".options", state="hidden")
    choose(page, "model", "rgb")
    page.wait_for_selector("#watch-label", state="hidden")
    page.locator("#watch-guidance").wait_for(state="hidden")


# what is shown


def test_an_image_of_a_class_is_drawn_as_it_comes(
    come: Callable[..., Page], client: Client, shelf: SlowShelf
) -> None:
    page = come()
    shelf.seconds = 0.03
    choose(page, "label", "dog")
    page.fill("#watch-seed input", "5")
    page.wait_for_function("document.querySelector('#watch-lock input').checked", polling=20)
    page.click("#watch-generate")
    wait(page, ".md-status", r"^step \d+/64 · [\d.]+ steps/s · [\d.]+ s left$")
    shelf.seconds = 0.0
    wait(page, ".md-status", r"^Done in \d+\.\d s, seed 5$")
    final = cells(page)
    assert plain(final).all()
    asked = {"label": "dog", "checkpoint": "grey", "grid": "cosine", "seed": 5}
    result = client.predict(**asked, api_name="/generate_image")
    assert np.array_equal(final[:, :, 5, 5, 0], decoded(result))
    assert np.array_equal(final[..., 0], final[..., 2])
    scrub(page, 0)
    masks = cells(page)
    assert not plain(masks).any()
    assert all(len(np.unique(cell.reshape(-1, 3), axis=0)) >= 2 for row in masks for cell in row)
    assert page.inner_text(".md-readout").startswith(
        "step 0/64 · t=1.00 · alpha=0.00 · masked 48/48"
    )
    assert "masked" in page.inner_text(".md-legend")
    scrub(page, 40)
    known = plain(cells(page))
    masked = int(re.search(r"masked (\d+)/48", page.inner_text(".md-readout")).group(1))
    assert known.sum() == 48 - masked > 0
    assert np.array_equal(cells(page)[known][:, 5, 5], final[known][:, 5, 5])


def test_copies_share_one_scrubber_and_each_is_what_its_seed_makes(
    come: Callable[..., Page], client: Client
) -> None:
    page = drawn(come, "model=grey&images=4&seed=7&steps=16&grid=cosine&label=sun&guidance=2")
    assert "masked 0/192 · " in page.inner_text(".md-readout")
    ratio, gap = 1, 8
    side = page.evaluate("document.querySelector('.md-sheet canvas').width")
    cell = (side - gap * ratio) // (2 * WIDTH)
    read = """([x, y]) => document.querySelector('.md-sheet canvas').getContext('2d')
      .getImageData(x, y, 1, 1).data[0]"""
    for copy in range(4):
        asked = {"label": 2, "checkpoint": "grey", "guidance": 2, "steps": 16, "grid": "cosine"}
        image = decoded(client.predict(**asked, seed=7 + copy, api_name="/generate_image"))
        left = copy % 2 * (WIDTH * cell + gap)
        top = copy // 2 * (HEIGHT * cell + gap)
        for row, column in [(0, 0), (3, 2), (7, 5)]:
            place = [left + column * cell + cell // 2, top + row * cell + cell // 2]
            assert page.evaluate(read, place) == image[row, column]
    scrub(page, 8)
    assert re.search(r"^step 8/16 .* masked \d+/192", page.inner_text(".md-readout"))
    assert page.get_by_role("button", name="Go on from here").is_hidden()


def test_a_pixel_of_which_a_channel_is_known_shows_a_stripe(
    come: Callable[..., Page], tmp_path: Path
) -> None:
    page = drawn(come, "model=rgb&seed=3&steps=32")
    page.click(f"{PLAYER} .md-save")
    with page.expect_download() as download:
        page.get_by_role("button", name="Data").click()
    download.value.save_as(tmp_path / "run.json")
    lines = json.loads((tmp_path / "run.json").read_text())["lines"]
    first = next(line for line in lines if "r" in line)
    scrub(page, first["s"])
    shown = cells(page, 6, 8)
    revealed = [place for place, *_ in first["r"]]
    places = [p for p in revealed if not {p // 3 * 3 + k for k in range(3)} <= set(revealed)]
    for position, _, place, *told in (reveal for reveal in first["r"] if reveal[0] in places):
        pixel, channel = divmod(position, 3)
        cell = shown[pixel // 8, pixel % 8]
        middle = round(len(cell) * (channel + 0.5) / 3)
        colour = [told[2 * place] if k == channel else 0 for k in range(3)]
        assert cell[len(cell) // 2, middle].tolist() == colour
        assert len(np.unique(cell.reshape(-1, 3), axis=0)) >= 4  # mask, its lines, frame, stripe
    assert "some channels known" in page.inner_text(".md-legend")
    assert plain(shown).sum() < 48


# asking


def test_a_pixel_tells_what_it_might_have_been(come: Callable[..., Page]) -> None:
    page = drawn(come, "model=grey&seed=5&steps=16")
    box = page.locator(".md-sheet canvas").bounding_box()
    side = box["width"] / WIDTH
    page.mouse.move(box["x"] + 2.5 * side, box["y"] + 1.5 * side)
    title = page.inner_text(".md-card-title")
    assert re.fullmatch(r"Row 2, column 3: \d+", title)
    assert int(title.split()[-1]) == cells(page)[1, 2, 5, 5, 0]
    assert re.match(r"Revealed at step \d+ \(t=", page.inner_text(".md-card-facts"))
    shares = page.locator(".md-candidate-share").all_inner_texts()
    assert len(shares) == 5
    assert sum(float(share.strip("<% ")) for share in shares) <= 100
    word = page.locator(".md-candidate-word").first
    value = int(word.inner_text())
    colour = word.locator(".md-swatch").evaluate("e => getComputedStyle(e).backgroundColor")
    assert colour == f"rgb({value}, {value}, {value})"
    page.mouse.move(5, 5)
    page.locator(".md-card").wait_for(state="hidden")
    page.mouse.click(box["x"] + 0.5 * side, box["y"] + 0.5 * side)
    page.mouse.move(5, 5)
    assert page.inner_text(".md-card-title").startswith("Row 1, column 1: ")
    scrub(page, 0)
    assert page.inner_text(".md-card-title") == "Row 1, column 1: masked"
    assert page.inner_text(".md-card-facts").startswith("To be revealed at step")


def test_pixels_are_reached_by_keyboard(come: Callable[..., Page]) -> None:
    page = drawn(come, "model=rgb&seed=5&steps=16")
    readout = page.inner_text(".md-readout")
    page.locator('.md-cursor[tabindex="0"]').focus()
    label = "document.activeElement.getAttribute('aria-label')"
    for keys, where in [
        ("ArrowRight", "Row 1, column 2, red: "),
        ("ArrowDown ArrowDown", "Row 3, column 2, red: "),
        ("c", "Row 3, column 2, green: "),
        ("End", "Row 3, column 8, green: "),
        ("ArrowRight ArrowUp", "Row 2, column 8, green: "),
        ("Home ArrowLeft", "Row 2, column 1, green: "),
    ]:
        for key in keys.split():
            page.keyboard.press(key)
        assert page.evaluate(label).startswith(where)
        assert page.inner_text(".md-card-title").startswith(where)
    assert page.inner_text(".md-readout") == readout  # the player's keys are not these
    cell = page.locator(".md-cursor:focus").bounding_box()
    canvas = page.locator(".md-sheet canvas").bounding_box()
    assert cell["x"] == pytest.approx(canvas["x"], abs=1)
    assert cell["y"] == pytest.approx(canvas["y"] + cell["height"], abs=1)
    style = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(style) == "solid"
    page.keyboard.press("Escape")
    page.locator(".md-card").wait_for(state="hidden")
    page.keyboard.press("k")
    page.wait_for_function(
        "/^step [1-9]\\d?\\/16/.test(document.querySelector('.md-readout').textContent)"
    )


def test_colours_by_step_confidence_and_entropy(come: Callable[..., Page]) -> None:
    page = drawn(come, "model=grey&seed=5&steps=16")
    seen = {"state": cells(page)[:, :, 5, 5]}
    for name, legend in [
        ("Reveal step", "early"),
        ("Confidence", "100 %"),
        ("Entropy", "8 bits"),
        ("State", "revealed before"),
    ]:
        page.get_by_text(name, exact=True).click()
        assert legend in page.inner_text(".md-legend")
        seen[name] = cells(page)[:, :, 5, 5]
    assert np.array_equal(seen["state"], seen["State"])
    assert not np.array_equal(seen["Reveal step"], seen["Confidence"])
    page.get_by_text("Reveal step", exact=True).click()
    for step in range(17):
        scrub(page, step)
    steps = cells(page)[:, :, 5, 5]
    assert np.array_equal(steps, seen["Reveal step"])
    assert len(np.unique(steps.reshape(-1, 3), axis=0)) > 5


def test_stop_keeps_what_is_there(come: Callable[..., Page], shelf: SlowShelf) -> None:
    page = come()
    shelf.seconds = 0.4
    page.click("#watch-generate")
    wait(page, ".md-status", r"^step \d+/64 ·")
    page.click("#watch-stop")
    status = wait(page, ".md-status", r"^Stopped at step \d+/64\. Partial result kept\.$")
    done = re.search(r"step (\d+)", status).group(1)
    assert page.inner_text(".md-readout").startswith(f"step {done}/64")
    assert 0 < (~plain(cells(page))).sum() <= 48


# going on, saving


def test_a_run_goes_on_from_an_edited_image_with_its_class(come: Callable[..., Page]) -> None:
    page = drawn(come, "model=grey&seed=5&steps=16&label=dog")
    before = cells(page)[:, :, 5, 5, 0]
    box = page.locator(".md-sheet canvas").bounding_box()
    side = box["width"] / WIDTH
    page.mouse.click(box["x"] + 1.5 * side, box["y"] + 1.5 * side)
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    page.get_by_role("button", name="Mask these 4 again").click()
    assert (~plain(cells(page))).sum() == 4
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Go on from here").click()
    wait(page, ".md-status", "^Done in")
    page.wait_for_selector(".md-branches button")
    after = cells(page)[:, :, 5, 5, 0]
    kept = np.ones((HEIGHT, WIDTH), bool)
    kept[1:3, 1:3] = False
    assert plain(cells(page)).all()
    assert np.array_equal(after[kept], before[kept])


def test_a_run_saved_as_a_page_plays_from_disk(
    come: Callable[..., Page], visit: Callable[[str], Page], tmp_path: Path
) -> None:
    page = drawn(come, "model=grey&seed=5&steps=16")
    final = cells(page)[:, :, 5, 5]
    scrub(page, 9)
    half = plain(cells(page))
    page.click(f"{PLAYER} .md-save")
    files = {}
    for name, kind in [
        ("Web page", "html"),
        ("Animation", "gif"),
        ("Picture", "png"),
        ("Pixels", "pixels.png"),
    ]:
        with page.expect_download() as download:
            page.locator(".md-save-menu button", has_text=re.compile(f"^{name}")).click()
        files[kind] = tmp_path / f"run.{kind}"
        download.value.save_as(files[kind])
    assert page.locator(".md-save-menu button", has_text="Text").count() == 0
    with Image.open(files["pixels.png"]) as picture:
        pixels = np.asarray(picture.convert("RGBA"))
    assert np.array_equal(pixels[..., :3], final)
    assert (pixels[..., 3] == 255).all()
    with Image.open(files["gif"]) as picture:
        assert picture.n_frames > 10
    with Image.open(files["png"]) as picture:
        assert picture.width > 2 * page.locator(".md-sheet").bounding_box()["width"]
    alone = visit("about:blank")
    alone.unroute("**/*")
    alone.goto(files["html"].as_uri())
    alone.get_by_role("button", name="Pause").click()
    scrub(alone, 16)
    shown = cells(alone)
    middle = shown.shape[2] // 2
    assert np.array_equal(shown[:, :, middle, middle], final)
    scrub(alone, 9)
    assert np.array_equal(plain(cells(alone)), half)
    alone.locator(".md-sheet canvas").hover(position={"x": 4, "y": 4})
    assert alone.inner_text(".md-card-title").startswith("Row 1, column 1: ")


def test_a_phone_in_the_dark_shows_all_of_it(come: Callable[..., Page]) -> None:
    page = come("__theme=dark&model=grey&seed=5&steps=16&images=16")
    page.set_viewport_size({"width": 390, "height": 844})
    wait(page, ".md-status", "^Done in")
    page.wait_for_function("document.querySelector('.md-sheet').clientWidth <= 360", polling=20)
    fits(page, 390)
    box = page.locator(".md-sheet canvas").bounding_box()
    corner = {"x": box["width"] - 4, "y": box["height"] - 4}
    page.locator(".md-sheet canvas").click(position=corner)
    assert page.inner_text(".md-card-title").startswith("Image 16, row 8, column 6: ")
    card = page.locator(".md-card").bounding_box()
    assert card["x"] >= 0
    assert card["x"] + card["width"] <= 390


# programs


def png_of(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def packed(mask: np.ndarray) -> str:
    return base64.b64encode(np.packbits(mask).tobytes()).decode()


def test_generate_image_answers_a_program(client: Client) -> None:
    asked = {"checkpoint": "rgb", "steps": 8, "seed": 4, "api_name": "/generate_image"}
    result = client.predict(**asked)
    assert set(result) == {"image", "seed", "nfe", "seconds", "trajectory"}
    assert decoded(result).shape == (6, 8, 3)
    assert result["seed"] == 4
    assert client.predict(**asked)["image"] == result["image"]
    assert client.predict(steps=8, api_name="/generate_image")["seed"] == 0  # the first model


def test_the_program_in_the_readme_runs(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n([^`]*/infill_image[^`]*)```", readme)
    exec(program.replace("http://127.0.0.1:7860", address), {})
    assert "392 given pixels unchanged" in capsys.readouterr().out


def test_infill_image_keeps_what_is_not_masked(client: Client) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 8, 3), np.uint8)
    mask = rng.random((6, 8)) < 0.4
    asked = {"checkpoint": "rgb", "steps": 8, "api_name": "/infill_image"}
    result = client.predict(image=png_of(pixels), mask=packed(mask), **asked)
    assert np.array_equal(decoded(result)[~mask], pixels[~mask])
    assert result["given"] == f"{(~mask).sum()} given pixels unchanged"
    opacity = np.where(mask, 0, 255).astype(np.uint8)[..., None]
    transparent = png_of(np.concatenate([pixels, opacity], -1))
    assert client.predict(image=transparent, **asked)["image"] == result["image"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image": "AAAA"}, "This file could not be read as an image"),
        ({"mask": "AAAA"}, "The mask has 3 bytes; an image of 6x8 pixels needs 6 bytes"),
        ({"mask": None}, "Nothing is masked, so there is nothing to fill in"),
        ({"checkpoint": "words"}, "is a text checkpoint. Choose it under a text tab"),
        ({"checkpoint": "grey", "label": "cow"}, "There is no class 'cow'; this model has 3"),
        ({"label": 1}, "This model has no classes"),
        ({"guidance": -1}, "guidance is '-1'; give a number from 0 to 20"),
        ({"steps": 0}, "steps is '0'"),
    ],
)
def test_what_is_wrong_is_told_to_programs(
    client: Client, changed: dict[str, Any], message: str
) -> None:
    mask = packed(np.ones((6, 8), bool))
    image = png_of(np.zeros((6, 8, 3), np.uint8))
    asked = {"image": image, "mask": mask, "checkpoint": "rgb", "steps": 4} | changed
    with pytest.raises(Exception, match=re.escape(message)):
        client.predict(**asked, api_name="/infill_image")


def test_a_text_endpoint_refuses_an_image_model(client: Client) -> None:
    with pytest.raises(Exception, match=r"grey is an image checkpoint \(8x6x1\)"):
        client.predict(checkpoint="grey", api_name="/generate_text")
