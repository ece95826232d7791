"""Edit and go on: all of it that needs no page."""

import json
import math
from typing import Any

import pytest
import torch
from tiny_text import save_tiny_checkpoint

from app.canvas import frame_time
from app.lane import Lane
from app.live import perform
from app.logic import Run, play, prepare
from app.questions import outlook, spell
from app.shelf import Shelf
from app.state import Request, Settings
from mdcore.codecs import HOLE, Characters
from mdcore.sampling import SAMPLERS

TEXT = "Once upon a time there was a little girl who lived in a wood."


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    folder = tmp_path_factory.mktemp("checkpoints")
    save_tiny_checkpoint(folder / "tiny")
    save_tiny_checkpoint(folder / "learned", schedule="learned_polynomial")
    return Shelf([folder], dtype=torch.float32)


def frame(shelf: Shelf, masked: range = range(4, 10), **changed: Any) -> dict[str, Any]:
    """A frame of TEXT: some tokens masked, the first two given."""
    tokens = shelf.load("tiny").codec.encode(TEXT).tolist()
    shown = [None if k in masked else token for k, token in enumerate(tokens)]
    whole = {
        "v": 1,
        "run": "abc",
        "model": "tiny",
        "step": 20,
        "t": 0.25,
        "tokens": shown,
        "given": [0, 1],
    }
    return whole | changed


def resume(shelf: Shelf, *, seed: int = 0, sampler: str = "ancestral", **changed: Any) -> Request:
    return Settings(steps=16, seed=seed, sampler=sampler).resume(frame(shelf, **changed))


def final(run: Run) -> list[int]:
    tokens = run.z[0].tolist()
    for step in play(run):
        for position in step.remasked:
            tokens[position] = run.checkpoint.model.mask_id
        for reveal in step.revealed:
            tokens[reveal.position] = reveal.token
    return tokens


# what comes from the browser


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"v": 2}, "has format '2'; this version reads 1. Load the page again"),
        ({"v": True}, "has format 'True'"),
        ({"v": None}, "has format 'None'"),
        ({"run": 5}, "run is '5'"),
        ({"run": "x" * 50}, "give the id of a run"),
        ({"model": None}, "This is no frame of a run"),
        ({"step": -1}, "step is '-1'"),
        ({"step": 2.5}, "step is '2.5'"),
        ({"step": "20"}, "step is '20'"),
        ({"t": -0.1}, "t is '-0.1'; give a number from 0 to 1"),
        ({"t": math.nan}, "t is 'nan'"),
        ({"tokens": "abc"}, "tokens must be a list of 1 to"),
        ({"tokens": []}, "tokens must be a list of 1 to"),
        ({"tokens": [None] * 100_000}, "tokens must be a list of 1 to"),
        ({"tokens": [3, "x", None, 4]}, "token 1 is 'x'"),
        ({"tokens": [3, -1, None]}, "token 1 is '-1'"),
        ({"tokens": [3, 1.5, None]}, "token 1 is '1.5'"),
        ({"tokens": [3, True, None]}, "token 1 is 'True'"),
        ({"given": None}, "given must be a list of at most"),
        ({"given": [0] * 99}, "given must be a list of at most"),
        ({"given": [99]}, "a given position is '99'"),
        ({"given": [-1]}, "a given position is '-1'"),
        ({"given": [4]}, "Position 4 is given and masked at once"),
    ],
)
def test_a_wrong_frame_is_refused_with_its_reason(
    shelf: Shelf, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        resume(shelf, **changed)


@pytest.mark.parametrize("wrong", [None, "frame", [], {}, {"v": 1}])
def test_what_is_no_frame_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="This is no frame of a run"):
        Settings().resume(wrong)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tokens": [5, 5, None, None] * 20}, "This frame has 80 tokens; this model reads 48"),
        ({"tokens": [5, 5, 320, None]}, "Token 320 at position 2 is unknown to this model"),
        ({"tokens": [5, 5, 9_999_999, None]}, "unknown to this model, which has 320 tokens"),
        ({"masked": range(0)}, "Nothing is masked at this step, so there is nothing to go on"),
        ({"model": "other"}, "There is no model 'other'. Choose one of"),
    ],
)
def test_a_frame_that_the_model_cannot_read(
    shelf: Shelf, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(shelf, resume(shelf, **changed))


# the run that goes on


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_what_is_masked_is_filled_and_what_is_given_stays(shelf: Shelf, sampler: str) -> None:
    run = prepare(shelf, resume(shelf, sampler=sampler, seed=5))
    assert (run.masked, run.given, run.before) == (6, 2, 20)
    tokens, start = final(run), run.z[0].tolist()
    assert run.checkpoint.model.mask_id not in tokens
    assert tokens[:2] == start[:2]
    if not run.sampler.remasks:
        assert [k for k, (a, b) in enumerate(zip(tokens, start, strict=True)) if a != b] == [
            *range(4, 10)
        ]


def test_tokens_that_are_not_given_may_be_masked_again(shelf: Shelf) -> None:
    """Over some seeds: revealed tokens return to the mask, the two given ones never do."""
    again = set()
    for seed in range(8):
        run = prepare(shelf, resume(shelf, sampler="remask_rescale", seed=seed, t=0.9))
        for step in play(run):
            again |= set(step.remasked)
            assert step.kept == 2
    assert again - set(range(4, 10))
    assert not again & {0, 1}


def test_the_rest_of_the_grid_is_walked_in_the_steps_that_are_left(shelf: Shelf) -> None:
    run = prepare(shelf, resume(shelf, t=0.25))
    assert run.times.tolist() == [4 / 16, 3 / 16, 2 / 16, 1 / 16, 0]
    told = [
        json.loads(line)
        for line in list(perform(shelf, Lane(), run.request, "me"))[-1].splitlines()
    ]
    start = next(line["start"] for line in told if "start" in line)
    assert start["steps"] == 24
    assert start["branch"] == {"of": "abc", "step": 20, "t": 0.25, "alpha": 0.75}
    tokens = run.z[0].tolist()
    assert start["given"] == [[0, tokens[:2]]]
    assert start["kept"] == [[2, tokens[2:4]], [10, tokens[10:]]]
    steps = [line["s"] for line in told if "s" in line]
    assert steps == sorted(steps)
    assert steps[0] >= 21
    assert steps[-1] == 24
    assert told[-1]["message"].endswith("seed 0")


def test_the_plan_begins_with_what_is_masked(shelf: Shelf) -> None:
    run = prepare(shelf, resume(shelf, t=0.25))
    told = next(t for t in perform(shelf, Lane(), run.request, "me") if '"start"' in t)
    plan = json.loads(told.splitlines()[-1])["start"]["plan"]
    share = 6 / (len(run.stays) - 2)
    assert plan == pytest.approx([share, share * 3 / 4, share / 2, share / 4, 0], abs=1e-4)


def test_a_stop_counts_the_steps_before(shelf: Shelf) -> None:
    lane = Lane()
    seen = ""
    for seen in perform(shelf, lane, resume(shelf, t=1.0), "me"):
        if '"start"' in seen:
            lane.stop("me")
    assert json.loads(seen.splitlines()[-1])["message"].startswith("Stopped at step 21/36.")


def test_a_kept_seed_makes_the_same_branch_and_another_at_another_step(shelf: Shelf) -> None:
    """The numbers of the parent would be no chance: they have decided what is masked."""
    assert final(prepare(shelf, resume(shelf, seed=5))) == final(
        prepare(shelf, resume(shelf, seed=5))
    )
    draws = {
        step: prepare(shelf, resume(shelf, seed=5, step=step)).generators[0].initial_seed()
        for step in (0, 1, 20, 21)
    }
    assert draws[0] == 5
    assert len(set(draws.values())) == 4


@pytest.mark.parametrize("model", ["tiny", "learned"])
def test_masks_that_the_time_does_not_expect_move_it_back(shelf: Shelf, model: str) -> None:
    """At the end of a run half of the words are masked: half of the time is left, not none."""
    schedule = shelf.load(model).model.schedule
    request = resume(shelf, model=model, t=0.0, masked=range(2, 12), given=[0, 1])
    assert request.draft is not None
    free = len(request.draft.tokens) - 2
    t = frame_time(request.draft, schedule)
    hidden = schedule.hidden(torch.tensor([t], dtype=torch.float64)).mean().item()
    assert hidden == pytest.approx(10 / free, abs=2e-3)
    all_masked = resume(shelf, t=0.3, tokens=[None] * 10, given=[]).draft
    assert all_masked is not None
    assert frame_time(all_masked, schedule) == 1
    as_expected = resume(shelf, t=0.45, masked=range(2, 12)).draft
    assert as_expected is not None
    assert frame_time(as_expected, schedule) == 0.45


# questions


def test_a_typed_word_is_spelled_with_and_without_its_space(shelf: Shelf) -> None:
    codec = shelf.load("tiny").codec
    word, joined = spell(shelf, "little", "tiny")
    assert (word["text"], joined["text"]) == (" little", "little")
    for option in (word, joined):
        assert codec.decode(torch.tensor(option["tokens"])) == option["text"]
        assert [option["w"][str(token)] for token in option["tokens"]] == codec.pieces(
            torch.tensor(option["tokens"])
        )
    assert [option["text"] for option in spell(shelf, ", and", "tiny")] == [", and", " , and"]
    assert [option["text"] for option in spell(shelf, " little", "tiny")] == [" little"]
    assert spell(shelf, "", "tiny") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (5, "must be strings"),
        ("x" * 3000, "3,000 characters; type at most 2,000"),
        (f"a {HOLE} b", "what is not typed here stays masked"),
        ("\ud800", "unknown to this model"),
    ],
)
def test_what_cannot_be_spelled_says_why(shelf: Shelf, text: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spell(shelf, text, "tiny")


def test_letters_take_no_space(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "text_codec", lambda name: Characters())
    (option,) = spell(shelf, "ab", "tiny")
    assert option["text"] == "ab"
    assert len(option["tokens"]) == 2


def test_the_outlook_is_the_models_own_distribution(shelf: Shelf) -> None:
    answer = outlook(shelf, Lane(), frame(shelf), 5)
    run = prepare(shelf, resume(shelf))
    with torch.no_grad():
        p = run.checkpoint.model(run.z, torch.tensor([0.25])).softmax(-1)[0, 5]
    best = p.topk(5)
    tokens, log_p = zip(*answer["candidates"], strict=True)
    assert list(tokens) == best.indices.tolist()
    assert log_p == pytest.approx(best.values.log().tolist(), abs=1e-3)
    assert answer["entropy"] == pytest.approx(-(p * p.log2()).sum().item(), abs=5e-3)
    assert sorted(answer["w"]) == sorted(map(str, best.indices.tolist()))


@pytest.mark.parametrize("position", [0, -1, 99, 5.0, "5", None, True])
def test_the_outlook_is_for_masks(shelf: Shelf, position: object) -> None:
    with pytest.raises(ValueError, match=r"is not masked|Give the position of a mask"):
        outlook(shelf, Lane(), frame(shelf), position)


def test_the_outlook_waits_for_its_turn(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    lane = Lane()
    monkeypatch.setattr("app.questions.PATIENCE", 0.05)
    with lane.join("somebody"), pytest.raises(ValueError, match="The model is busy"):
        outlook(shelf, lane, frame(shelf), 5)
    assert len(lane) == 0
