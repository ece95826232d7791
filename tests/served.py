"""Serving a page to a test, and reading it as a visitor does."""

from typing import Any

from app.measure.stand import SlowShelf, served

__all__ = ["SlowShelf", "fits", "served", "wait"]


def wait(page: Any, selector: str, pattern: str) -> str:
    """The text of an element, once it matches; as the page shows it."""
    script = "([s, p]) => new RegExp(p).test(document.querySelector(s)?.textContent)"
    try:
        page.wait_for_function(script, arg=[selector, pattern], polling=20)
    except Exception as error:
        there = page.locator(selector).all_text_contents()
        raise AssertionError(f"{selector} says {there}, never {pattern!r}") from error
    return str(page.inner_text(selector))


def fits(page: Any, width: int) -> None:
    """The page, laid out anew after it was resized, is no wider than that."""
    found = "document.documentElement.scrollWidth"
    try:
        page.wait_for_function(f"(width) => {found} <= width", arg=width, polling=20)
    except Exception as error:
        raise AssertionError(f"the page is {page.evaluate(found)} wide") from error
