"""README keeps its word: its code runs, and what it names exists."""

import importlib.util
import re
from urllib.parse import parse_qsl

import pytest
import torch
from readme import README, ROOT, python_with

from app.link import read_link


def test_the_training_loop_learns(capsys: pytest.CaptureFixture[str]) -> None:
    """Guessing letters costs log 27 = 3.3 nats; what is drawn afterwards is made of the words."""
    names: dict[str, torch.Tensor] = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(python_with("loss"), names)
    assert names["loss"].item() < 0.5
    drawn = capsys.readouterr().out
    assert sum(word in drawn for word in ("masks", "turn", "into", "words")) >= 2


def test_the_link_shown_is_a_link() -> None:
    (shown,) = re.findall(r"`\?(tab=watch&[^`]*)`", README)
    arrival = read_link(dict(parse_qsl(shown)), ["childrens-books"])
    assert arrival is not None
    assert arrival.problems == []
    assert arrival.values["text"] == "Once upon a time"


def test_named_modules_and_files_exist() -> None:
    modules = set(re.findall(r"python -m ([\w.]+)", README)) - {"pytest"}
    assert modules
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []
    paths = set(re.findall(r"\]\((?!http)([^)#]+)\)", README))
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_both_commands_stand_on_one_line() -> None:
    for command in ("app", "pytest"):
        line = rf"^pip install -r requirements.txt && python -m {command}$"
        assert re.search(line, README, re.M)
