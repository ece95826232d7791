import gc
import json
import threading
import time
import weakref
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from tiny_text import save_tiny_checkpoint

from app.lane import Lane
from app.live import complete, perform
from app.logic import batches, frames, play, prepare
from app.render import DETAILED, Transcript
from app.replay import read_trajectory
from app.shelf import Shelf
from app.state import Frame, Request, Reveal, Settings
from mdcore.checkpoint import CONFIG_FILE, WEIGHTS_FILE
from mdcore.sampling import SAMPLERS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("checkpoints")
    save_tiny_checkpoint(home / "tiny")
    save_tiny_checkpoint(home / "learned", schedule="learned_polynomial")
    return home


@pytest.fixture
def shelf(folder: Path) -> Shelf:
    return Shelf([folder], dtype=torch.float32)


@pytest.fixture(scope="module")
def long_shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    home = save_tiny_checkpoint(tmp_path_factory.mktemp("long") / "tiny", length=1024)
    return Shelf([home], dtype=torch.float32)


def ask(text: str = "", *, fill: bool = True, **settings: object) -> Request:
    return Settings(**({"steps": 16} | settings)).request("tiny", text, fill=fill)  # type: ignore[arg-type]


def lines(transcript: str) -> list[dict]:
    return [json.loads(line) for line in transcript.splitlines()]


def collect(run: Iterator[str], match: str) -> str:
    """The last that was told before the run failed."""
    seen = ""

    def follow() -> None:
        nonlocal seen
        for told in run:
            seen = told

    with pytest.raises(ValueError, match=match):
        follow()
    return seen


# the shelf


def test_a_folder_that_is_a_checkpoint_and_one_that_holds_some(folder: Path) -> None:
    assert [entry.name for entry in Shelf([folder / "tiny"]).entries()] == ["tiny"]
    assert [entry.name for entry in Shelf([folder]).usable("text")] == ["learned", "tiny"]
    assert Shelf([folder]).find(None).name == "learned"
    entry = Shelf([folder]).find("tiny")
    assert (entry.length, entry.step, entry.problem) == (48, 7, None)
    assert entry.parameters == sum(
        p.numel() for p in Shelf([folder]).load("tiny").model.parameters()
    )


def test_equal_names_get_their_parents(tmp_path: Path) -> None:
    for parent in ("one", "two"):
        save_tiny_checkpoint(tmp_path / parent / "last")
    usable = Shelf([tmp_path / "one", tmp_path / "two"]).usable()
    assert [entry.name for entry in usable] == ["one/last", "two/last"]


@pytest.mark.parametrize("damage", ["cut", "no weights", "no config", "newer", "no JSON"])
def test_a_damaged_checkpoint_is_listed_with_its_reason(tmp_path: Path, damage: str) -> None:
    bad = save_tiny_checkpoint(tmp_path / "bad")
    save_tiny_checkpoint(tmp_path / "good")
    weights, config = bad / WEIGHTS_FILE, bad / CONFIG_FILE
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "no weights":
        weights.unlink()
    elif damage == "no config":
        config.unlink()
    elif damage == "newer":
        config.write_text(config.read_text().replace('"format": 1', '"format": 99'))
    else:
        config.write_text("{")
    shelf = Shelf([tmp_path])
    listed = {entry.name: entry.problem for entry in shelf.entries()}
    assert listed["bad"]
    assert listed["good"] is None
    assert [entry.name for entry in shelf.usable()] == ["good"]
    with pytest.raises(ValueError, match="bad cannot be used"):
        shelf.load("bad")


def test_a_model_that_knows_no_masks_is_listed_with_its_reason(tmp_path: Path) -> None:
    save_tiny_checkpoint(tmp_path / "good")
    config = save_tiny_checkpoint(tmp_path / "scorer") / CONFIG_FILE
    stored = json.loads(config.read_text())
    stored["model"]["objective"] = {"name": "autoregressive"}
    config.write_text(json.dumps(stored))
    shelf = Shelf([tmp_path])
    assert [entry.name for entry in shelf.usable()] == ["good"]
    with pytest.raises(ValueError, match=r"scorer cannot be used: .*autoregressive.* no masks"):
        shelf.load("scorer")


def test_an_empty_shelf_says_how_to_train(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"No text model in .*python -m training\.train"):
        Shelf([tmp_path]).find(None, "text")
    with pytest.raises(ValueError, match="There is no model 'x'"):
        Shelf([tmp_path]).find("x")


def test_the_shelf_keeps_the_models_used_last(folder: Path) -> None:
    shelf = Shelf([folder], capacity=1)
    first = shelf.load("tiny")
    assert shelf.load("tiny") is first
    shelf.load("learned")
    assert not shelf.is_loaded("tiny")
    assert shelf.load("tiny") is not first


def test_a_model_that_is_not_kept_leaves_the_memory(folder: Path) -> None:
    """After a run of its own that was watched to the end, and one that was left in the midst."""
    shelf, lane = Shelf([folder], capacity=1), Lane()
    list(perform(shelf, lane, ask(), "me"))
    left = perform(shelf, lane, ask(), "me")
    for told in left:
        if '"s":' in told:
            break
    left.close()  # type: ignore[attr-defined]
    gone = [weakref.ref(weight) for weight in shelf.load("tiny").model.parameters()]
    shelf.load("learned")
    gc.collect()
    assert not any(weight() is not None for weight in gone)


def test_the_chosen_number_format_reaches_the_model(folder: Path) -> None:
    assert Shelf([folder], dtype=torch.bfloat16).load("tiny").model.compute_dtype == torch.bfloat16


# what comes from the browser


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("steps", 5000),
        ("steps", 2.5),
        ("steps", "64"),
        ("steps", None),
        ("steps", float("nan")),
        ("seed", -1),
        ("seed", float("inf")),
        ("sampler", "nonsense"),
        ("sampler", ["ancestral"]),
        ("grid", "__class__"),
        ("temperature", -0.1),
        ("temperature", True),
        ("top_p", 0),
        ("top_p", 1.5),
        ("top_p", float("nan")),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        Settings(**{name: value})  # type: ignore[arg-type]


def test_text_that_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="must be strings"):
        Settings().request("tiny", 5, fill=True)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="give at most"):
        Settings().request("tiny", "x" * 300_000, fill=True)


# frames


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_frames_tell_each_change_and_end_without_masks(shelf: Shelf, sampler: str) -> None:
    run = prepare(shelf, ask("The old", sampler=sampler))
    mask = run.checkpoint.model.mask_id
    tokens = run.z[0].tolist()
    given = [i for i, token in enumerate(tokens) if token != mask]
    seen = list(play(run))
    assert [frame.index for frame in seen] == list(range(1, run.steps + 1))
    for frame in seen:
        for position in frame.remasked:
            assert tokens[position] != mask
            tokens[position] = mask
        for reveal in frame.revealed:
            assert tokens[reveal.position] == mask
            tokens[reveal.position] = reveal.token
    assert mask not in tokens
    assert given
    assert all(tokens[i] == run.z[0, i] for i in given)
    generator = torch.Generator().manual_seed(0)
    assert run.sampler(run.checkpoint.model, run.z, generator=generator)[0].tolist() == tokens


def test_a_reveal_tells_the_models_own_distribution(shelf: Shelf) -> None:
    """Against the full logits of one more call, temperature and top-p left out."""
    run = prepare(shelf, ask(steps=1, temperature=0.5, top_p=0.9))
    (frame,) = play(run)
    with torch.no_grad():
        p = run.checkpoint.model(run.z, torch.ones(1)).softmax(-1)[0]
    assert len(frame.revealed) == 48
    for reveal in frame.revealed:
        row = p[reveal.position]
        assert reveal.probability == pytest.approx(row[reveal.token].item(), rel=1e-4)
        assert reveal.entropy == pytest.approx(-(row * row.log2()).sum().item(), rel=1e-4)
        best = row.topk(5)
        assert [token for token, _ in reveal.candidates] == best.indices.tolist()
        found = [log_p for _, log_p in reveal.candidates]
        assert found == pytest.approx(best.values.log().tolist(), rel=1e-4)


def test_the_same_seed_gives_the_same_frames(shelf: Shelf) -> None:
    assert list(frames(shelf, ask(seed=5))) == list(frames(shelf, ask(seed=5)))
    assert list(frames(shelf, ask(seed=5))) != list(frames(shelf, ask(seed=6)))


def test_temperature_zero_takes_the_likeliest(shelf: Shelf) -> None:
    for frame in frames(shelf, ask(temperature=0.0)):
        assert all(reveal.token == reveal.candidates[0][0] for reveal in frame.revealed)


def test_a_stop_ends_the_run_before_the_next_step(shelf: Shelf) -> None:
    stopped = threading.Event()
    run = play(prepare(shelf, ask()), stopped=stopped.is_set)
    next(run)
    stopped.set()
    assert list(run) == []


@pytest.mark.parametrize(
    ("text", "fill", "message"),
    [
        ("The old king.", False, "Nothing is masked, so there is nothing to fill in"),
        ("word " * 200, True, r"tokens; this model reads 48\. Shorten the text by about"),
    ],
)
def test_messages(shelf: Shelf, text: str, fill: bool, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(shelf, ask(text, fill=fill))


def test_a_prompt_that_fills_the_model_is_refused(shelf: Shelf) -> None:
    codec = shelf.load("tiny").codec
    text = "Z"
    while len(codec.encode(text)) < 48:
        text += "Z"  # in no training sentence, so each is a token
    with pytest.raises(ValueError, match="The prompt fills all 48 tokens"):
        prepare(shelf, ask(text))


@pytest.mark.parametrize(
    ("dtype", "what"),
    [
        (torch.bfloat16, r"in bfloat16\. Start with --dtype float32\."),
        (torch.float32, r"in float32\. Its training went astray"),
    ],
)
def test_nan_says_at_which_step_and_what_to_do(folder: Path, dtype: torch.dtype, what: str) -> None:
    shelf = Shelf([folder], dtype=dtype)
    run = prepare(shelf, ask(steps=8, sampler="first_hitting"))
    calls = iter(range(100))

    def spoil(module: object, inputs: object, logits: torch.Tensor) -> torch.Tensor:
        return logits * float("nan") if next(calls) == 2 else logits

    handle = run.checkpoint.model.register_forward_hook(spoil)
    with pytest.raises(ValueError, match=rf"NaN at step 3 {what}"):
        list(play(run))
    handle.remove()


def test_out_of_memory_says_what_to_do(shelf: Shelf) -> None:
    run = prepare(shelf, ask())

    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("full")

    handle = run.checkpoint.model.register_forward_pre_hook(fail)
    with pytest.raises(ValueError, match="The GPU ran out of memory at batch 1"):
        list(play(run))
    handle.remove()


def test_a_model_without_room_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr("app.shelf.load_checkpoint", full)
    with pytest.raises(ValueError, match="The GPU has no room for tiny"):
        Shelf([folder]).load("tiny")


def test_batches_hold_every_frame_and_keep_the_pace() -> None:
    def quick() -> object:
        for index in range(200):
            time.sleep(0.001)
            yield Frame(index, 0, 0.0, (), ())

    start = time.monotonic()
    held = list(batches(quick(), per_second=20))  # type: ignore[arg-type]
    seconds = time.monotonic() - start
    assert [frame.index for batch in held for frame in batch] == list(range(200))
    assert len(held) <= 20 * seconds + 2  # the first comes at once, the last when all is over


# the transcript


def test_loading_is_told_where_there_is_something_to_load(shelf: Shelf) -> None:
    told = [lines(list(perform(shelf, Lane(), ask(), "me"))[-1]) for _ in range(2)]
    messages = [[line["message"] for line in run if line.get("state") == "loading"] for run in told]
    assert messages == [["Loading tiny"], []]


def test_the_transcript_only_grows_and_holds_the_result(shelf: Shelf) -> None:
    told = list(perform(shelf, Lane(), ask("Once upon", seed=9), "me"))
    assert all(after.startswith(before) for before, after in pairwise(told))
    first, *rest = lines(told[-1])
    assert set(first) == {"run", "v"}
    start = next(line["start"] for line in rest if "start" in line)
    assert start["plan"][0] == 1
    assert start["plan"][-1] == 0
    tokens: dict[int, int] = {}
    words = dict(start["w"])
    for at, given in start["given"]:
        tokens |= {at + k: token for k, token in enumerate(given)}
    for line in rest:
        words |= line.get("w", {})
        for position, _, place, *flat in line.get("r", []):
            assert position not in tokens
            tokens[position] = flat[2 * place]
    assert sorted(tokens) == list(range(48))
    pieces = [words[str(tokens[i])] for i in range(48)]
    raw = b"".join(p.encode() if isinstance(p, str) else bytes(p) for p in pieces)
    text = raw.decode(errors="replace")
    codec = shelf.load("tiny").codec
    assert codec.decode(torch.tensor([tokens[i] for i in range(48)])) == text
    assert text.startswith("Once upon")
    assert rest[-1]["state"] == "done"
    assert rest[-1]["message"].startswith("Done in")
    assert rest[-1]["message"].endswith("seed 9")


def test_what_is_told_of_a_reveal_is_what_the_model_said_rounded_down(shelf: Shelf) -> None:
    run = prepare(shelf, ask(steps=4, temperature=2.0))
    transcript = Transcript("x")
    transcript.start(run)
    seen = list(play(run))
    told = [line for line in lines(transcript.frames(seen)) if "s" in line]
    outside = 0
    for frame, line in zip(seen, told, strict=True):
        for reveal, (position, entropy, place, *flat) in zip(
            frame.revealed, line["r"], strict=True
        ):
            log_p = -torch.tensor(flat[1::2]).cumsum(0) / 1000
            known = dict(reveal.candidates) | {reveal.token: reveal.log_probability}
            assert (position, flat[2 * place]) == (reveal.position, reveal.token)
            assert flat[::2] == list(known)
            assert entropy == pytest.approx(10 * reveal.entropy, abs=0.5)
            for true, shown in zip(known.values(), log_p.tolist(), strict=True):
                assert true - 0.001001 <= shown <= true
            assert log_p.exp().sum() <= 1
            outside += place == 5
    assert 0 < outside < 48


@pytest.mark.parametrize("model", ["tiny", "learned"])
def test_alpha_is_told_as_a_curve(shelf: Shelf, model: str) -> None:
    """At any time within a hundredth, which is what is shown, between two points of it."""
    run = prepare(shelf, Settings(steps=4).request(model, "", fill=True))
    told = Transcript("x")
    (_, line) = lines(told.start(run))
    curve = torch.tensor(line["start"]["alphas"]) / 1000
    for t in torch.linspace(0, 1, 100):
        place = min(int(t * (len(curve) - 1)), len(curve) - 2)
        share = t * (len(curve) - 1) - place
        between = curve[place] + share * (curve[place + 1] - curve[place])
        alpha = run.model.schedule.alpha(t.double()).mean().item()
        assert between.item() == pytest.approx(alpha, abs=0.01)
    assert (curve[0], curve[-1]) == (1, 0)


def test_empty_steps_leave_no_line(shelf: Shelf) -> None:
    """48 tokens in 1,000 steps: the size follows the tokens, not the steps."""
    run = prepare(shelf, ask(steps=1000))
    transcript = Transcript("x")
    transcript.start(run)
    seen = list(play(run))
    transcript.frames(seen)
    assert sum("s" in line for line in lines(transcript.text)) <= 49
    assert lines(transcript.text)[-1]["s"] == 1000
    calls = 0
    for line in lines(transcript.text)[2:]:
        calls = line.get("c", calls + 1)
        assert calls == seen[line["s"] - 1].nfe
    assert "48 tokens are masked: 1,000 steps need at most 48" in transcript.text
    assert "no mask" not in transcript.decoded()
    assert "[MASK]" not in transcript.decoded()


def test_a_streamed_step_is_small(shelf: Shelf) -> None:
    told = list(perform(shelf, Lane(), ask(steps=16), "me"))[-1]
    steps = [line for line in told.splitlines() if line.startswith('{"s"')]
    assert sum(map(len, steps)) / len(steps) <= 1000


def test_a_long_run_keeps_its_budget(long_shelf: Shelf) -> None:
    """1,024 tokens in 100 kB: an unsure model, each in a step of its own, none a candidate."""
    transcript = Transcript("x")
    transcript.start(prepare(long_shelf, ask(steps=1024)))
    generator = torch.Generator().manual_seed(0)
    for index, position in enumerate(torch.randperm(1024, generator=generator).tolist(), start=1):
        log_p = (2 * torch.randn(8192, generator=generator)).log_softmax(-1)
        best = log_p.topk(6)
        tokens = (100 + torch.randperm(220, generator=generator)[:6]).tolist()
        *candidates, own = zip(tokens, best.values.tolist(), strict=True)
        reveal = Reveal(position, *own, entropy=9.5, candidates=tuple(candidates))
        transcript.frames([Frame(index, index, 1 - index / 1024, (reveal,), ())])
    assert sum("r" in line for line in lines(transcript.text)) == 1024
    assert len(transcript.text.encode()) <= 100_000


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if SAMPLERS[name].remasks])
def test_a_long_run_that_remasks_gives_up_candidates_of_what_returns(
    long_shelf: Shelf, sampler: str
) -> None:
    told = list(perform(long_shelf, Lane(), ask(steps=64, sampler=sampler), "me"))[-1]
    assert len(told.encode()) <= 100_000
    reveals = [reveal for line in lines(told) for reveal in line.get("r", [])]
    first: set[int] = set()
    for position, _, place, *flat in reveals:
        assert len(flat) == 2 if position in first else len(flat) >= 10
        assert len(flat) > 2 or place == 0
        first.add(position)
    assert len(reveals) > len(first) == 1024


def test_a_short_run_that_remasks_tells_every_candidate(shelf: Shelf) -> None:
    told = list(perform(shelf, Lane(), ask(steps=256, sampler="remask_cap"), "me"))[-1]
    reveals = [reveal for line in lines(told) for reveal in line.get("r", [])]
    assert 48 < len(reveals) < DETAILED
    assert all(len(flat) >= 10 for _, _, _, *flat in reveals)


def test_remasked_tokens_are_told(shelf: Shelf) -> None:
    told = list(perform(shelf, Lane(), ask(steps=64, sampler="remask_rescale"), "me"))[-1]
    assert any("m" in line for line in lines(told))
    assert '"note"' not in told


def test_a_failure_is_told_before_it_is_raised(shelf: Shelf) -> None:
    run = perform(shelf, Lane(), ask("word " * 200), "me")
    seen = collect(run, match="this model reads 48")
    assert lines(seen)[-1]["state"] == "failed"


def test_a_stop_keeps_the_partial_result(shelf: Shelf) -> None:
    lane = Lane()
    run = perform(shelf, lane, ask(steps=400, sampler="first_hitting"), "me")
    seen = ""
    for seen in run:
        if '{"s"' in seen:
            lane.stop("me")
    end = lines(seen)[-1]
    assert end["state"] == "stopped"
    assert end["message"].startswith("Stopped at step ")
    assert end["message"].endswith("/48. Partial result kept.")
    assert len(lane) == 0


def test_text_never_looks_like_html(shelf: Shelf) -> None:
    told = list(perform(shelf, Lane(), ask("<script>alert(1)</script>"), "me"))[-1]
    assert "<" not in told
    assert lines(told)[-1]["state"] == "done"


def test_a_trajectory_survives_its_file(shelf: Shelf, tmp_path: Path) -> None:
    result = complete(shelf, Lane(), ask("The"), "me")
    assert result["text"].startswith("The")
    assert 0 < result["nfe"] <= 16
    path = tmp_path / "run.json"
    path.write_text(json.dumps(result["trajectory"]))
    assert lines(read_trajectory(path)) == result["trajectory"]["lines"]
    assert all(
        line.get("state") not in ("queued", "loading") for line in lines(read_trajectory(path))
    )
    path.write_text("{}")
    with pytest.raises(ValueError, match="is not a trajectory"):
        read_trajectory(path)


# the lane


def test_the_place_in_the_lane_is_told(shelf: Shelf) -> None:
    lane = Lane()
    with lane.join("a"), lane.join("b"):
        third = perform(shelf, lane, ask(), "third")
        assert lines(next(third))[-1]["message"] == "Waiting: 2 ahead"
    assert lines(list(third)[-1])[-1]["state"] == "done"


def test_a_program_that_leaves_while_it_waits_is_not_run(shelf: Shelf) -> None:
    lane = Lane()
    with lane.join("first"):
        leaver = threading.Timer(0.2, lane.leave, ("program",))
        leaver.start()
        with pytest.raises(ValueError, match="Stopped before it began"):
            complete(shelf, lane, ask(), "program")
        leaver.join()


def test_the_second_waits_for_the_first(shelf: Shelf) -> None:
    lane = Lane()
    first = perform(shelf, lane, ask(seed=1), "first")
    next(first)
    second = perform(shelf, lane, ask(seed=2), "second")
    assert lines(next(second))[-1]["message"] == "Waiting: 1 ahead"
    told = list(first)[-1]
    assert lines(told)[-1]["state"] == "done"
    assert lines(list(second)[-1])[-1]["message"].endswith("seed 2")


def test_a_full_lane_is_busy(shelf: Shelf) -> None:
    lane = Lane(max_waiting=2)
    runs = [perform(shelf, lane, ask(), name) for name in "abc"]
    for run in runs:
        next(run)
    late = perform(shelf, lane, ask(), "d")
    assert "Busy: 2 requests are waiting. Try again in a minute." in next(late)
    with pytest.raises(ValueError, match="Busy"):
        next(late)
    for run in runs:
        run.close()  # type: ignore[attr-defined]
    assert len(lane) == 0


def test_a_stop_while_waiting_and_a_visitor_who_leaves(shelf: Shelf) -> None:
    lane = Lane()
    running = perform(shelf, lane, ask(), "running")
    next(running)
    waiting = perform(shelf, lane, ask(), "waiting")
    next(waiting)
    lane.stop("waiting")
    assert "Stopped before it began" in list(waiting)[-1]
    third = perform(shelf, lane, ask(), "third")
    next(third)
    lane.leave("running")
    assert lines(list(third)[-1])[-1]["state"] == "done"
    assert lines(list(running)[-1])[-1]["state"] == "stopped"
