"""A model in shards: each of several processes holds its part of every large tensor (FSDP2)."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Placement, Replicate, distribute_tensor

from mdcore.objectives import Model


def shard(model: Model, device: torch.device) -> None:
    """Leave this process its rows of the denoiser's parameters, in place, on the device.

    The blocks, whatever stands in a ModuleList, are put together one by one when they are called,
    and the rest when the denoiser is: so each of them must be called by all processes at once. A
    learned schedule is small, and its methods are called from many places: it stays whole.
    """
    mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
    lists = [module for module in model.denoiser.modules() if isinstance(module, nn.ModuleList)]
    for block in (block for blocks in lists for block in blocks):
        fully_shard(block, mesh=mesh)
    # by default the outermost stays together for a backward pass, which an average never has
    fully_shard(model.denoiser, mesh=mesh, reshard_after_forward=True)
    model.to(device)
    for parameter in model.parameters():
        if not isinstance(parameter, DTensor) and parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(_average)  # type: ignore[no-untyped-call]


def _average(parameter: Tensor) -> None:
    """Give a gradient that every process holds whole what FSDP gives those in shards: the mean."""
    if parameter.grad is not None:
        distributed.all_reduce(parameter.grad)
        parameter.grad /= distributed.get_world_size()


def own(tensor: Tensor) -> Tensor:
    """The part of a tensor that this process holds."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """All of it, in the CPU's memory if it was in shards; all processes ask at once."""
    return tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor


def like(value: Tensor, pattern: Tensor) -> Tensor:
    """A whole tensor shared out as the other is, if that has its shape and is in shards."""
    if not isinstance(pattern, DTensor) or value.shape != pattern.shape:
        return value
    value = value.to(pattern.device)  # each process has all of it: nothing needs to be sent
    return distribute_tensor(value, pattern.device_mesh, pattern.placements, src_data_rank=None)


@contextmanager
def gathered(parameter: nn.Parameter, state: dict[str, Tensor]) -> Iterator[None]:
    """Within the block each process has all of a parameter's gradient and optimizer state."""
    if not isinstance(parameter, DTensor):
        yield
        return
    parameter.grad = _laid(parameter.grad, [Replicate()])
    state |= {name: _laid(value, [Replicate()]) for name, value in state.items()}
    yield
    parameter.grad = None
    state |= {name: _laid(value, parameter.placements) for name, value in state.items()}


def _laid(tensor: Tensor | None, placements: Sequence[Placement]) -> Tensor:
    if not isinstance(tensor, DTensor):
        raise TypeError(f"{type(tensor).__name__} beside a parameter in shards; shard it, too.")
    return tensor.redistribute(placements=placements)


def clip(parameters: Iterable[nn.Parameter], largest: float) -> None:
    """`clip_grad_norm_`, also where some gradients are in shards and others are not."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    sharded = [g for g in gradients if isinstance(g, DTensor)]
    others = [g for g in gradients if not isinstance(g, DTensor)]
    norms = [nn.utils.get_total_norm(part) for part in (sharded, others) if part]
    norms = [norm.full_tensor() if isinstance(norm, DTensor) else norm for norm in norms]
    norm = norms[0] if len(norms) == 1 else torch.stack(norms).norm()
    torch._foreach_mul_([own(g) for g in gradients], (largest / (norm + 1e-6)).clamp(max=1))
