"""Comparisons as programs see them: what may be asked, what is told, and what it costs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_image import save_tiny_image_model
from tiny_text import save_tiny_checkpoint

from app import versus
from app.chronicle import Chronicle
from app.comparison import Side, bits_of, order_of, play_sides, prepare_sides
from app.lane import Lane
from app.link import read_link, write_comparison_link
from app.logic import prepare
from app.outline import alphas, shares, weights
from app.panels import Comparison, Panel, read_panels
from app.shelf import Shelf
from app.state import Settings
from app.versus import complete_comparison, perform_comparison
from mdcore.evaluation import bits_per_token
from mdcore.sampling import SAMPLERS
from mdcore.schedules import SCHEDULES

SHARED = [name for name in SCHEDULES if SCHEDULES[name].shared]
TWO = [{"schedule": "linear", "steps": 12}, {"schedule": "cosine", "steps": 12}]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    home: Path = tmp_path_factory.mktemp("checkpoints")
    save_tiny_checkpoint(home / "tiny")
    save_tiny_checkpoint(home / "timed", time_conditioned=True)
    save_tiny_checkpoint(home / "learned", schedule="learned_polynomial")
    save_tiny_image_model(home / "grey", "grey")
    return Shelf([home], dtype=torch.float32, capacity=4)


def ask(
    panels: list[dict[str, Any]] = TWO, model: str = "tiny", *, same: bool = True, **more: Any
) -> Comparison:
    settings = Settings(seed=more.pop("seed", 7))
    if model == "grey":
        request = settings.picture(model, label=more.pop("label", None))
    else:
        request = settings.request(model, more.pop("prompt", ""), fill=True)
    return Comparison(panels=read_panels(panels), request=request, same_noise=same)


def told(shelf: Shelf, comparison: Comparison) -> list[Any]:
    *_, text = perform_comparison(shelf, Lane(), comparison, "somebody")
    return [json.loads(line) for line in text.splitlines()]


def result(shelf: Shelf, comparison: Comparison, **more: Any) -> dict[str, Any]:
    return complete_comparison(shelf, Lane(), comparison, "somebody", **more)


def played(shelf: Shelf, comparison: Comparison) -> list[Side]:
    sides = prepare_sides(shelf, comparison)
    for _ in play_sides(sides):
        pass
    return sides


# What may be asked


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ("linear", "panels is 'linear'; give a list of 2 or 3"),
        ([{}], "1 panels; give 2 or 3"),
        ([{}] * 4, "4 panels; give 2 or 3"),
        ([{}, "cosine"], "Panel 2: 'cosine' is no mapping; give some of schedule, grid"),
        ([{}, {"speed": 3}], "Panel 2: unknown option 'speed'. Known: schedule, grid, sampler"),
        ([{}, {"steps": 0}], "Panel 2: steps is '0'; give a whole number from 1 to 4,096"),
        ([{"steps": [8]}, {}], "Panel 1: steps is"),
        ([{}, {"grid": "cosin"}], "Panel 2: Unknown grid 'cosin'. Known: uniform, cosine"),
        ([{"sampler": "greedy"}, {}], "Panel 1: Unknown sampler 'greedy'"),
        ([{}, {"schedule": "cosin"}], "Panel 2: Unknown schedule 'cosin'. Did you mean 'cosine'"),
        ([{}, {"schedule": 3}], "Panel 2: schedule is 3; give a name or a spec"),
        ([{"schedule": {"name": "polynomial", "w": 2}}, {}], "Panel 1: schedule 'polynomial' has"),
        ([{"schedule": {"name": "polynomial", "exponent": "x"}}, {}], "Panel 1: "),
        ([{}, {"schedule": "learned_polynomial"}], "Panel 2: A schedule for each token is learned"),
    ],
)
def test_a_wrong_panel_is_named(shelf: Shelf, panels: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        result(shelf, ask(panels))
    assert str(caught.value).startswith(message)


def test_what_is_wrong_with_all_panels_is_no_panels_fault(shelf: Shelf) -> None:
    with pytest.raises(ValueError, match=r"^\d+ tokens; this model reads 48"):
        result(shelf, ask(prompt="word " * 100))


def test_a_model_with_a_schedule_for_each_token_keeps_it(shelf: Shelf) -> None:
    with pytest.raises(ValueError, match="Panel 2: This model learned a schedule for each token"):
        result(shelf, ask([{}, {"schedule": "cosine"}], "learned"))
    both = result(shelf, ask([{"steps": 5}, {"steps": 9}], "learned"))
    assert [panel["schedule"] for panel in both["panels"]] == ["learned_polynomial"] * 2


# What comes of it


@pytest.mark.parametrize("model", ["tiny", "timed", "grey"])
def test_the_same_noise_gives_one_order_under_every_schedule(shelf: Shelf, model: str) -> None:
    for first, second in zip(SHARED, [*SHARED[1:], SHARED[0]], strict=True):
        panels = [
            {"schedule": first, "steps": 9},
            {"schedule": second, "steps": 30, "grid": "cosine"},
            {"schedule": second, "sampler": "first_hitting"},
        ]
        order, agreed = order_of(played(shelf, ask(panels, model)))
        assert agreed
        assert sorted(order) == list(range(48))
        assert not order_of(played(shelf, ask(panels, model, same=False)))[1]


def test_samplers_with_an_order_of_their_own_are_seen(shelf: Shelf) -> None:
    panels = [{}, {"sampler": "confidence"}]
    assert not order_of(played(shelf, ask(panels)))[1]
    lines = told(shelf, ask(panels))
    assert [panel["by_arrival"] for panel in lines[0]["panels"]] == [True, False]
    assert [line["agreed"] for line in lines if "order" in line] == [False]


def test_the_model_s_own_schedule_is_what_watch_shows(shelf: Shelf) -> None:
    panels = [{"steps": 16}, {"steps": 16, "schedule": "linear"}]
    first, second = result(shelf, ask(panels))["panels"]
    assert first["text"] == second["text"]
    assert (
        first["trajectory"]["lines"][1]["start"]["alphas"]
        == (second["trajectory"]["lines"][1]["start"]["alphas"])
    )


def test_panels_take_turns_and_end_together(shelf: Shelf) -> None:
    sides = prepare_sides(shelf, ask([{"steps": 10}, {"steps": 40}, {"steps": 7}]))
    for _ in play_sides(sides):
        shares = [side.share for side in sides]
        assert max(shares) - min(shares) <= 1 / 7 + 1e-9
    assert [side.share for side in sides] == [1, 1, 1]


def test_the_table_counts(shelf: Shelf) -> None:
    for side in played(shelf, ask([{"steps": 4}, {"sampler": "first_hitting"}, {"steps": 30}])):
        steps = list(side.when.values())
        assert side.most == max(steps.count(step) for step in steps)
        assert side.last is not None
        assert side.last.nfe == len(set(steps))
        assert 0 < side.entropy <= torch.tensor(320.0).log2()
        assert side.seconds > 0


def test_bits_are_those_of_the_checkpoint_whatever_sampled_it(shelf: Shelf) -> None:
    """Within the errors of the two estimates; a panel's own schedule plays no part in them."""
    comparison = ask([{"schedule": "geometric"}, {}], "timed")
    lines = told(shelf, comparison)
    row = [line for line in lines if line and isinstance(line, dict) and "row" in line][-2]
    side, _ = played(shelf, comparison)
    tokens = torch.tensor(tokens_of(side, lines, 0))
    plain = bits_per_token(
        side.run.checkpoint.model,
        tokens.expand(4, -1),
        draws=40,
        generator=torch.Generator().manual_seed(9),
    )
    off = abs(row["bits_per_token"] - plain.mean)
    assert off < 4 * (row["standard_error"] ** 2 + plain.standard_error**2) ** 0.5
    masks = [side.run.model.mask_id] * 48
    assert bits_of(side.run, masks, draws=8, stopped=lambda: False) is None
    assert bits_of(side.run, tokens.tolist(), draws=8, stopped=lambda: True) is None


def tokens_of(side: Side, lines: list[Any], panel: int) -> list[int]:
    tokens = side.run.z[0].tolist()
    for line in lines:
        if isinstance(line, list) and line[0] == panel:
            for position, _, place, *told in line[1].get("r", []):
                tokens[position] = told[2 * place]
    return tokens


def test_a_program_gets_all_of_it(shelf: Shelf) -> None:
    answer = result(shelf, ask(TWO, prompt="Once upon a time"), draws=2)
    assert set(answer) == {"panels", "seed", "same_noise", "same_order"}
    assert (answer["seed"], answer["same_noise"], answer["same_order"]) == (7, True, True)
    for panel, asked in zip(answer["panels"], TWO, strict=True):
        assert panel["text"].startswith("Once upon a time")
        assert asked.items() <= panel.items()
        assert {"nfe", "most_at_once", "entropy", "seconds", "trajectory"} <= set(panel)
        assert panel["bits_per_token"] > 0 < panel["standard_error"]
    assert result(shelf, ask(TWO), draws=0)["panels"][0]["bits_per_token"] is None
    image = result(shelf, ask([{}, {}], "grey", label="dog"))["panels"][1]
    assert image["image"]


# What is told on the way


def test_the_text_only_grows_and_tells_each_panel_apart(shelf: Shelf) -> None:
    before = ""
    for text in perform_comparison(shelf, Lane(), ask(), "somebody"):
        assert text.startswith(before)
        before = text
    lines = [json.loads(line) for line in before.splitlines()]
    assert set(lines[0]) == {"compare", "panels", "same_noise"}
    states = [line["state"] for line in lines if isinstance(line, dict) and "state" in line]
    assert states == ["running", "measuring", "done"]
    for panel in (0, 1):
        own = [line[1] for line in lines if isinstance(line, list) and line[0] == panel]
        assert "run" in own[0]
        assert "start" in own[1]
        assert own[-1]["state"] == "done"
        assert own[1]["start"]["link"]["tab"] == "compare"


def test_stop_keeps_what_there_is(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    lane = Lane()
    monkeypatch.setattr(versus, "batches", lambda frames: ([frame] for frame in frames))
    texts = perform_comparison(shelf, lane, ask(), "somebody")
    for text in texts:
        if '"s":3' in text:
            lane.stop("somebody")
    last = [json.loads(line) for line in text.splitlines()]
    assert last[-1]["state"] == "stopped"
    assert all("bits_per_token" not in line for line in last if "row" in line)
    ends = [line[1]["message"] for line in last if isinstance(line, list) and "state" in line[1]]
    assert len(ends) == 2
    assert all(message.startswith("Stopped at step") for message in ends)
    assert len(lane) == 0


def test_a_failure_is_told(shelf: Shelf) -> None:
    texts = perform_comparison(shelf, Lane(), ask([{}, {"schedule": "cosin"}]), "somebody")
    text = ""

    def follow() -> None:
        nonlocal text
        for grown in texts:
            text = grown

    with pytest.raises(ValueError, match="Panel 2"):
        follow()
    assert json.loads(text.splitlines()[-1])["state"] == "failed"


# Curves


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_shares_are_what_a_run_does_on_average(shelf: Shelf, name: str, sampler: str) -> None:
    schedule = SCHEDULES.build({"name": name})
    rule = SAMPLERS.build({"name": sampler, "steps": 9})
    expected = shares(schedule, rule, 48)
    assert sum(expected) == pytest.approx(1)
    assert min(expected) >= 0
    assert len(expected) == (48 if sampler == "first_hitting" else 9)
    assert alphas(schedule)[::64] == pytest.approx([1, 0], abs=2e-5)
    assert len(weights(schedule)) == len(alphas(schedule)) - 1


def test_ancestral_reveals_as_many_as_expected(shelf: Shelf) -> None:
    request = replace(ask().request, schedule={"name": "cosine"}, copies=16)
    run = prepare(shelf, replace(request, sampler={"name": "ancestral", "steps": 4}))
    steps = run.sampler.trajectory(run.model, run.z.repeat(20, 1), generator=torch.Generator())
    counts = torch.tensor([step.revealed.double().mean() for step in steps])
    law = torch.tensor(shares(run.model.schedule, run.sampler, 48))
    error = (law * (1 - law) / (48 * 320)).sqrt()
    assert ((counts - law).abs() < 4 * error).all()


# Links


def test_a_link_makes_the_comparison_again(shelf: Shelf) -> None:
    panels = [{"schedule": "cosine", "steps": 12}, {"grid": "cosine"}, {"sampler": "margin"}]
    comparison = ask(panels, prompt="The old king", same=False)
    arrival = read_link(write_comparison_link(comparison, "tiny"), {"tiny": []})
    assert arrival is not None
    assert (arrival.tab, arrival.problems) == ("compare", [])
    values = arrival.values
    assert (values["panels"], values["noise"], values["text"]) == (3, False, "The old king")
    found = tuple(
        Panel(**{name: values[f"{name}{k}"] for name in ("schedule", "grid", "sampler", "steps")})
        for k in (1, 2, 3)
    )
    assert found == comparison.panels


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        ("schedule2", "learned_polynomial", "Unknown schedule2"),
        ("steps1", "0", "steps1 is '0'"),
        ("panels", "4", "Unknown panels '4'"),
        ("noise", "loud", "Unknown noise 'loud'"),
    ],
)
def test_a_wrong_link_is_told(parameter: str, value: str, message: str) -> None:
    arrival = read_link({"tab": "compare", parameter: value}, {})
    assert arrival is not None
    assert arrival.problems[0].startswith(message)


def test_options_of_a_schedule_do_not_fit_into_a_link(shelf: Shelf) -> None:
    spec = {"name": "polynomial", "exponent": 3.0}
    lines = told(shelf, ask([{}, {"schedule": spec}]))
    start = next(
        line[1]["start"] for line in lines if isinstance(line, list) and "start" in line[1]
    )
    assert "Save the run as data" in start["unlinked"]


def test_a_panel_that_had_no_turn_is_told_to_have_stopped(shelf: Shelf) -> None:
    comparison = ask()
    sides = prepare_sides(shelf, comparison)
    chronicle = Chronicle(comparison)
    chronicle.start(sides)
    chronicle.frames([next(play_sides(sides))])
    text = chronicle.end(sides)
    ends = [line for line in map(json.loads, text.splitlines()) if isinstance(line, list)]
    messages = {panel: line["message"] for panel, line in ends if line.get("state") == "stopped"}
    assert messages == {
        0: "Stopped at step 1/12. Partial result kept.",
        1: "Stopped before it began.",
    }
