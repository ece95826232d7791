"""README keeps its word: its code runs, and what it names exists."""

import importlib.util
import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_training_loop_learns(capsys: pytest.CaptureFixture[str]) -> None:
    """Guessing letters costs log 27 = 3.3 nats; what is drawn afterwards is made of the words."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    (code,) = (block for block in blocks if "loss" in block)
    names: dict[str, torch.Tensor] = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(code, names)
    assert names["loss"].item() < 0.5
    drawn = capsys.readouterr().out
    assert sum(word in drawn for word in ("masks", "turn", "into", "words")) >= 2


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
