"""Another pace for a trained network: its masks removed under a schedule it was not trained with.

What stands behind a mask does not depend on a schedule that all tokens share, only on the tokens
around it. A network that takes the time as input knows it by its own schedule, so it is told the
time at which that one has the same alpha.
"""

from torch import Tensor, nn

from mdcore.diffusion import MD4
from mdcore.schedules import MaskingSchedule


class Paced(nn.Module):
    """A Denoiser that hears the time of its own schedule, whatever the clock of the sampler.

    Args:
        denoiser: a Denoiser that takes the time as input.
        own: the shared schedule that it was trained with.
        schedule: the shared schedule of the times that come.
    """

    time_conditioned = True

    def __init__(
        self, denoiser: nn.Module, own: MaskingSchedule, schedule: MaskingSchedule
    ) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.own = own
        self.schedule = schedule

    def forward(
        self,
        z_t: Tensor,
        t: Tensor,
        condition: Tensor | None = None,
        *,
        select: Tensor | None = None,
    ) -> Tensor:
        """The logits at the time at which the own schedule has the alpha that t has here."""
        alpha = self.schedule.alpha(t.double()).squeeze(-1)
        logits: Tensor = self.denoiser(z_t, self.own.time(alpha).float(), condition, select=select)
        return logits


def paced(model: MD4, schedule: MaskingSchedule) -> MD4:
    """The same model under another schedule that all tokens share; the weights are shared.

    Raises:
        ValueError: one of the two schedules is one for each token.
    """
    if not model.schedule.shared:
        raise ValueError(
            "This model learned a schedule for each token, and which tokens are still masked "
            "tells it something of them: it can be sampled with its own schedule alone."
        )
    if not schedule.shared:
        raise ValueError(
            "A schedule for each token is learned together with its model. "
            "Choose one that all tokens share."
        )
    denoiser: nn.Module = model.denoiser
    if model.time_conditioned:
        denoiser = Paced(denoiser, model.schedule, schedule)
    other = MD4(denoiser, schedule, model.vocab_size)
    other.compute_dtype = model.compute_dtype
    return other.train(model.training)
