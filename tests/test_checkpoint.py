"""Checkpoints: the same model back to the bit, whole or not at all, and clear words otherwise."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from oracle import seeded
from safetensors.torch import load_file, save_file
from torch import Tensor

from mdcore.backbones import BACKBONES
from mdcore.checkpoint import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    ModelConfig,
    build_model,
    load_checkpoint,
    save_checkpoint,
)
from mdcore.codecs import BPE, CODECS, TOKENIZER_FILE, Characters
from mdcore.diffusion import MD4, GenMD4
from mdcore.schedules import SCHEDULES

SMALL = {
    "transformer": {"width": 16, "depth": 1, "heads": 2, "time_conditioned": True},
    "unet": {"widths": [16], "blocks": [1], "embedding": 8, "time_conditioned": True},
}
SIZES = {"pixels": {"height": 4, "width": 8}, "palette": {"height": 4, "width": 8, "colours": []}}
SIZES["palette"]["colours"] = [[0, 0, 0], [255, 255, 255], [200, 10, 90]]
TEXT = "the cat sat on the mat"


def make(
    codec: str = "characters",
    schedule: str = "linear",
    backbone: str = "transformer",
    num_classes: int = 0,
    seed: int = 0,
) -> Checkpoint:
    """A small model with random weights, of which none is at its initial value."""
    if codec == "bpe":
        trained = BPE.train([TEXT] * 9, vocab_size=270, length=32)
        spec = {"name": codec, "vocab_size": trained.vocab_size, "length": 32}
    else:
        spec = {"name": codec, **SIZES.get(codec, {"length": 32})}
    config = ModelConfig(
        codec=spec,
        schedule={"name": schedule},
        backbone={"name": backbone, **SMALL[backbone]},
        num_classes=num_classes,
    )
    model = build_model(config).eval()
    generator = seeded(seed)
    for parameter in model.parameters():
        parameter.data.normal_(std=0.3, generator=generator)
    return Checkpoint(
        model=model,
        codec=trained if codec == "bpe" else CODECS.build(spec),
        config=config,
        step=1234,
        metrics={"bits_per_token": 1.5},
        training={"seed": 7, "data": ["a", "b"]},
    )


@torch.no_grad()
def logits(model: MD4, checkpoint: Checkpoint) -> Tensor:
    """Of a text with holes, computed as the other model does."""
    model.compute_dtype = checkpoint.model.compute_dtype
    z = torch.arange(32)[None] % (checkpoint.codec.vocab_size + 1)
    condition = torch.tensor([1]) if checkpoint.config.num_classes else None
    return model(z, torch.tensor([0.4]), condition)


PARTS = [
    *({"codec": name} for name in CODECS),
    *({"schedule": name} for name in SCHEDULES),
    *({"backbone": name} for name in BACKBONES if name != "unet"),
    *({"codec": name, "backbone": "unet"} for name in SIZES),
    {"num_classes": 3},
]


@pytest.mark.parametrize("parts", PARTS, ids=lambda parts: "-".join(map(str, parts.values())))
def test_what_is_saved_is_loaded_to_the_bit(tmp_path: Path, parts: dict[str, str]) -> None:
    saved = make(**parts)
    folder = tmp_path / "new" / "model"
    save_checkpoint(folder, saved)
    loaded = load_checkpoint(str(folder))
    assert torch.equal(logits(saved.model, loaded), logits(loaded.model, loaded))
    assert loaded.config == saved.config
    assert (loaded.step, loaded.metrics) == (saved.step, saved.metrics)
    assert loaded.training == saved.training
    tokens = torch.arange(32) % saved.codec.vocab_size
    assert np.array_equal(loaded.codec.decode(tokens), saved.codec.decode(tokens))
    assert type(loaded.model) is (GenMD4 if parts.get("schedule") == "learned_polynomial" else MD4)
    assert not loaded.model.training
    t = torch.tensor(0.3, dtype=torch.float64)
    assert torch.equal(loaded.model.schedule.alpha(t), saved.model.schedule.alpha(t))
    assert {path.name for path in folder.parent.iterdir()} == {"model"}


def test_bfloat16_halves_the_file_and_rounds_the_weights(tmp_path: Path) -> None:
    saved = make()
    save_checkpoint(tmp_path / "full", saved)
    save_checkpoint(tmp_path / "half", saved, dtype=torch.bfloat16)
    full, half = ((tmp_path / name / WEIGHTS_FILE).stat().st_size for name in ("full", "half"))
    header = 8 * 1024  # names and shapes, the same in both
    assert half < full / 2 + header < full
    loaded = load_checkpoint(tmp_path / "half").model.state_dict()
    for name, weight in saved.model.state_dict().items():
        assert loaded[name].dtype == torch.float32
        assert torch.equal(loaded[name], weight.bfloat16().float())
    assert saved.model.denoiser.head.weight.dtype == torch.float32


def test_a_learned_schedule_is_never_rounded(tmp_path: Path) -> None:
    saved = make(schedule="learned_polynomial")
    save_checkpoint(tmp_path / "half", saved, dtype=torch.bfloat16)
    loaded = load_checkpoint(tmp_path / "half").model.schedule.state_dict()
    for name, weight in saved.model.schedule.state_dict().items():
        assert torch.equal(loaded[name], weight)


# Whole or not at all


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def no_space(*_: object, **__: object) -> None:
    raise OSError("No space left on device")


def half_a_file(weights: object, path: Path, metadata: object) -> None:
    path.write_bytes(b"half")
    no_space()


@pytest.mark.parametrize(
    ("place", "failure"),
    [
        ("mdcore.checkpoint.save_file", half_a_file),
        ("mdcore.codecs.BPE.save", no_space),
        ("os.fsync", no_space),
        ("pathlib.Path.chmod", no_space),
        ("pathlib.Path.replace", no_space),
        ("pathlib.Path.rename", no_space),
    ],
)
def test_a_failure_midway_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, failure: Callable[..., None]
) -> None:
    folder = tmp_path / "model"
    old, new = make("bpe"), make("bpe", seed=1)
    save_checkpoint(folder, old)
    before = content(folder)
    with monkeypatch.context() as patch:
        patch.setattr("mdcore.checkpoint._swap", lambda *_: False)  # as on disks that cannot
        patch.setattr(place, failure)
        with pytest.raises(OSError, match="No space left"):
            save_checkpoint(folder, new)
    assert content(folder) == before
    assert list(tmp_path.iterdir()) == [folder]
    save_checkpoint(folder, new)
    loaded = load_checkpoint(folder)
    assert torch.equal(logits(new.model, loaded), logits(loaded.model, loaded))
    assert list(tmp_path.iterdir()) == [folder]


def test_metrics_that_are_not_json_leave_the_old_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    save_checkpoint(folder, make())
    before = content(folder)
    with pytest.raises(TypeError, match="not JSON serializable"):
        save_checkpoint(folder, replace(make(seed=1), training={"path": tmp_path}))
    assert content(folder) == before
    assert list(tmp_path.iterdir()) == [folder]


def test_files_of_an_older_checkpoint_do_not_stay(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "model", make("bpe"))
    save_checkpoint(tmp_path / "model", make("bytes"))
    assert set(content(tmp_path / "model")) == {CONFIG_FILE, WEIGHTS_FILE}


def test_others_may_read_it(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "model", make())
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o755


# Damage


def change_config(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / CONFIG_FILE).read_text())
        model = changes.get("model")
        if isinstance(model, dict):
            changes["model"] = config["model"] | model
        (folder / CONFIG_FILE).write_text(json.dumps(config | changes))

    return change


def write(name: str, data: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return change


def cut(name: str, share: float) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(share * len(data))])

    return change


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def change_weights(change: Callable[[dict[str, Tensor]], None]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        weights = load_file(folder / WEIGHTS_FILE)
        change(weights)
        save_file(weights, folder / WEIGHTS_FILE)

    return apply


FOREIGN = "not the config of a checkpoint made by this project; choose a folder that training.train"
DAMAGED = r"config\.json is damaged \(.*copy the checkpoint again"
TORN = r"model\.safetensors is damaged or cut short \(.*copy it again"
MIXED = r"Copy config\.json and model\.safetensors from the same checkpoint"
BACKBONE = {"name": "transformer", **SMALL["transformer"]}

DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "no folder": (shutil.rmtree, r"holds no checkpoint: config\.json is missing"),
    "no config": (remove(CONFIG_FILE), r"holds no checkpoint: config\.json is missing"),
    "cut config": (cut(CONFIG_FILE, 0.5), DAMAGED),
    "empty config": (write(CONFIG_FILE, b""), DAMAGED),
    "binary config": (write(CONFIG_FILE, b"\xff\xfe\x00"), DAMAGED),
    "a list": (write(CONFIG_FILE, b"[1, 2]"), FOREIGN),
    "another project": (write(CONFIG_FILE, b'{"architectures": ["GPT2"]}'), FOREIGN),
    "no model": (change_config(model=None), FOREIGN),
    "unknown part": (change_config(model={"vae": {}}), FOREIGN),
    "wrong type": (change_config(model={"backbone": {**BACKBONE, "width": "wide"}}), FOREIGN),
    "newer format": (change_config(format=99), r"has format 99; this version reads 1\. Update"),
    "misspelt": (change_config(model={"schedule": {"name": "cosin"}}), "Did you mean 'cosine'"),
    "bad option": (
        change_config(model={"schedule": {"name": "polynomial", "exponent": -2.0}}),
        r"exponent is -2\.0; a polynomial schedule needs one above 0",
    ),
    "no time": (
        change_config(
            model={"schedule": {"name": "learned_polynomial"}, "backbone": {"name": "transformer"}}
        ),
        "build the backbone with time_conditioned=True",
    ),
    "no weights": (remove(WEIGHTS_FILE), r"model\.safetensors is missing; copy the checkpoint"),
    "cut weights": (cut(WEIGHTS_FILE, 0.7), TORN),
    "cut header": (cut(WEIGHTS_FILE, 0.01), TORN),
    "empty weights": (write(WEIGHTS_FILE, b""), TORN),
    "missing key": (change_weights(lambda w: w.__delitem__("denoiser.head.bias")), MIXED),
    "foreign key": (change_weights(lambda w: w.update(extra=torch.zeros(2))), MIXED),
    "wrong shape": (
        change_weights(lambda w: w.update({"denoiser.head.bias": torch.zeros(3)})),
        r"'denoiser\.head\.bias' has shape \(3,\), the config says \(2\d\d,\)\. " + MIXED,
    ),
    "no tokenizer": (remove(TOKENIZER_FILE), r"tokenizer\.json is missing; copy it from where"),
    "cut tokenizer": (cut(TOKENIZER_FILE, 0.5), r"tokenizer\.json is not a tokenizer of the"),
    "other tokenizer": (
        lambda folder: BPE.train(["dog and bone"] * 9, vocab_size=260).save(folder),
        r"tokens and the config says 2\d\d; use the tokenizer\.json that belongs to this config",
    ),
}


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_a_damaged_checkpoint_says_what_to_do(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "model"
    save_checkpoint(folder, make("bpe"))
    spoil, message = DAMAGES[damage]
    load_checkpoint(folder)
    spoil(folder)
    with pytest.raises(ValueError, match=message) as error:
        load_checkpoint(folder)
    assert str(folder) in str(error.value)


def test_a_file_is_no_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="holds no checkpoint"):
        load_checkpoint(file)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.place),)


@pytest.mark.parametrize("name", [CONFIG_FILE, WEIGHTS_FILE, TOKENIZER_FILE])
@pytest.mark.parametrize("writer", [pickle.dumps, torch.save])
def test_nothing_is_unpickled(tmp_path: Path, name: str, writer: Callable[..., bytes]) -> None:
    folder, sprung = tmp_path / "model", tmp_path / "sprung"
    save_checkpoint(folder, make("bpe"))
    if writer is torch.save:
        torch.save({"weights": Trap(sprung)}, folder / name)
    else:
        (folder / name).write_bytes(writer(Trap(sprung)))
    with pytest.raises(ValueError, match=f"{name} is (damaged|not a tokenizer)"):
        load_checkpoint(folder)
    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists()  # the trap works


def test_a_config_decides_the_model() -> None:
    """Codec and backbone share their sizes; the classes reach the network."""
    checkpoint = make("characters", num_classes=3)
    assert isinstance(checkpoint.codec, Characters)
    assert checkpoint.model.vocab_size == checkpoint.codec.vocab_size == 27
    z = torch.full((1, 32), 27)
    with pytest.raises(IndexError):
        checkpoint.model(z, torch.ones(1), torch.tensor([4]))
    assert checkpoint.model(z, torch.ones(1), torch.tensor([3])).shape == (1, 32, 27)
