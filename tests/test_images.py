"""Runs of image models, from a request to the transcript; images as programs send them."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_image import CLASSES, COLOURS, KINDS, save_tiny_image_model
from tiny_text import save_tiny_checkpoint

from app.lane import Lane
from app.live import complete, perform, perform_all
from app.logic import play, play_all, prepare
from app.replay import placed, read_trajectory
from app.shelf import Shelf
from app.state import Request, Settings
from app.uploads import MAX_PIXELS, png, read_image, read_mask, read_picture
from mdcore.codecs import CODECS, ImageCodec
from mdcore.sampling import SAMPLERS

every_kind = pytest.mark.parametrize("kind", list(KINDS))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    home = tmp_path_factory.mktemp("checkpoints")
    for kind in KINDS:
        save_tiny_image_model(home / kind, kind)
    save_tiny_checkpoint(home / "words")
    return Shelf([home], dtype=torch.float32, capacity=4)


def ask(kind: str, raw: np.ndarray | None = None, **options: Any) -> Request:
    picture = {name: options.pop(name) for name in ("label", "copies") if name in options}
    return Settings(**({"steps": 8} | options)).picture(kind, raw, **picture)


def codec_of(shelf: Shelf, kind: str) -> ImageCodec:
    return shelf.image_codec(kind)


def holed(codec: ImageCodec, seed: int = 0) -> np.ndarray:
    """A random image that the codec can write, half of it holes."""
    rng = np.random.default_rng(seed)
    tokens = torch.from_numpy(rng.integers(0, codec.vocab_size, codec.length))
    pixels = codec.decode(tokens)
    opacity = np.where(rng.random(pixels.shape[:2]) < 0.5, 0, 255).astype(np.uint8)
    return np.concatenate([pixels, opacity[..., None]], -1)


def told(transcript: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in transcript.splitlines()]


def replayed(lines: list[dict[str, Any]]) -> list[int | None]:
    """The tokens at the end of a transcript, as a player finds them."""
    start = next(line["start"] for line in lines if "start" in line)
    tokens: list[int | None] = [None] * start["length"]
    for line in lines:
        for position in line.get("m", []):
            tokens[position] = None
        for position, token in placed(line):
            tokens[position] = token
    return tokens


def base64_of(picture: Image.Image, form: str = "PNG") -> str:
    buffer = io.BytesIO()
    picture.save(buffer, form)
    return base64.b64encode(buffer.getvalue()).decode()


def pixels_of(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


# the shelf


def test_an_image_checkpoint_is_listed_with_its_kind_size_and_classes(shelf: Shelf) -> None:
    entries = {entry.name: entry for entry in shelf.entries()}
    assert [e.kind for e in entries.values()] == ["image", "image", "image", "text"]
    assert (entries["grey"].size, entries["grey"].length) == ("8x6x1", 48)
    assert (entries["rgb"].size, entries["rgb"].length) == ("6x8x3", 144)
    assert entries["grey"].classes == tuple(CLASSES)
    assert entries["rgb"].classes == ()
    assert [entry.name for entry in shelf.usable("text")] == ["words"]
    assert shelf.find(None, "text").name == "words"
    assert shelf.find(None, "image").name == "grey"


def test_the_wrong_kind_of_checkpoint_is_refused(shelf: Shelf) -> None:
    with pytest.raises(ValueError, match=r"grey is an image checkpoint \(8x6x1\)\. Choose it"):
        prepare(shelf, Settings().request("grey", "a text", fill=True))
    with pytest.raises(ValueError, match=r"words is a text checkpoint\. Choose it under a text"):
        prepare(shelf, Settings().picture("words"))


def test_classes_without_names_have_numbers(tmp_path: Path) -> None:
    folder = save_tiny_image_model(tmp_path / "grey", "grey")
    config = json.loads((folder / "config.json").read_text())
    config["model"]["class_names"] = []
    (folder / "config.json").write_text(json.dumps(config))
    (entry,) = Shelf([tmp_path]).entries()
    assert entry.classes == ("0", "1", "2")


# runs


@every_kind
@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_a_run_fills_the_holes_and_keeps_the_rest(shelf: Shelf, kind: str, sampler: str) -> None:
    codec = codec_of(shelf, kind)
    raw = holed(codec)
    result = complete(shelf, Lane(), ask(kind, raw, sampler=sampler, seed=3), "me")
    assert set(result) == {"image", "seed", "nfe", "seconds", "trajectory"}
    pixels = pixels_of(result["image"]).reshape(*codec.shape[:2], codec.channels)
    stays = raw[..., -1] == 255
    assert np.array_equal(pixels[stays], raw[stays][:, : codec.channels])
    end = result["trajectory"]["lines"][-1]
    assert end["kept"] == end["given"] == stays.sum() * codec.shape[2]
    tokens = replayed(result["trajectory"]["lines"])
    assert np.array_equal(codec.decode(torch.tensor(tokens)), pixels)


@every_kind
def test_a_whole_image_is_drawn_from_masks_alone(shelf: Shelf, kind: str) -> None:
    codec = codec_of(shelf, kind)
    lines = complete(shelf, Lane(), ask(kind), "me")["trajectory"]["lines"]
    start = lines[1]["start"]
    assert start["kind"] == "image"
    assert start["shape"] == list(codec.shape)
    assert start["length"] == codec.length
    assert start["given"] == []
    assert start["w"] == {}
    assert None not in replayed(lines)
    if kind == "palette":
        assert [list(bytes.fromhex(colour)) for colour in start["palette"]] == COLOURS
    else:
        assert "palette" not in start


def test_copies_side_by_side_are_the_copies_by_themselves(shelf: Shelf) -> None:
    """Each with the seed that makes it alone, too; a call for all of them counts as one."""
    request = ask("grey", copies=4, seed=5)
    (together,) = [list(perform(shelf, Lane(), request, "me"))[-1]]
    lines = told(together)
    start = next(line["start"] for line in lines if "start" in line)
    assert (start["copies"], start["length"], start["seed"]) == (4, 4 * 48, 5)
    apart = list(perform_all(shelf, Lane(), request, "me"))[-1]
    images = [replayed(told(one)) for one in apart]
    assert replayed(lines) == [token for image in images for token in image]
    assert images[2] == replayed(told(list(perform(shelf, Lane(), ask("grey", seed=7), "me"))[-1]))
    calls = [told(one)[-1]["nfe"] for one in apart]
    assert max(calls) <= lines[-1]["nfe"] <= 8


def test_calls_of_copies_that_go_at_different_times_add_up(shelf: Shelf) -> None:
    raw = codec_of(shelf, "grey").decode(torch.zeros(48, dtype=torch.long))
    raw = np.concatenate([raw, np.full_like(raw, 255)], -1)
    raw[0, 0, 1] = 0
    run = prepare(shelf, ask("grey", raw, copies=3, steps=64, seed=1))
    steps = {frame.index for frames in play_all(run) for frame in frames if frame.revealed}
    assert len(steps) > 1
    *_, last = play(run)
    assert last.nfe == len(steps)
    assert last.kept == 47


@pytest.mark.parametrize(("label", "number"), [(1, 1), ("dog", 1), (0, 0), (2.0, 2)])
def test_a_class_is_given_by_number_or_by_name(shelf: Shelf, label: int | str, number: int) -> None:
    run = prepare(shelf, ask("grey", label=label))
    assert run.label == number
    lines = complete(shelf, Lane(), ask("grey", label=label, guidance=2.5), "me")["trajectory"]
    start = lines["lines"][1]["start"]
    assert (start["label"], start["guidance"]) == (CLASSES[number], 2.5)


@pytest.mark.parametrize(
    ("kind", "label", "message"),
    [
        ("grey", 3, "There is no class '3'; this model has 3, counted from 0: cat, dog, sun"),
        ("grey", "bird", "There is no class 'bird'"),
        ("grey", -1, "label is '-1'"),
        ("grey", 1.5, "label is '1.5'"),
        ("grey", True, "label is 'True'"),
        ("rgb", 0, "This model has no classes. Leave the label out"),
        ("rgb", "cat", "This model has no classes"),
    ],
)
def test_a_wrong_class_says_which_there_are(
    shelf: Shelf, kind: str, label: int | str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(shelf, ask(kind, label=label))


def test_guidance_moves_the_probabilities_along_the_line(shelf: Shelf) -> None:
    """At the first step: guided = unconditional + scale (conditional - unconditional)."""
    z = torch.full((1, 48), 256)
    t = torch.ones(1)
    with torch.no_grad():
        model = shelf.load("grey").model
        plain = model(z, t)
        toward = model(z, t, torch.tensor([1]))
        run = prepare(shelf, ask("grey", label=1, guidance=3.0))
        guided = run.model(z, t, torch.tensor([1]))
    torch.testing.assert_close(guided, plain + 3 * (toward - plain))
    assert prepare(shelf, ask("grey", label=1)).model is model
    assert prepare(shelf, ask("grey", guidance=3.0)).model is model  # no class: nothing to guide to


@pytest.mark.parametrize("guidance", [-1, 21, "much", float("nan")])
def test_a_wrong_guidance_is_refused(guidance: Any) -> None:
    with pytest.raises(ValueError, match=r"guidance is .*; give a number from 0 to 20"):
        Settings(guidance=guidance)


def test_an_image_without_holes_or_of_another_size_is_refused(shelf: Shelf) -> None:
    with pytest.raises(ValueError, match="Nothing is masked, so there is nothing to fill in"):
        prepare(shelf, ask("grey", np.zeros((8, 6, 1), np.uint8)))
    with pytest.raises(ValueError, match="this model reads 8x6x1"):
        prepare(shelf, ask("grey", np.zeros((28, 28, 2), np.uint8)))


def test_a_run_goes_on_from_a_frame_that_is_whole(shelf: Shelf) -> None:
    kind = next(iter(KINDS))
    length = codec_of(shelf, kind).length
    tokens = [None, *([1] * (length - 1))]
    frame = {"v": 1, "run": "a", "model": kind, "step": 3, "t": 0.1, "tokens": tokens, "given": [1]}
    run = prepare(shelf, Settings(steps=8).resume(frame))
    assert (run.masked, run.given, run.before) == (1, 1, 3)
    assert sum(len(step.revealed) for step in play(run)) == 1
    short = Settings(steps=8).resume(frame | {"tokens": tokens[:-1]})
    with pytest.raises(ValueError, match=f"has {length - 1:,} tokens; this model reads {length:,}"):
        prepare(shelf, short)


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("grey", {"height": 28, "width": 28}),
        ("rgb", {"height": 32, "width": 32}),
        ("palette", {"height": 32, "width": 32}),
    ],
)
def test_a_trajectory_is_small(tmp_path: Path, kind: str, size: dict[str, int]) -> None:
    """Under the budget of 100 kB, and stored it is read back as it was."""
    save_tiny_image_model(tmp_path / "model", kind, **size)
    shelf = Shelf([tmp_path], dtype=torch.float32)
    document = complete(shelf, Lane(), ask("model", steps=64), "me")["trajectory"]
    text = json.dumps(document, separators=(",", ":"))
    assert len(text) < 100_000
    path = tmp_path / "run.json"
    path.write_text(text)
    assert told(read_trajectory(path)) == document["lines"]


# what programs and browsers send


def test_a_picture_of_any_size_and_format_is_fitted(shelf: Shelf) -> None:
    codec = codec_of(shelf, "rgb")
    for form in ("PNG", "JPEG", "WEBP"):
        text = base64_of(Image.new("RGB", (90, 40), (10, 200, 30)), form)
        for sent in (text, f"data:image/x;base64,{text}", "\n".join([text[:40], text[40:]])):
            pixels = read_image(sent, None, codec)
            assert pixels.shape == (6, 8, 3)
            assert abs(pixels.astype(int) - [10, 200, 30]).max() < 8


def test_transparent_pixels_and_the_mask_are_holes(shelf: Shelf) -> None:
    codec = codec_of(shelf, "rgb")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 8, 4), np.uint8)
    pixels[..., 3] = np.where(rng.random((6, 8)) < 0.3, 0, 255)
    mask = rng.random((6, 8)) < 0.3
    bits = base64.b64encode(np.packbits(mask).tobytes()).decode()
    read = read_image(base64_of(Image.fromarray(pixels)), bits, codec)
    holes = mask | (pixels[..., 3] == 0)
    assert np.array_equal(read[..., 3] == 0, holes)
    assert np.array_equal(read[~holes][:, :3], pixels[~holes][:, :3])
    assert (codec.encode(read).view(6, 8, 3) == codec.vocab_size)[torch.from_numpy(holes)].all()


def test_a_mask_that_is_no_multiple_of_eight_bits(shelf: Shelf) -> None:
    mask = np.random.default_rng(0).random((5, 7)) < 0.5
    bits = base64.b64encode(np.packbits(mask).tobytes()).decode()
    assert np.array_equal(read_mask(bits, 5, 7), mask)


@pytest.mark.parametrize(
    ("mask", "found"),
    [("", "has 0 bytes"), ("AAAA", "has 3 bytes"), ("no!", "is not base64"), (5, "is not base64")],
)
def test_a_wrong_mask_says_what_is_needed(mask: Any, found: str) -> None:
    message = f"The mask {found}; an image of 8x6 pixels needs 6 bytes in base64, one bit a pixel"
    with pytest.raises(ValueError, match=message):
        read_mask(mask, 8, 6)


def damaged() -> dict[str, Any]:
    whole = base64.b64decode(base64_of(Image.effect_noise((64, 64), 50)))
    jpeg = base64.b64decode(base64_of(Image.effect_noise((64, 64), 50), "JPEG"))
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    parts = {
        "cut": whole[: len(whole) // 2],
        "cut jpeg": jpeg[: len(jpeg) // 2],
        "flipped": bytes(flipped),
        "header": whole[:20],
        "text": b"hello",
        "gif": base64.b64decode(base64_of(Image.new("L", (4, 4)), "GIF")),
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    }
    texts = {name: base64.b64encode(data).decode() for name, data in parts.items()}
    return texts | {"empty": "", "none": None, "no base64": "###", "long": "A" * 15_000_000}


@pytest.mark.parametrize("name", list(damaged()))
def test_what_is_no_image_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="This file could not be read as an image"):
        read_picture(damaged()[name])


@pytest.mark.parametrize("side", [6_000, 12_000, 20_000, 60_000])
def test_a_picture_that_would_fill_the_memory_is_refused(side: int) -> None:
    """Around Pillow's own limits as well: those of its warning and of its error."""
    header = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", side, side) + chunk(b"IEND")
    with pytest.raises(ValueError, match="has more than 34 million pixels"):
        read_picture(base64.b64encode(header).decode())
    assert side * side > MAX_PIXELS


def chunk(name: bytes, *sides: int) -> bytes:
    import struct
    import zlib

    data = struct.pack(">IIBBBBB", *sides, 8, 0, 0, 0, 0) if sides else b""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@every_kind
def test_a_png_holds_what_was_decoded_and_what_is_unknown_is_transparent(kind: str) -> None:
    codec = CODECS.build(KINDS[kind])
    assert isinstance(codec, ImageCodec)
    tokens = codec.encode(holed(codec))
    shown = pixels_of(png(codec.decode(tokens)))
    assert np.array_equal(shown, codec.decode(tokens))
