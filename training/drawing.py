"""From masks to tokens, with whatever a model can do."""

from torch import Tensor

from mdcore.autoregressive import Autoregressive
from mdcore.draws import Generators
from mdcore.objectives import Model
from mdcore.sampling import Sampler


def fill(
    model: Model,
    sampler: Sampler,
    z: Tensor,
    condition: Tensor | None = None,
    *,
    generator: Generators,
) -> Tensor:
    """Tokens in place of the masks of z (B, L), drawn as the sampler says.

    A causal model has its own order, left to right: of the sampler it takes the filters.
    """
    if isinstance(model, Autoregressive):
        return model.write(z, condition, generator=generator, filters=sampler.filters)
    return sampler(model, z, condition, generator=generator)
