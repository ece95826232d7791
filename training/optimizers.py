"""Optimizers: how the weights move. All of them are torch's; a class says who gets which."""

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from mdcore.registry import Registry
from training.fsdp import gathered, like

OPTIMIZERS: "Registry[Optimizer]" = Registry("optimizer")


class Optimizer:
    """One or more of torch's optimizers whose learning rates rise and fall together."""

    def __init__(self, parts: list[torch.optim.Optimizer]) -> None:
        self._parts = parts
        self._peaks = [[group["lr"] for group in part.param_groups] for part in parts]

    def step(self, factor: float) -> None:
        """Update the weights at `factor` times the peak learning rates; clear the gradients."""
        for part, peaks in zip(self._parts, self._peaks, strict=True):
            for group, peak in zip(part.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            part.step()
            part.zero_grad(set_to_none=True)

    def rates(self, factor: float) -> list[float]:
        """The different learning rates at `factor` times their peaks, falling."""
        return sorted({peak * factor for peaks in self._peaks for peak in peaks}, reverse=True)

    def tensors(self) -> dict[str, Tensor]:
        """The state as named tensors."""
        return {
            f"{number}.{index}.{name}": torch.as_tensor(value)
            for number, part in enumerate(self._parts)
            for index, state in part.state_dict()["state"].items()
            for name, value in state.items()
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over the state that `tensors` gave."""
        for number, part in enumerate(self._parts):
            parameters = [p for group in part.param_groups for p in group["params"]]
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in tensors.items():
                owner, index, name = key.split(".")
                if int(owner) == number:
                    state.setdefault(int(index), {})[name] = like(value, parameters[int(index)])
            part.load_state_dict({**part.state_dict(), "state": state})


def _groups(parameters: list[nn.Parameter], weight_decay: float) -> list[dict[str, object]]:
    """Decay matrices; leave gains and biases alone.

    A fused step takes tensors that are all in shards or none: a learned schedule, which is never,
    then has a group of its own. It is the last of all, so the numbers in `tensors` are the same.
    """
    groups: list[dict[str, object]] = []
    for decay, kind in (
        (weight_decay, [p for p in parameters if p.dim() >= 2]),
        (0.0, [p for p in parameters if p.dim() < 2]),
    ):
        for sharded in (True, False):
            chosen = [p for p in kind if isinstance(p, DTensor) is sharded]
            groups += [{"params": chosen, "weight_decay": decay}] if chosen else []
    return groups


@OPTIMIZERS.register("adamw")
class AdamW(Optimizer):
    """AdamW for everything, as in the paper."""

    def __init__(
        self,
        model: nn.Module,
        learning_rate: float = 3e-4,
        weight_decay: float = 0.03,
        beta2: float = 0.99,
    ) -> None:
        groups = _groups(list(model.parameters()), weight_decay)
        super().__init__(
            [torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, beta2), fused=True)]
        )


class _WholeMuon(torch.optim.Muon):
    """Torch's Muon, for which a matrix in shards is put together while it is its turn.

    On shards its Newton-Schulz iterations run, too, but give something else.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update one matrix after the other, so that only one is whole at a time."""
        (group,) = self.param_groups
        matrices = group["params"]
        for matrix in matrices:
            group["params"] = [matrix]
            with gathered(matrix, self.state[matrix]):
                super().step()  # type: ignore[no-untyped-call]
        group["params"] = matrices


@OPTIMIZERS.register("muon")
class Muon(Optimizer):
    """Muon for the inner matrices, AdamW for embedding, head and gains: learns in fewer steps.

    Args:
        model: whose denoiser has an `embedding` and a `head`.
        learning_rate: of AdamW.
        matrix_learning_rate: of Muon.
        weight_decay: of all matrices.
    """

    def __init__(
        self,
        model: nn.Module,
        learning_rate: float = 3e-3,
        matrix_learning_rate: float = 0.02,
        weight_decay: float = 0.01,
    ) -> None:
        outer = ("embedding", "head", "conditioning", "schedule")
        matrices = [
            p
            for name, p in model.named_parameters()
            if p.dim() == 2 and not any(part in name for part in outer)
        ]
        chosen = {id(p) for p in matrices}
        others = [p for p in model.parameters() if id(p) not in chosen]
        super().__init__(
            [
                _WholeMuon(matrices, lr=matrix_learning_rate, weight_decay=weight_decay),
                torch.optim.AdamW(
                    _groups(others, weight_decay), lr=learning_rate, betas=(0.9, 0.99), fused=True
                ),
            ]
        )
