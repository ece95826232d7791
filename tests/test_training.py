"""The training loop and its data: reproducible, resumable, honest about what it cannot read."""

import dataclasses
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from mdcore.checkpoint import ModelConfig, build_model, load_checkpoint
from mdcore.codecs import BPE, Bytes
from training.config import PRESETS, TrainConfig
from training.data import (
    DATASETS,
    Books,
    Hub,
    Letters,
    StreamedWindows,
    Text,
    Windows,
    read_windows,
)
from training.ema import EMA
from training.loop import learning_rate_factor, train
from training.optimizers import OPTIMIZERS

SAMPLE = Path(__file__).parent / "sample.txt"
CPU = torch.device("cpu")


def tiny(out: Path, **changes: object) -> TrainConfig:
    """A run of seconds; dropout is on, so that its random numbers are tested too."""
    config = TrainConfig(
        model=ModelConfig(
            codec={"name": "bpe", "vocab_size": 300, "length": 16},
            schedule={"name": "linear"},
            backbone={"name": "transformer", "width": 16, "depth": 1, "heads": 2, "dropout": 0.1},
        ),
        data={"name": "books", "paths": [str(SAMPLE)]},
        optimizer={"name": "muon"},
        steps=8,
        batch_size=4,
        warmup=2,
        ema=0.9,
        log_every=2,
        evaluate_every=4,
        checkpoint_every=4,
        evaluation_examples=2,
        evaluation_draws=2,
        out=out,
    )
    return dataclasses.replace(config, **changes)  # type: ignore[arg-type]


def finish(config: TrainConfig, *, resume: bool = False) -> list[float]:
    return [record.loss for record in train(config, device=CPU, resume=resume)]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder).model.state_dict()


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
@pytest.mark.parametrize("accumulation", [1, 2])
def test_interrupted_run_equals_uninterrupted(
    tmp_path: Path, optimizer: str, accumulation: int
) -> None:
    changes = {"optimizer": {"name": optimizer}, "accumulation": accumulation}
    straight = finish(tiny(tmp_path / "straight", **changes))

    broken = tiny(tmp_path / "broken", **changes)
    records = train(broken, device=CPU)
    first = [next(records).loss, next(records).loss, next(records).loss]
    records.close()
    rest = finish(broken, resume=True)

    assert first + rest == straight  # bit for bit: the same numbers, no tolerance
    expected = weights(tmp_path / "straight" / "last")
    for name, value in weights(tmp_path / "broken" / "last").items():
        assert torch.equal(value, expected[name]), name


def test_a_killed_run_resumes_from_its_last_checkpoint(tmp_path: Path) -> None:
    straight = finish(tiny(tmp_path / "straight"))
    config = tiny(tmp_path / "killed")
    records = train(config, device=CPU)
    while next(records).step < 6:  # the last checkpoint is that of step 4
        pass
    with pytest.raises(RuntimeError, match="power cut"):
        records.throw(RuntimeError("power cut"))
    assert finish(config, resume=True) == straight[2:]


def test_seed_decides_the_run(tmp_path: Path) -> None:
    once, again = finish(tiny(tmp_path / "a")), finish(tiny(tmp_path / "b"))
    other = finish(tiny(tmp_path / "c", seed=1))
    assert once == again
    assert once != other


def test_training_learns_the_sample(tmp_path: Path) -> None:
    """Above the chance level by a wide margin: uniform guessing costs log2 V bits a token."""
    config = tiny(
        tmp_path,
        steps=200,
        batch_size=8,
        evaluation_examples=16,
        evaluation_draws=16,
        evaluate_every=100,
        optimizer={"name": "adamw", "learning_rate": 0.01},
    )
    *_, last = train(config, device=CPU)
    chance = np.log2(last.codec.vocab_size)
    bits, error = last.validation["bits_per_token"], last.validation["standard_error"]
    assert bits + 4 * error < 0.95 * chance
    stored = load_checkpoint(tmp_path / "best")
    assert stored.metrics["bits_per_token"] <= bits
    assert stored.training["data"]["name"] == "books"
    assert stored.codec.decode(stored.codec.encode("A mouse")) == "A mouse"


def test_resume_refuses_another_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to resume"):
        finish(tiny(tmp_path), resume=True)
    finish(tiny(tmp_path))
    with pytest.raises(ValueError, match="holds a run"):
        finish(tiny(tmp_path))
    with pytest.raises(ValueError, match="batch_size = 4; now batch_size = 2"):
        finish(tiny(tmp_path, batch_size=2), resume=True)
    (tmp_path / "state.safetensors").write_bytes(b"half a file")
    with pytest.raises(ValueError, match="damaged"):
        finish(tiny(tmp_path), resume=True)


def test_a_run_begun_before_an_option_existed_is_resumed(tmp_path: Path) -> None:
    config = tiny(tmp_path)
    records = train(config, device=CPU)
    next(records)
    records.close()
    path = tmp_path / "state.safetensors"
    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["run"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no dict
    assert facts["config"]["model"].pop("objective") == {"name": "diffusion"}
    save_file(tensors, path, {"run": json.dumps(facts)})
    assert len(finish(config, resume=True)) == 3  # records of steps 4, 6, 8


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    config = tiny(tmp_path, optimizer={"name": "adamw", "learning_rate": 1e30}, clip=1e30)
    with pytest.raises(FloatingPointError, match=r"at step \d+, learning rate"):
        finish(config)


def test_learning_rate_rises_then_falls_to_zero() -> None:
    config = tiny(Path("unused"), steps=100, warmup=10)
    factors = [learning_rate_factor(config, step) for step in range(101)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert all(a >= b for a, b in pairwise(factors[10:]))
    assert factors[55] == pytest.approx(0.5)  # half way down the cosine
    assert factors[100] == pytest.approx(0)


def test_ema_follows_the_closed_form() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    ema = EMA(model, decay=0.5)  # type: ignore[arg-type]
    nn.init.ones_(model.weight)
    for step in (100, 101, 102):  # past the warm-up of the decay: 1 - 0.5^3
        ema.update(model, step)  # type: ignore[arg-type]
    assert next(ema.model.parameters()).item() == pytest.approx(1 - 0.5**3)


def test_windows_are_pieces_of_the_text_and_functions_of_the_step() -> None:
    windows = Windows(np.arange(100, dtype=np.uint16), length=10, batch_size=64, seed=3)
    batch = windows.batch(7).x
    assert torch.equal(batch, batch[:, :1] + torch.arange(10))
    assert torch.equal(batch, windows.batch(7).x)
    assert not torch.equal(batch, windows.batch(8).x)
    starts = torch.cat([windows.batch(step).x[:, 0] for step in range(40)])
    assert set(starts.tolist()) == set(range(91))  # the first and the last window are drawn too


def test_streamed_windows_skip_to_a_step() -> None:
    texts = ["a fox", "in the wood and a hare", "", "on the hill"]
    codec = Bytes(length=7)

    def open_documents() -> Iterator[str]:
        return iter(texts)

    whole = "".join(texts).encode()
    in_order = StreamedWindows(open_documents, codec, batch_size=2)
    batches = [in_order.batch(step).x for step in range(4)]
    seen = bytes(torch.cat(batches).flatten().tolist())
    assert seen == (whole * 2)[: len(seen)]
    assert torch.equal(StreamedWindows(open_documents, codec, 2).batch(3).x, batches[3])


def test_evaluation_windows_are_disjoint_and_in_order() -> None:
    windows = read_windows(["abcdefg", "hij"], Bytes(length=4))
    assert bytes(windows.flatten().tolist()) == b"abcdefgh"
    assert read_windows(["ab"], Bytes(length=4)).shape == (1, 2)
    with pytest.raises(ValueError, match="empty"):
        read_windows([], Bytes(length=4))


def test_books_are_unwrapped() -> None:
    hard_wrapped = "\ufeffCHAPTER I\r\n\r\n\r\n‘Bother!’ said\r\nthe _Mole_…\r\n  \r\n“O blow!”\r\n"
    clean = Books([str(SAMPLE)]).clean(hard_wrapped)
    assert clean == "CHAPTER I\n\n'Bother!' said the Mole...\n\n\"O blow!\"\n\n"
    assert Books([str(SAMPLE)]).clean("one  line\nanother\n") == "one line\n\nanother\n\n"


def test_letters_are_small_and_their_words_one_space_apart() -> None:
    clean = Letters([str(SAMPLE)]).clean
    assert clean("“It’s 9\n\n  o'clock,” said CAFÉ-goers.") == " it s o clock said caf goers "


def test_splits_share_nothing_and_lose_nothing(tmp_path: Path) -> None:
    for name in ("a", "b", "held"):
        (tmp_path / f"{name}.txt").write_text(name * 500, encoding="utf-8")
    by_name = Text([str(tmp_path)], held_out=["held"])
    assert list(by_name.documents("validation")) == ["held" * 500]
    assert list(by_name.documents("train")) == ["a" * 500, "b" * 500]
    by_share = Text([str(tmp_path)])
    train_text, validation = ("".join(by_share.documents(s)) for s in ("train", "validation"))
    assert train_text + validation == "a" * 500 + "b" * 500 + "held" * 500
    assert len(validation) == 150  # 5 % of 3,000 characters
    assert list(Text([str(tmp_path / "a.txt")], whole=True).documents("validation")) == ["a" * 500]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "--data PATH"),
        (["no/such/place"], "does not exist"),
        (["."], "no .txt file"),
        (["latin.txt"], "is not UTF-8 text"),
    ],
)
def test_unreadable_text_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paths: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if paths == ["latin.txt"]:
        Path("latin.txt").write_bytes("façade".encode("latin-1"))
    with pytest.raises(ValueError, match=message):
        list(Text(paths).documents("train"))


@pytest.mark.parametrize("streamed", [False, True])
def test_hub_data_is_read_by_name(tmp_path: Path, streamed: bool) -> None:
    """The real loading code, on a folder that `datasets` reads like a hub's."""
    rows = [f"story {index}" for index in range(5)]
    with (tmp_path / "train.jsonl").open("w") as file:
        file.writelines(json.dumps({"story": row}) + "\n" for row in rows)
    hub = Hub(str(tmp_path), column="story", validation_rows=2, streamed=streamed)
    assert list(hub.documents("validation")) == rows[:2]
    assert list(hub.documents("train")) == rows[2:]


def test_a_hub_out_of_reach_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"could not be read.*--data PATH"):
        list(Hub(str(tmp_path / "missing")).documents("train"))


@pytest.mark.parametrize("preset", list(PRESETS))
def test_presets_build(preset: str) -> None:
    """Every preset's names and options exist, and its model has the size that its codec says."""
    config = PRESETS[preset]
    assert config.data["name"] in DATASETS
    assert config.optimizer["name"] in OPTIMIZERS
    with torch.device("meta"):
        model = build_model(config.model)
    sizes = {"childrens-books": 8192, "scorer": 4096, "emoji": 64}
    sizes |= dict.fromkeys(("openwebtext", "openwebtext-medium"), 50_257)
    sizes |= dict.fromkeys(("text8", "letters-md4", "letters-genmd4"), 27)
    assert model.vocab_size == sizes.get(preset, 256)


@pytest.mark.parametrize(("preset", "millions"), [("cifar10", 28), ("imagenet64", 198)])
def test_presets_have_the_papers_size(preset: str, millions: int) -> None:
    """Where the paper gives a number of parameters, in millions."""
    with torch.device("meta"):
        model = build_model(PRESETS[preset].model)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == millions


def test_a_tokenizer_of_ones_own_is_used(tmp_path: Path) -> None:
    own = BPE.train([SAMPLE.read_text()], vocab_size=280, length=16)
    own.save(tmp_path)
    config = tiny(tmp_path / "run", tokenizer=str(tmp_path / "tokenizer.json"), steps=2)
    *_, last = train(config, device=CPU)
    assert last.codec.vocab_size == own.vocab_size
    assert (tmp_path / "run" / "tokenizer.json").exists()
