"""Pictures as data: every format, splits that share nothing, batches, and training on them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import CLASSES, draw_bars, write_folder, write_idx
from PIL import Image

from mdcore.checkpoint import ModelConfig, load_checkpoint
from mdcore.codecs import Palette, Pixels
from training.config import TrainConfig
from training.data import Examples, HubPictures, PictureBatches, Pictures, read_pictures
from training.loop import _drop_labels, train
from training.optimizers import OPTIMIZERS

CPU = torch.device("cpu")
CODEC = Pixels(8, 8, 1)
IMAGES, LABELS = draw_bars(60)


def save_npz(folder: Path, **arrays: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    np.savez(folder / "bars.npz", **{"x": IMAGES, "y": LABELS, "categories": CLASSES} | arrays)
    return folder


@pytest.fixture(params=["idx", "npz", "folder", "hub"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Pictures | HubPictures:
    """The same 60 pictures in each format; idx and hub have splits of their own, 50 and 10."""
    if request.param == "idx":
        write_idx(tmp_path, "train", IMAGES[:50], LABELS[:50])
        write_idx(tmp_path, "t10k", IMAGES[50:], LABELS[50:])
    elif request.param == "npz":
        save_npz(tmp_path)
    elif request.param == "folder":
        write_folder(tmp_path, IMAGES, LABELS)
    else:
        write_folder(tmp_path / "train", IMAGES[:50], LABELS[:50])
        write_folder(tmp_path / "test", IMAGES[50:], LABELS[50:])
        return HubPictures(str(tmp_path))
    return Pictures([str(tmp_path)])


def test_splits_share_nothing_and_lose_nothing(source: Pictures | HubPictures) -> None:
    train_set, validation = (read_pictures(source, s, CODEC) for s in ("train", "validation"))
    assert 1 <= len(validation.x) <= 12
    rows = torch.cat([train_set.x, validation.x])
    labels = torch.cat([train_set.condition, validation.condition])
    found = {(bytes(row.numpy()), int(label)) for row, label in zip(rows, labels, strict=True)}
    expected = zip(IMAGES.reshape(60, -1), LABELS, strict=True)
    assert found == {(bytes(image), int(label)) for image, label in expected}
    assert len(rows) == 60
    assert len(source.class_names) == 2


def test_class_names_are_known(tmp_path: Path) -> None:
    write_folder(tmp_path / "files", IMAGES, LABELS)
    assert Pictures([str(tmp_path / "files")]).class_names == CLASSES
    assert Pictures([str(save_npz(tmp_path / "npz"))]).class_names == CLASSES


def test_pictures_of_one_name_fall_into_one_split(tmp_path: Path) -> None:
    """Two styles of an emoji: otherwise the model would have seen what it is measured on."""
    names = np.array([f"emoji {index % 30}" for index in range(60)])
    pictures = Pictures([str(save_npz(tmp_path, names=names))])
    held_out = [item.name for item in pictures._items if item.belongs("validation")]
    assert held_out
    assert all(held_out.count(name) == 2 for name in held_out)


def test_excluded_rows_are_left_out(tmp_path: Path) -> None:
    folder = save_npz(tmp_path, skin=np.arange(60) % 3)
    kept = list(Pictures([str(folder)], exclude="skin", whole=True).pictures("train"))
    assert [np.asarray(picture).tobytes() for picture, _ in kept] == [
        image.tobytes() for image in IMAGES[::3]
    ]


def test_pictures_of_any_size_and_without_classes(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "white").save(tmp_path / "a.png")
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "b.webp")
    pictures = Pictures([str(tmp_path)], whole=True)
    examples = read_pictures(pictures, "train", CODEC)
    assert examples.x.tolist() == [[255] * 64] * 2  # no holes in data: transparent lies on white
    assert examples.condition is None


def test_damaged_data_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name them with --data PATH"):
        Pictures([])
    with pytest.raises(ValueError, match="does not exist; give a folder of pictures"):
        Pictures([str(tmp_path / "missing")])
    with pytest.raises(ValueError, match="has no pictures; give a folder of"):
        Pictures([str(tmp_path)])
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"broken\.png could not be read as a picture; remove it"):
        list(Pictures([str(tmp_path)], whole=True).pictures("train"))
    write_folder(tmp_path / "few", IMAGES[:1], LABELS[:1])
    few = Pictures([str(tmp_path / "few")])
    with pytest.raises(ValueError, match="There are no pictures in the validation split"):
        read_pictures(few, "validation", CODEC)
    for name, content in (("train-images-idx3-ubyte.gz", b"x"), ("train-images-idx3-ubyte", b"x")):
        file = tmp_path / name
        file.write_bytes(content)
        with pytest.raises(ValueError, match="is not an idx file of bytes"):
            Pictures([str(file)])
    (tmp_path / "bad.npz").write_bytes(b"x")
    with pytest.raises(ValueError, match="is no archive with an array x"):
        Pictures([str(tmp_path / "bad.npz")])
    with pytest.raises(ValueError, match=r"x is float64 .*it must be uint8"):
        Pictures([str(save_npz(tmp_path / "floats", x=np.zeros((60, 8, 8))) / "bars.npz")])


def test_nothing_in_an_archive_is_unpickled(tmp_path: Path) -> None:
    folder = save_npz(tmp_path, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="is no archive with an array x"):
        Pictures([str(folder)])


# Batches


def batches(**options: object) -> PictureBatches:
    x = torch.from_numpy(IMAGES.reshape(60, -1))
    examples = Examples(x, torch.from_numpy(LABELS))
    options = {"shape": (8, 8, 1), "batch_size": 16, "seed": 3} | options
    return PictureBatches(examples, **options)  # type: ignore[arg-type]


def test_an_epoch_shows_every_picture_once() -> None:
    drawn = [batches().batch(step) for step in range(15)]  # 240 rows: four epochs of 60
    rows = torch.cat([batch.x for batch in drawn]).view(4, 60, 64)
    labels = torch.cat([batch.condition for batch in drawn]).view(4, 60)
    expected = sorted(map(bytes, IMAGES.reshape(60, -1)))
    for epoch in rows:
        assert sorted(bytes(row.to(torch.uint8).numpy()) for row in epoch) == expected
    assert not torch.equal(rows[0], rows[1])
    of_row = {bytes(image): label for image, label in zip(IMAGES, LABELS, strict=True)}
    for row, label in zip(rows.view(-1, 64), labels.flatten(), strict=True):
        assert of_row[bytes(row.to(torch.uint8).numpy())] == label


def test_a_batch_is_a_function_of_the_step() -> None:
    one, other = batches(flip=True, shift=2), batches(flip=True, shift=2)
    for step in (7, 0, 7):
        assert torch.equal(one.batch(step).x, other.batch(step).x)
    assert not torch.equal(one.batch(0).x, batches(flip=True, shift=2, seed=4).batch(0).x)


def test_pictures_are_mirrored_and_moved_with_their_border_repeated() -> None:
    plain = torch.from_numpy(IMAGES[:16])
    moving = batches(flip=True, shift=2)
    seen = {
        bytes(image.numpy())
        for step in range(30)
        for image in moving._augment(plain.flatten(1), step).view(16, 64)
    }
    allowed = set()
    for image in plain.numpy():
        padded = np.pad(image, 2, mode="edge")
        for down in range(5):
            for right in range(5):
                cut = padded[down : down + 8, right : right + 8]
                allowed |= {cut.tobytes(), cut[:, ::-1].tobytes()}
    assert seen <= allowed
    assert len(seen) > 0.4 * len(allowed)  # 480 draws of some 700 places: most are met


# Training


def tiny(out: Path, data: Path, **changes: object) -> TrainConfig:
    config = TrainConfig(
        model=ModelConfig(
            codec={"name": "pixels", "height": 8, "width": 8, "channels": 1},
            schedule={"name": "linear"},
            backbone={"name": "unet", "widths": [16, 16], "blocks": [1, 1], "dropout": 0.1},
        ),
        data={"name": "pictures", "paths": [str(data)], "flip": True, "shift": 1},
        optimizer={"name": "muon"},
        steps=6,
        batch_size=8,
        warmup=1,
        ema=0.9,
        log_every=2,
        evaluate_every=4,
        checkpoint_every=4,
        evaluation_examples=2,
        evaluation_draws=2,
        out=out,
    )
    return dataclasses.replace(config, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_interrupted_run_equals_uninterrupted(tmp_path: Path, optimizer: str) -> None:
    write_folder(tmp_path / "data", IMAGES, LABELS)
    options = {"optimizer": {"name": optimizer}}
    straight = tiny(tmp_path / "straight", tmp_path / "data", **options)
    losses = [record.loss for record in train(straight, device=CPU)]
    broken = tiny(tmp_path / "broken", tmp_path / "data", **options)
    records = train(broken, device=CPU)
    first = next(records).loss
    records.close()
    rest = [record.loss for record in train(broken, device=CPU, resume=True)]
    assert [first, *rest] == losses
    loaded = load_checkpoint(tmp_path / "broken" / "last")
    assert loaded.config.num_classes == 2
    assert loaded.config.class_names == CLASSES
    assert "bits_per_token" in loaded.metrics
    assert "bits_per_character" not in loaded.metrics


def test_a_palette_is_found_and_kept(tmp_path: Path) -> None:
    write_folder(tmp_path / "data", IMAGES, LABELS)
    config = tiny(tmp_path / "run", tmp_path / "data", steps=2)
    codec = {"name": "palette", "height": 8, "width": 8, "colours": 3}
    model = dataclasses.replace(config.model, codec=codec)
    list(train(dataclasses.replace(config, model=model), device=CPU))
    loaded = load_checkpoint(tmp_path / "run" / "last")
    assert isinstance(loaded.codec, Palette)
    assert loaded.codec.colours.shape == (3, 3)
    assert (abs(loaded.codec.colours.astype(int) - [0, 0, 0]).sum(-1) <= 3).any()


def test_text_for_a_model_of_images_is_refused(tmp_path: Path) -> None:
    config = tiny(tmp_path / "run", tmp_path)
    config = dataclasses.replace(config, data={"name": "text", "paths": [str(tmp_path)]})
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(ValueError, match="'text' are text and codec 'pixels' is not for them"):
        next(train(config, device=CPU))


def test_labels_are_dropped_at_the_rate_asked_for(tmp_path: Path) -> None:
    labels = torch.arange(10_000) % 2
    config = tiny(tmp_path, tmp_path, label_dropout=0.3)
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, num_classes=2))
    kept = _drop_labels(labels, config, torch.Generator().manual_seed(0))
    dropped = kept == 2
    assert torch.equal(kept[~dropped], labels[~dropped])
    # four standard errors of a share of 10,000
    assert abs(dropped.float().mean() - 0.3) < 4 * (0.3 * 0.7 / 10_000) ** 0.5
