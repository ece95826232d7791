"""Classifier-free guidance (arXiv 2207.12598) as a wrapped denoiser."""

import torch
from torch import Tensor, nn

from mdcore.diffusion import MD4


class ClassifierFreeGuidance(nn.Module):
    """A Denoiser whose logits are pushed away from the unconditional ones.

    guided = unconditional + scale (conditional - unconditional): scale 0 ignores the label, 1 is
    the plain conditional model, more exaggerates the class.

    Args:
        denoiser: a Denoiser trained with label dropout.
        scale: strength, at least 0.
        no_class: the label that stands for "no class".
    """

    def __init__(self, denoiser: nn.Module, scale: float, no_class: int) -> None:
        super().__init__()
        if scale < 0:
            raise ValueError(f"guidance scale is {scale}; it must be 0 or more.")
        self.denoiser = denoiser
        self.scale = scale
        self.no_class = no_class

    @property
    def time_conditioned(self) -> bool:
        """Whether the logits depend on t."""
        return bool(self.denoiser.time_conditioned)

    def forward(
        self,
        z_t: Tensor,
        t: Tensor,
        condition: Tensor | None = None,
        *,
        select: Tensor | None = None,
    ) -> Tensor:
        """Guided logits, in one call of twice the batch; unconditional if condition is None."""
        if condition is None:
            plain: Tensor = self.denoiser(z_t, t, None, select=select)
            return plain
        both = torch.cat([condition, torch.full_like(condition, self.no_class)])
        chosen = None if select is None else select.repeat(2, 1)
        logits = self.denoiser(z_t.repeat(2, 1), t.repeat(2), both, select=chosen)
        conditional, unconditional = logits.chunk(2)
        return torch.lerp(unconditional, conditional, self.scale)


def guided(model: MD4, scale: float, num_classes: int) -> MD4:
    """The same model, its logits guided by `scale`; the weights are shared.

    Raises:
        ValueError: the model has no classes, or the scale is negative.
    """
    if not num_classes:
        raise ValueError("this model has no classes, so there is nothing to guide towards.")
    denoiser = ClassifierFreeGuidance(model.denoiser, scale, num_classes)
    wrapped = type(model)(denoiser, model.schedule, model.vocab_size)
    wrapped.compute_dtype = model.compute_dtype
    return wrapped.train(model.training)
