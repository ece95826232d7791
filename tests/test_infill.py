"""Text with holes, and their alternatives: all of infilling that needs no page."""

import json
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_text import save_tiny_checkpoint

from app.holes import Hole, read_canvas
from app.lane import Lane
from app.live import complete, perform, perform_all
from app.logic import Run, play, play_all, prepare
from app.shelf import Shelf
from app.state import Request, Settings
from mdcore.codecs import HOLE, Bytes, Characters, TextCodec
from mdcore.sampling import SAMPLERS

TEXT = "Once upon a time there was a little girl who lived in a wood."


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    folder = tmp_path_factory.mktemp("checkpoints")
    save_tiny_checkpoint(folder / "tiny")
    return Shelf([folder], dtype=torch.float32)


@pytest.fixture(scope="module")
def codec(shelf: Shelf) -> TextCodec:
    return shelf.load("tiny").codec


def ask(text: str, copies: int = 1, **chosen: object) -> Request:
    return Settings(**({"steps": 8} | chosen)).request("tiny", text, fill=False, copies=copies)  # type: ignore[arg-type]


def masked(tokens: torch.Tensor, codec: TextCodec) -> list[int]:
    return (tokens == codec.vocab_size).nonzero()[:, 0].tolist()


# text with holes


@pytest.mark.parametrize("words", ["time", "little girl", "wood", "Once", "Once upon a time"])
def test_masking_words_masks_just_their_tokens(codec: TextCodec, words: str) -> None:
    canvas = read_canvas(TEXT.replace(words, f"[[{words}]]", 1), codec)
    whole = codec.encode(TEXT)
    (hole,) = canvas.holes
    places = list(range(hole.start, hole.start + hole.count))
    assert canvas.tokens.shape == whole.shape
    assert masked(canvas.tokens, codec) == places
    assert torch.equal(
        canvas.tokens[canvas.tokens != codec.vocab_size], whole[canvas.tokens != codec.vocab_size]
    )
    assert codec.decode(whole[places]).strip() == words
    assert hole.words == words


def test_a_typed_mask_takes_the_space_before_it(codec: TextCodec) -> None:
    canvas = read_canvas(f"Once {HOLE} a {HOLE}{HOLE} was", codec)
    assert [(hole.count, hole.words) for hole in canvas.holes] == [(1, ""), (2, "")]
    assert codec.decode(canvas.tokens) == f"Once{HOLE} a{HOLE}{HOLE} was"


def test_the_length_of_a_hole_can_be_chosen(codec: TextCodec) -> None:
    canvas = read_canvas("a [[little girl|7]] who [[lived]] [[in]]", codec)
    assert canvas.holes[0].count == 7
    assert [hole.words for hole in canvas.holes] == ["little girl", "lived", "in"]
    ends = [hole.start + hole.count for hole in canvas.holes]
    assert canvas.holes[2].start == ends[1]  # the space between goes with the second
    assert read_canvas("a [[b|0]]", codec).holes[0].count == 1
    assert read_canvas("a [[]]", codec).holes[0].count == 1


@pytest.mark.parametrize(
    "text", ["a [[b", "a ]] b", "[ [x] ]", "[mask]", "[[a]b]]", "[[a\n[[", "[[|"]
)
def test_what_is_no_hole_stays_as_it_is(codec: TextCodec, text: str) -> None:
    canvas = read_canvas(text, codec)
    assert canvas.holes == ()
    assert codec.decode(canvas.tokens) == text


def test_other_codecs_keep_the_space() -> None:
    letters = read_canvas("the [[Cat]] sat", Characters())
    assert letters.holes == (Hole(4, 3, "Cat"),)  # what is replaced may be unknown
    assert read_canvas("a [[é]]", Bytes()).holes == (Hole(2, 2, "é"),)


def test_too_much_is_refused_before_it_is_built(codec: TextCodec) -> None:
    with pytest.raises(ValueError, match=r"199,980,000 masked tokens; this model reads 48\."):
        read_canvas("[[|9999]]" * 20_000, codec)
    with pytest.raises(ValueError, match=r"tokens; this model reads 48\. Shorten the text"):
        read_canvas("word " * 200 + HOLE, codec)


@pytest.mark.parametrize("text", ["É[MASK]", "a [MASK] É", "[[a cat|9]] sat[MASK][MASK] on É"])
def test_unknown_characters_are_placed_in_the_text_as_it_was_typed(text: str) -> None:
    place = text.index("É")
    with pytest.raises(ValueError, match=f"unknown to this model: 'É' at {place}. Replace"):
        read_canvas(text, Characters())


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("[]|MASK ab9\n“é") | st.characters(codec="utf-8"), max_size=60))
def test_any_text_is_read_and_nothing_given_is_lost(text: str) -> None:
    codec = Bytes(length=20_000)
    canvas = read_canvas(text, codec)
    assert sum(hole.count for hole in canvas.holes) == len(masked(canvas.tokens, codec))
    for hole in canvas.holes:
        inside = canvas.tokens[hole.start : hole.start + hole.count]
        assert (inside == codec.vocab_size).all()


# runs


def test_nothing_masked_is_told(shelf: Shelf) -> None:
    with pytest.raises(ValueError, match=r"^Nothing is masked, so there is nothing to fill in\."):
        prepare(shelf, ask(TEXT))


@pytest.mark.parametrize("copies", [0, 17, 2.5, "3", None])
def test_the_number_of_copies_is_checked(copies: object) -> None:
    with pytest.raises((ValueError, TypeError), match="copies"):
        ask(TEXT, copies=copies)  # type: ignore[arg-type]


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_each_copy_is_what_its_seed_gives_by_itself(shelf: Shelf, sampler: str) -> None:
    text = "Once upon [[a time there was]] a little [[girl|6]] who"
    run = prepare(shelf, ask(text, copies=3, sampler=sampler, seed=2**32 - 2))
    assert run.seeds == [2**32 - 2, 2**32 - 1, 0]
    together = [_final(run, list(frames)) for frames in zip(*play_all(run), strict=True)]
    assert len({tuple(tokens) for tokens in together}) == 3
    for seed, tokens in zip(run.seeds, together, strict=True):
        alone = prepare(shelf, ask(text, sampler=sampler, seed=seed))
        assert _final(alone, list(play(alone))) == tokens


def _final(run: Run, frames: list) -> list[int]:
    tokens = run.z[0].tolist()
    for frame in frames:
        assert frame.kept == run.given
        for position in frame.remasked:
            tokens[position] = run.checkpoint.model.mask_id
        for reveal in frame.revealed:
            tokens[reveal.position] = reveal.token
    assert run.checkpoint.model.mask_id not in tokens
    return tokens


def test_a_changed_token_is_found_out(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    run = prepare(shelf, ask("Once [[upon]] a time"))

    def broken(self: object, model: object, z: torch.Tensor, *rest: object, **more: object):  # noqa: ANN202
        for step in trajectory(run.sampler, model, z, *rest, **more):
            step.z[:, 0] += 1
            yield step

    trajectory = type(run.sampler).trajectory
    monkeypatch.setattr(type(run.sampler), "trajectory", broken)
    told = [
        json.loads(line)
        for line in list(perform(shelf, Lane(), run.request, "me"))[-1].splitlines()
    ]
    assert told[-1]["given"] - told[-1]["kept"] == 1


def test_three_players_are_told_one_run(shelf: Shelf) -> None:
    told = list(perform_all(shelf, Lane(), ask("Once [[upon|1]] a [MASK]", copies=3, seed=5), "me"))
    for before, after in pairwise(told):
        assert all(a.startswith(b) for a, b in zip(after, before, strict=True))
    ends = [[json.loads(line) for line in text.splitlines()] for text in told[-1]]
    assert len({lines[0]["run"] for lines in ends}) == 3
    assert [lines[-1]["seed"] for lines in ends] == [5, 6, 7]
    assert [lines[-1]["message"][-6:] for lines in ends] == ["seed 5", "seed 6", "seed 7"]
    for lines in ends:
        start = next(line["start"] for line in lines if "start" in line)
        assert [words for _, _, words in start["holes"]] == ["upon", ""]
        assert lines[-1]["given"] == lines[-1]["kept"] == start["length"] - 2


def test_a_program_gets_a_natural_text(shelf: Shelf) -> None:
    result = complete(shelf, Lane(), ask("Once upon [[a time]] there was", seed=1), "me")
    assert result["text"].startswith("Once upon")
    assert result["text"].endswith(" there was")
    assert HOLE not in result["text"]
