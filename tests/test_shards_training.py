"""Training on shards is training on the text."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from test_commands import run
from test_training import CPU, finish, tiny
from tokenised import tokenise_by_command, write_texts

from mdcore.checkpoint import load_checkpoint
from training.data import (
    Books,
    Shards,
    read_windows,
)
from training.data.shards import local_spec
from training.loop import train
from training.prepare import prepare
from training.train import Arguments as TrainArguments
from training.train import configure


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture
def shards(texts: Path, tmp_path: Path) -> Path:
    tokenise_by_command(tmp_path / "shards", texts)
    return tmp_path / "shards"


def test_training_on_shards_is_training_on_the_text(
    texts: Path, shards: Path, tmp_path: Path
) -> None:
    own = {"name": "books", "held_out": ["willows", "wallypug", "cuckoo"], "paths": [str(texts)]}
    tokenizer = str(shards / "tokenizer.json")
    in_memory = finish(tiny(tmp_path / "memory", data=own, tokenizer=tokenizer))
    spec = local_spec(own, [str(shards)])
    assert finish(tiny(tmp_path / "disk", data=spec)) == in_memory
    prepared = prepare(tiny(tmp_path / "disk", data=spec, evaluation_examples=10**6), resume=False)
    books = Books([str(texts)], held_out=["willows"])
    wanted = read_windows(books.documents("validation"), prepared.codec)
    assert torch.equal(prepared.validation.x, wanted)


def test_an_interrupted_run_on_shards_equals_an_uninterrupted_one(
    shards: Path, tmp_path: Path
) -> None:
    spec = local_spec({"name": "text"}, [str(shards)])
    straight = finish(tiny(tmp_path / "straight", data=spec))
    broken = tiny(tmp_path / "broken", data=spec)
    records = train(broken, device=CPU)
    first = [next(records).loss, next(records).loss]
    records.close()
    assert first + finish(broken, resume=True) == straight


def test_a_model_of_shards_is_measured_on_them_and_on_their_text(
    texts: Path, shards: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    words = ["training.train", "childrens-books", "--data", shards, "--out", out, "--steps", 4]
    words += ["--batch-size", 2, "--width", 32, "--depth", 1, "--heads", 2]
    trained = run(*words)
    assert trained.returncode == 0, trained.stderr
    stored = load_checkpoint(out / "last")
    assert stored.training["data"]["name"] == "shards"
    measured = [
        run("training.evaluate", out / "last", data, "--draws", 2) for data in (texts, shards)
    ]
    assert measured[0].returncode == 0, measured[0].stderr
    assert measured[0].stdout == measured[1].stdout


def test_what_is_wrong_with_a_folder_is_told(texts: Path, shards: Path, tmp_path: Path) -> None:
    spec = local_spec({"name": "text"}, [str(shards)])
    config = tiny(tmp_path / "run", data=spec)
    (shards / "train-00001.bin").write_bytes(b"half")
    (shards / "train-00000.documents.npy").unlink()
    with pytest.raises(ValueError, match=r"train-00000 in .* is missing or damaged.* again"):
        finish(config)
    tokenise_by_command(shards, texts)  # which mends it
    assert len(finish(config)) == 4
    letters = dataclasses.replace(
        config, model=dataclasses.replace(config.model, codec={"name": "characters", "length": 16})
    )
    with pytest.raises(ValueError, match=r"holds tokens of codec .*'bpe'.* tokenise anew"):
        prepare(letters, resume=False)
    with pytest.raises(ValueError, match=r"begun with options = .* choose another --out"):
        tokenise_by_command(shards, texts, vocab_size=290)
    with pytest.raises(ValueError, match="omit --vocab-size"):
        configure(TrainArguments("childrens-books", data=(shards,), vocab_size=300))
    with pytest.raises(ValueError, match="--workers is 0"):
        tokenise_by_command(tmp_path / "new", texts, workers=0)
    index = json.loads((shards / "index.json").read_text())
    (shards / "index.json").write_text(json.dumps({**index, "complete": False}))
    with pytest.raises(ValueError, match="not finished"):
        Shards(str(shards))
    (shards / "index.json").write_text(json.dumps({**index, "options": {}}))
    with pytest.raises(ValueError, match="made anew since"):
        finish(config, resume=True)
    (shards / "index.json").write_text("{}")
    with pytest.raises(ValueError, match=r"is no index.*training\.tokenise"):
        Shards(str(shards))
