"""Classifier-free guidance against the two calls that it stands for."""

import pytest
import torch
from oracle import Joint, Recorder, Table, masks, product, seeded
from torch import Tensor

from mdcore.diffusion import MD4
from mdcore.guidance import ClassifierFreeGuidance
from mdcore.sampling import SAMPLERS
from mdcore.schedules import SCHEDULES

JOINT = Joint()
NO_CLASS = 2
Z = product(4, 3)[1::3]
LABELS = torch.arange(len(Z)) % 2
SELECT = torch.rand(Z.shape, generator=seeded()) < 0.5


@pytest.fixture
def table() -> Table:
    """Two classes, and a third that stands for none."""
    return Table(JOINT, classes=3)


def guided(table: Table, scale: float, condition: Tensor | None = LABELS) -> Tensor:
    denoiser = ClassifierFreeGuidance(table, scale, NO_CLASS)
    return denoiser(Z, torch.rand(len(Z)), condition)


def test_scale_zero_ignores_the_label_and_one_is_the_plain_model(table: Table) -> None:
    t = torch.zeros(len(Z))
    none = torch.full_like(LABELS, NO_CLASS)
    assert torch.equal(guided(table, 0.0), table(Z, t, none))
    assert torch.equal(guided(table, 1.0), table(Z, t, LABELS))
    assert not torch.equal(guided(table, 0.0), guided(table, 1.0))


@pytest.mark.parametrize("scale", [0.4, 2.5, 8.0])
def test_probabilities_are_pushed_by_a_power_of_the_ratio(table: Table, scale: float) -> None:
    t = torch.zeros(len(Z))
    conditional = table(Z, t, LABELS).double().softmax(-1)
    plain = table(Z, t, torch.full_like(LABELS, NO_CLASS)).double().softmax(-1)
    pushed = plain * (conditional / plain) ** scale
    # float32 logits up to 5 times the scale
    torch.testing.assert_close(
        guided(table, scale).double().softmax(-1),
        pushed / pushed.sum(-1, keepdim=True),
        rtol=1e-5,
        atol=1e-7,
    )


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_selected_positions_are_those_of_the_full_logits(table: Table, scale: float) -> None:
    denoiser = ClassifierFreeGuidance(table, scale, NO_CLASS)
    selected = denoiser(Z, torch.zeros(len(Z)), LABELS, select=SELECT)
    assert torch.equal(selected, guided(table, scale)[SELECT])


def test_without_a_label_the_denoiser_is_left_alone(table: Table) -> None:
    assert torch.equal(guided(table, 3.0, None), table(Z, torch.zeros(len(Z))))


def test_one_call_does_both(table: Table) -> None:
    recorder = Recorder(table)
    denoiser = ClassifierFreeGuidance(recorder, 2.0, NO_CLASS)
    assert denoiser.time_conditioned == table.time_conditioned
    denoiser(Z, torch.zeros(len(Z)), LABELS, select=SELECT)
    assert [len(z) for z, _, _ in recorder.calls] == [2 * len(Z)]


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_it_samples(table: Table, name: str) -> None:
    """Scale 1 draws what the plain model draws; a strong push draws something else."""
    schedule = SCHEDULES.build({"name": "linear"})
    plain = MD4(table, schedule, 3)
    labels = torch.arange(200) % 2

    def draw(model: MD4) -> Tensor:
        return SAMPLERS.build({"name": name, "steps": 4})(
            model, masks(200, model, 3), labels, generator=seeded()
        )

    once, strong = (
        draw(MD4(ClassifierFreeGuidance(table, scale, NO_CLASS), schedule, 3))
        for scale in (1.0, 8.0)
    )
    assert torch.equal(draw(plain), once)
    assert not torch.equal(once, strong)


def test_a_scale_is_not_negative(table: Table) -> None:
    with pytest.raises(ValueError, match="guidance scale is -1; it must be 0 or more"):
        ClassifierFreeGuidance(table, -1, NO_CLASS)
