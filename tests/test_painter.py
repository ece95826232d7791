"""The painter in a real browser, by mouse, touch and keyboard; no server is needed."""

from pathlib import Path

import numpy as np
import pytest
from easel import HEIGHT, WIDTH, Page, cells, mask_of, middle, open_easel, packed, pixels_of
from served import fits

PICTURE = np.arange(WIDTH * HEIGHT).reshape(HEIGHT, WIDTH, 1).astype(np.uint8)


@pytest.fixture
def page(visit) -> Page:  # noqa: ANN001
    """The painter with nothing masked and a brush of one pixel."""
    page = visit("about:blank")
    open_easel(page, PICTURE)
    page.get_by_role("button", name="Clear").click()
    choose(page, "1")
    return page


def choose(page: Page, label: str) -> None:
    page.locator(".md-choice label", has_text=label).first.click()


def mask(page: Page) -> np.ndarray:
    return mask_of(page.evaluate("values[values.length - 1]"))


def drag(page: Page, *stops: tuple[float, float]) -> None:
    page.mouse.move(*middle(page, *stops[0]))
    page.mouse.down()
    for stop in stops[1:]:
        page.mouse.move(*middle(page, *stop))
    page.mouse.up()


def touch(page: Page, *stops: tuple[float, float]) -> None:
    session = page.context.new_cdp_session(page)
    kinds = ["touchStart", *["touchMove"] * (len(stops) - 1)]
    for kind, stop in zip(kinds, stops, strict=True):
        x, y = middle(page, *stop)
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_the_picture_is_enlarged_crisply(page: Page) -> None:
    rgba = pixels_of(page, ".md-below")
    assert np.array_equal(rgba, np.concatenate([PICTURE] * 3 + [PICTURE * 0 + 255], -1))
    style = "getComputedStyle(document.querySelector('.md-below')).imageRendering"
    assert page.evaluate(style) == "pixelated"
    box = page.locator(".md-above").bounding_box()
    assert box["width"] == box["height"] == 16 * WIDTH


def test_each_brush_covers_whole_pixels(page: Page) -> None:
    for size in (1, 2, 4, 8):
        choose(page, str(size))
        low, high = (size - 1) // 2, size // 2 + 1
        drag(page, (12, 9))
        assert np.array_equal(mask(page), cells((12 - low, 9 - low, 12 + high, 9 + high)))
        drag(page, (0, 0))
        drag(page, (27, 27))
        corners = cells((0, 0, high, high), (27 - low, 27 - low, 28, 28))
        middle_square = cells((12 - low, 9 - low, 12 + high, 9 + high))
        assert np.array_equal(mask(page), middle_square | corners)
        page.get_by_role("button", name="Clear").click()


def test_a_quick_stroke_leaves_no_gap(page: Page) -> None:
    drag(page, (3, 4), (24, 4), (24, 20))
    expected = cells((3, 4, 25, 5), (24, 4, 25, 21))
    assert np.array_equal(mask(page), expected)
    drag(page, (2, 8), (14, 20))
    expected[np.arange(8, 21), np.arange(2, 15)] = True
    assert np.array_equal(mask(page), expected)
    choose(page, "Erase")
    drag(page, (20, 4), (40, 4))  # out of the picture
    assert np.array_equal(mask(page), expected & ~cells((20, 4, 28, 5)))


def test_a_rectangle_is_drawn_from_corner_to_corner(page: Page) -> None:
    choose(page, "Rectangle")
    drag(page, (20, 5), (3, 3), (4, 22))
    assert np.array_equal(mask(page), cells((4, 5, 21, 23)))
    choose(page, "Erase")
    drag(page, (6, 7), (10, 9))
    assert np.array_equal(mask(page), cells((4, 5, 21, 23)) & ~cells((6, 7, 11, 10)))
    drag(page, (25, 25), (90, 90))
    assert np.array_equal(mask(page), cells((4, 5, 21, 23)) & ~cells((6, 7, 11, 10)))


def test_presets_and_their_inverse(page: Page) -> None:
    half, quarter, border = WIDTH // 2, WIDTH // 4, 4
    expected = {
        "Left half": cells((0, 0, half, HEIGHT)),
        "Right half": cells((half, 0, WIDTH, HEIGHT)),
        "Top half": cells((0, 0, WIDTH, half)),
        "Bottom half": cells((0, half, WIDTH, HEIGHT)),
        "Centre": cells((quarter, quarter, WIDTH - quarter, HEIGHT - quarter)),
        "Border": ~cells((border, border, WIDTH - border, HEIGHT - border)),
    }
    for name, preset in expected.items():
        page.get_by_role("button", name=name).click()
        assert np.array_equal(mask(page), preset), name
    page.get_by_role("button", name="Invert", exact=True).click()
    assert np.array_equal(mask(page), ~expected["Border"])
    page.get_by_role("button", name="Random half").click()
    first = mask(page)
    assert first.sum() == 392
    page.get_by_role("button", name="Random half").click()
    assert not np.array_equal(mask(page), first)
    assert page.inner_text(".md-sum") == "392 of 784 pixels masked"
    assert page.text_content(".md-painter .md-live") == "392 of 784 pixels masked"


def test_every_stroke_can_be_undone_and_redone(page: Page) -> None:
    undo, redo = (page.get_by_role("button", name=name) for name in ("Undo", "Redo"))
    states = [mask(page)]
    for x in (3, 9, 15):
        drag(page, (x, 2), (x, 12))
        states.append(mask(page))
    assert [state.sum() for state in states] == [0, 11, 22, 33]
    for state in reversed(states[:-1]):
        undo.click()
        assert np.array_equal(mask(page), state)
    redo.click()
    redo.click()
    assert np.array_equal(mask(page), states[2])
    page.keyboard.press("Control+z")
    assert np.array_equal(mask(page), states[1])
    page.keyboard.press("Control+y")
    assert np.array_equal(mask(page), states[2])
    drag(page, (20, 20))
    assert redo.is_disabled()
    before = mask(page)
    drag(page, (20, 20))  # changes nothing, so that there is nothing to undo
    undo.click()
    assert np.array_equal(mask(page), before & ~cells((20, 20, 21, 21)))


def test_a_finger_paints_and_does_not_scroll(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 500})
    fits(page, 390)
    touch(page, (5, 20), (5, 12), (5, 3))
    assert np.array_equal(mask(page), cells((5, 3, 6, 21)))
    assert page.evaluate("window.scrollY") == 0
    choose(page, "4")
    page.evaluate("window.scrollTo(0, 0)")
    touch(page, (20, 10))
    assert np.array_equal(mask(page), cells((5, 3, 6, 21), (19, 9, 23, 13)))


def test_the_keyboard_alone_paints(page: Page) -> None:
    board, live = page.locator(".md-board"), page.locator(".md-painter .md-live")
    board.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    assert live.text_content() == "Row 2, column 3, given"
    page.keyboard.press("Space")
    assert np.array_equal(mask(page), cells((2, 1, 3, 2)))
    page.keyboard.down("Space")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.up("Space")
    expected = cells((2, 1, 7, 2), (6, 1, 7, 3))
    assert np.array_equal(mask(page), expected)
    assert live.text_content() == "6 of 784 pixels masked"
    page.keyboard.press("e")
    assert live.text_content() == "Erase, brush 1"
    page.keyboard.press("Space")
    expected[2, 6] = False
    assert np.array_equal(mask(page), expected)
    for key in ("e", "]", "]", "]", "]", "[", "Space"):
        page.keyboard.press(key)
    assert np.array_equal(mask(page), expected | cells((5, 1, 9, 5)))
    page.keyboard.press("Control+z")
    assert np.array_equal(mask(page), expected)
    page.keyboard.press("Control+Shift+z")
    assert np.array_equal(mask(page), expected | cells((5, 1, 9, 5)))


def test_the_keyboard_draws_a_rectangle(page: Page) -> None:
    page.locator(".md-board").focus()
    for key in ("r", "ArrowDown", "Space", "Shift+ArrowRight", "ArrowDown", "Space"):
        page.keyboard.press(key)
    assert np.array_equal(mask(page), cells((0, 1, 5, 3)))
    for key in ("Space", "ArrowDown", "Escape", "Tab"):
        page.keyboard.press(key)
    assert np.array_equal(mask(page), cells((0, 1, 5, 3)))


def test_another_picture_can_be_undone_too(page: Page) -> None:
    drag(page, (3, 3))
    page.get_by_role("button", name="Invert colours").click()
    value = page.evaluate("values[values.length - 1]")
    assert value["picture"] == packed(255 - PICTURE)
    assert value["version"] == 1
    page.evaluate("painter.use({ ...painter.picture, pixels: new Uint8Array(784).fill(9) })")
    value = page.evaluate("values[values.length - 1]")
    assert value["picture"] == packed(PICTURE * 0 + 9)
    assert not mask(page).any()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Undo").click()
    assert page.evaluate("values[values.length - 1].picture") == packed(PICTURE)
    page.evaluate("painter.use({ ...painter.picture, width: 14 })")
    assert "this model reads 28x28x1" in page.inner_text(".md-problem")
    page.get_by_role("button", name="Last sample").click()
    assert "Generate one in Watch" in page.inner_text(".md-problem")


def test_an_upload_comes_back_converted(visit, tmp_path: Path) -> None:  # noqa: ANN001
    page = visit("about:blank")
    holes = np.packbits(cells((1, 1, 9, 3)))
    converted = {"pixels": packed(255 - PICTURE), "mask": packed(holes), "note": "It was cut."}
    open_easel(page, PICTURE, converted=converted)
    file = {"name": "a.png", "mimeType": "image/png", "buffer": b"anything"}
    page.set_input_files(".md-painter input[type=file]", file)
    page.wait_for_selector("text=It was cut.")
    assert page.evaluate("values[values.length - 1].picture") == packed(255 - PICTURE)
    assert np.array_equal(mask(page), cells((1, 1, 9, 3)))
    (tmp_path / "huge.png").write_bytes(bytes(10 * 2**20 + 1))
    page.set_input_files(".md-painter input[type=file]", tmp_path / "huge.png")
    page.wait_for_selector("text=could not be read as an image")
    assert np.array_equal(mask(page), cells((1, 1, 9, 3)))
