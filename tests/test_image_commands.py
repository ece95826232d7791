"""The commands on images, run as a user runs them: trained on a folder of pictures of one's own."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import draw_bars, write_folder
from PIL import Image
from test_commands import run

from mdcore.checkpoint import load_checkpoint
from training.nearest import nearest, variants
from training.sheet import MASKS, named_mask

SMALL = ["--widths", 16, 16, "--blocks", 1, 1, "--steps", 12, "--batch-size", 4]
TILE = 3 * 28 + 2


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    write_folder(folder, *draw_bars(60, size=28))
    return folder


@pytest.fixture(scope="module")
def trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "bars"
    result = run("training.train", "mnist", "--data", pictures, "--out", out, *SMALL)
    assert result.returncode == 0, result.stderr
    assert "validation" in result.stdout
    return out


def test_train_keeps_samples_classes_and_where_the_data_came_from(
    trained: Path, pictures: Path
) -> None:
    assert size(next((trained / "samples").iterdir())) == (28, 28)
    checkpoint = load_checkpoint(trained / "last")
    assert checkpoint.config.class_names == ["lying", "upright"]
    assert checkpoint.training["data"] == {"name": "pictures", "paths": [str(pictures)]}


def test_a_classifier_judges_samples(trained: Path, pictures: Path, tmp_path: Path) -> None:
    """Lying and upright bars are told apart after a few steps; its features judge samples."""
    judge, model = tmp_path / "judge", trained / "last"
    fit = run("training.classifier", model, pictures, "--out", judge, "--steps", 60)
    assert fit.returncode == 0, fit.stderr
    figures = json.loads(fit.stdout)
    assert figures["accuracy"] == 1
    words = ["training.quality", model, "--scorer", judge, "--steps", 1, "--count"]
    refused = run(*words, 5)
    assert "feature distance needs 20" in refused.stderr
    result = run(*words, 20, "--plot", tmp_path / "plot.png")
    assert result.returncode == 0, result.stderr
    assert "feature distance" in result.stdout
    assert len(result.stdout.splitlines()) == 2 + 4 * 2
    assert size(tmp_path / "plot.png") == (1920, 1200)


def test_sample_writes_a_contact_sheet(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "grid.png"
    draw = ["training.sample", trained / "last", "--count", 5, "--steps", 4, "--out", out]
    result = run(*draw, "--label", 1, "--guidance", 2)
    assert result.returncode == 0, result.stderr
    assert size(out) == (3 * TILE + 2, 2 * TILE + 2)


def size(file: Path) -> tuple[int, int]:
    with Image.open(file) as picture:
        return picture.size


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture)


def tiles(sheet: Path, count: int) -> list[np.ndarray]:
    """The tiles of a row, each reduced to the model's pixels."""
    page = pixels(sheet)
    cut = (page[2 : 2 + 84 : 3, 2 + TILE * i : 2 + TILE * i + 84 : 3] for i in range(count))
    return list(cut)


@pytest.mark.parametrize("mask", ["left", "FILE"])
def test_infill_keeps_what_is_not_masked(
    trained: Path, pictures: Path, tmp_path: Path, mask: str
) -> None:
    hole = named_mask("left", 28, 28)
    if mask == "FILE":
        mask = str(tmp_path / "mask.png")
        hole = named_mask("centre", 28, 28)
        Image.fromarray(255 * hole.astype(np.uint8)).save(mask)
    given = next(pictures.rglob("*.png"))
    out = tmp_path / "infill.png"
    infill = ["training.sample", trained / "last", "--image", given, "--mask", mask, "--out", out]
    result = run(*infill, "--steps", 4)
    assert result.returncode == 0, result.stderr
    original, holed, filled = tiles(out, 3)
    assert (original[..., 0] == pixels(given)).all()
    for tile in (holed, filled):
        assert (tile[~hole] == original[~hole]).all()
    assert (holed[hole] != original[hole]).any(-1).all()  # shown in a colour that is no grey
    assert (filled[hole] == filled[hole][:, :1]).all()  # and that is gone


def test_a_data_set_is_infilled_from_its_held_out_pictures(
    trained: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "infill.png"
    infill = ["--image", pictures, "--mask", "random", "--count", 2, "--steps", 2, "--out", out]
    result = run("training.sample", trained / "last", *infill)
    assert result.returncode == 0, result.stderr
    assert size(out) == (9 * TILE + 2, TILE + 2)


def test_evaluate_prints_bits_per_dimension(trained: Path, pictures: Path) -> None:
    result = run("training.evaluate", trained / "last", pictures, "--draws", 4)
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    assert figures["tokens"] % 784 == 0
    assert figures["perplexity"] == pytest.approx(2 ** figures["bits_per_token"])
    assert "characters" not in figures


def test_nearest_finds_copies(trained: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "pairs.png"
    words = ["--count", 4, "--steps", 4, "--out", out]
    result = run("training.nearest", trained / "last", pictures, *words)
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    assert figures["count"] == 4
    # bars all lie on one of 28 places: a held-out one differs in a single marked pixel
    assert 0 < figures["held_out"]["median"] < figures["samples"]["median"]
    assert size(out)[0] == 16 * TILE + 2


def test_a_training_picture_mirrored_and_moved_is_found() -> None:
    images = torch.randint(
        256, (5, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    seen = list(variants(images, flip=True, shift=2))
    assert len(seen) == 2 * 5 * 5
    mirrored = np.asarray(images[3].flip(1))
    moved = np.pad(mirrored, ((2, 0), (0, 1), (0, 0)), mode="edge")[:8, 1:]
    far, found = nearest(torch.from_numpy(moved)[None], seen)
    assert far.item() == 0
    assert (found[0].numpy() == moved).all()
    assert nearest(images.flip(2), variants(images, flip=False, shift=2))[0].min() > 50


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["training.sample", "TRAINED"], "Name the picture to write with --out"),
        (["training.sample", "TRAINED", "--prompt", "x"], "--prompt and --infill are for models"),
        (["training.sample", "TRAINED", "--out", "O", "--image", "no.png"], "could not be read"),
        (["training.sample", "TRAINED", "--out", "O", "--image", "ONE"], "Nothing is masked"),
        (
            ["training.sample", "TRAINED", "--out", "O", "--image", "ONE", "--mask", "x"],
            "Give a picture or one of: left, right",
        ),
        (["training.sample", "TRAINED", "--out", "O", "--label", "7"], "has 2 classes"),
        (["training.train", "mnist", "--data", "EMPTY", "--out", "O"], "has no pictures"),
    ],
)
def test_mistakes_get_one_line_that_says_what_to_do(
    trained: Path, pictures: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    places = {
        "TRAINED": trained / "last",
        "ONE": next(pictures.rglob("*.png")),
        "EMPTY": tmp_path / "empty",
        "O": tmp_path / "out.png",
    }
    result = run(*(places.get(word, word) for word in words))
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", MASKS)
def test_masks_by_name_cover_about_half_or_the_middle(name: str) -> None:
    mask = named_mask(name, 28, 28)
    share = 0.25 if name == "centre" else 0.5
    assert abs(mask.mean() - share) < 0.06  # 784 coins: four standard errors are 0.07
