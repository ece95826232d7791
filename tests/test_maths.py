"""Tab About the maths: what it names exists, what it shows is what the library computes."""

import pkgutil
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from served import served, wait
from tiny_image import save_tiny_image_model
from tiny_text import save_tiny_checkpoint

from app import compare, maths
from app.formulas import FORMULAS, MOST_BARS, learned, lesson
from app.interface import build_interface
from app.shelf import Shelf
from mdcore.checkpoint import Checkpoint, ModelConfig, build_model, save_checkpoint
from mdcore.codecs import CODECS
from mdcore.schedules import SCHEDULES, MaskingSchedule

Page = Any  # of playwright, which may be missing
ALPHABET = "abc "
EXPONENTS = [0.5, 2.0, 1.0, 1.5]


def save_learned(folder: Path, codec: dict[str, Any], exponents: list[float]) -> None:
    config = ModelConfig(
        codec=codec,
        schedule={"name": "learned_polynomial"},
        backbone={
            "name": "transformer",
            "width": 16,
            "depth": 1,
            "heads": 1,
            "time_conditioned": True,
        },
    )
    model = build_model(config)
    raw = torch.tensor(exponents).expm1().log()
    model.schedule.load_state_dict({"raw": raw})
    checkpoint = Checkpoint(model=model, codec=CODECS.build(codec), config=config)
    save_checkpoint(folder, checkpoint)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    home = tmp_path_factory.mktemp("checkpoints")
    letters = {"name": "characters", "length": 8, "alphabet": ALPHABET}
    save_learned(home / "letters", letters, EXPONENTS)
    save_tiny_checkpoint(home / "many", schedule="learned_polynomial")
    save_tiny_image_model(home / "grey", "grey")
    return Shelf([home], dtype=torch.float32)


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda formula: formula.title)
def test_each_formula_has_its_name_in_the_code(formula: Any) -> None:
    package, name = formula.code.rsplit(".", 1)
    assert callable(getattr(pkgutil.resolve_name(package), name))


def test_names_on_the_charts_exist() -> None:
    names = re.findall(r"new Chart\([^)]*?, '(\w+)\(", compare.script() + maths.script())
    assert {"alpha", "weight", "reveal"} == set(names)
    assert all(callable(getattr(MaskingSchedule, name)) for name in names)


def test_the_curves_are_those_of_the_library() -> None:
    told = lesson()["schedules"]
    assert [curve["name"] for curve in told] == [n for n in SCHEDULES if SCHEDULES[n].shared]
    for curve in told:
        schedule = SCHEDULES.build({"name": curve["name"]})
        half = torch.tensor(0.5, dtype=torch.float64)
        assert curve["alphas"][32] == pytest.approx(schedule.alpha(half).item(), abs=1e-5)
        assert curve["weights"][31] == pytest.approx(schedule.weight(half).item(), rel=1e-3)
        assert "alpha = " in curve["about"]


def test_exponents_are_sorted_and_named(shelf: Shelf) -> None:
    told = learned(shelf, "letters")
    assert told["models"] == ["letters", "many"]
    assert told["tokens"] == 4
    assert [title for title, _ in told["bars"]] == ["a", "c", "space", "b"]
    assert [value for _, value in told["bars"]] == pytest.approx(sorted(EXPONENTS), rel=1e-3)
    assert learned(shelf, None)["name"] == "letters"
    many = learned(shelf, "many")
    assert len(many["bars"]) == MOST_BARS < many["tokens"]


def test_a_model_without_exponents_is_told(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"grey learned no schedule\. Choose one of: letters, many"
    ):
        learned(shelf, "grey")
    assert learned(Shelf([tmp_path]), None) == {"models": []}


# In a browser


@pytest.fixture(scope="module")
def address(browser: Any, shelf: Shelf) -> Iterator[str]:
    # The browser has an event loop; without one gradio opens some and closes none.
    with served(build_interface(shelf)) as local:
        yield local


@pytest.fixture
def page(visit: Callable[[str], Page], address: str) -> Page:
    page = visit(address)
    page.wait_for_selector(".md-player")
    page.get_by_role("tab", name="About the maths").click()
    wait(page, ".md-exponents", "space")
    return page


def test_the_slider_masks_the_sentence(page: Page) -> None:
    slider = page.get_by_label("Time t")
    for value, share in ((0, 0), (1000, 1)):
        slider.fill(str(value))
        words = page.locator(".md-word").count()
        assert page.locator('.md-word[data-state="masked"]').count() == share * words
    slider.fill("500")
    assert "t=0.50 · alpha=0.50" in page.inner_text(".md-lesson-readout")
    assert "weight(t) = 2.00 times" in page.inner_text(".md-lesson-readout")
    linear = page.locator('.md-word[data-state="masked"]').count()
    page.get_by_label("Schedule", exact=True).select_option(label="cosine")
    assert "alpha=0.29" in page.inner_text(".md-lesson-readout")
    assert page.locator('.md-word[data-state="masked"]').count() > linear
    assert page.locator(".md-lesson .md-chart .md-line").count() == 8


def test_exponents_are_bars(page: Page) -> None:
    rows = page.locator(".md-exponents tbody tr")
    assert rows.count() == 4
    widths = [row.bounding_box()["width"] for row in page.locator(".md-exponent").all()]
    assert widths == sorted(widths)
    assert widths[0] == pytest.approx(widths[-1] / 4, abs=2)
    told = page.inner_text("#about-lesson")
    assert "“a” (w = 0.5) comes last, “b” (w = 2) first" in told
    page.get_by_label("Model").last.select_option(label="many")
    wait(page, "#about-lesson", "those at both ends are shown")
