"""The command that measures the page, and what it measures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from readme import ROOT
from tiny_image import save_tiny_image_model
from tiny_text import save_tiny_checkpoint

from app.measure import side_by_side
from app.measure.__main__ import main
from app.measure.figure import Figure
from app.measure.side_by_side import fluency
from app.shelf import Shelf

ALWAYS = ("visitors", "visitor", "memory", "streamed", "trajectory")  # however busy the machine is


def test_a_figure_is_judged_by_its_budget() -> None:
    assert Figure("x", 2, 2, "s").ok
    assert str(Figure("x", 2, 2, "s")).endswith("ok")
    assert str(Figure("x", 2.1, 2, "s")).endswith("over")


def test_every_budget_is_measured() -> None:
    """Ten visitors at once, one who leaves and memory are judged; what is timed is only there."""
    browser = pytest.importorskip("app.measure.browser", reason="playwright is missing")
    try:
        browser.chromium()
    except ValueError as error:
        pytest.skip(str(error))
    command = [sys.executable, "-m", "app.measure", "--json", "--runs", "12"]
    told = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert told.returncode == 0, told.stderr
    figures = [json.loads(line) for line in told.stdout.splitlines() if line.startswith("{")]
    assert len(figures) == 12
    judged = [f for f in figures if any(word in f["what"].split() for word in ALWAYS)]
    assert len(judged) == 6
    over = [f["what"] for f in judged if not f["ok"]]
    assert over == ["a trajectory of 1,024 tokens, remask_rescale"]  # each reveal is an event


def test_panels_take_turns(tmp_path: Path) -> None:
    """Two and three panels have as many frames each as one; no panel waits for another's end."""
    save_tiny_checkpoint(tmp_path / "tiny")
    save_tiny_image_model(tmp_path / "grey", "grey")
    shelf = Shelf([tmp_path], dtype=torch.float32)
    for name in ("tiny", "grey"):
        _, _, *rows = fluency(shelf, name, steps=8)
        assert [row.split(" | ")[1] for row in rows] == ["1", "2", "3"]
    moments = side_by_side.frames(shelf, "tiny", 3, 8)
    assert [len(own) for own in moments] == [9, 9, 9]  # a start and eight steps
    order = sorted((moment, number) for number, own in enumerate(moments) for moment in own[1:])
    numbers = [number for _, number in order]
    assert all(set(numbers[k : k + 3]) == {0, 1, 2} for k in range(0, 24, 3))


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["measure"])
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(SystemExit, match="needs chromium: apt install chromium"):
        main()
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    monkeypatch.delitem(sys.modules, "app.measure.browser", raising=False)
    monkeypatch.delattr("app.measure.browser", raising=False)
    with pytest.raises(SystemExit, match="needs playwright: pip install -r requirements"):
        main()
