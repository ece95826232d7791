"""The processes that train one model together: who they are, and what they tell each other."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from mdcore.draws import BatchGenerator, Share
from mdcore.objectives import Model


class Loss(nn.Module):
    """A model's loss as a module that can be called: what is wrapped to be trained by several."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, condition: Tensor | None, generator: BatchGenerator) -> Tensor:
        """(B, L) and (B,) or None -> () nats per token."""
        return self.model.loss(x, condition, generator=generator)


@dataclass(frozen=True)
class Team:
    """This process among those that `torchrun` started; alone, all of it is trivial.

    Attributes:
        rank: of this process, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """This process's rows of a batch of `count`, a multiple of `size`."""
        each = count // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def noise(self, generator: torch.Generator) -> Share:
        """This process's part of the random numbers that belong to a whole batch."""
        return Share(generator, self.rank, self.size)

    def loss(self, model: Model, *, sharded: bool = False) -> nn.Module:
        """The model's `Loss`; its gradients are means over all processes.

        Args:
            model: on its device.
            sharded: the model went through `shard`, and takes the means by itself.
        """
        own = Loss(model)
        return own if sharded or self.size == 1 else DistributedDataParallel(own)

    def apart(self, loss: nn.Module) -> AbstractContextManager[None]:
        """Gradients of the block stay with this process until the next ones are shared."""
        return loss.no_sync() if isinstance(loss, DistributedDataParallel) else nullcontext()

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes, for each of them."""
        if self.size > 1:
            values = values.clone()
            distributed.all_reduce(values)
        return values

    def any(self, wish: bool, device: torch.device) -> bool:
        """Whether one of the processes wishes it."""
        return bool(self.total(torch.tensor(float(wish), device=device)))

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """The leader passes through the block before all others enter it."""
        if self.size > 1 and not self.leads:
            distributed.barrier()
        yield
        if self.size > 1 and self.leads:
            distributed.barrier()


ALONE = Team()


@contextmanager
def gathered(device: torch.device) -> Iterator[tuple[Team, torch.device]]:
    """The team of this process and its own device; joined here, and left at the end.

    Args:
        device: the kind that all of them work on; each takes the GPU of its number.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE, device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Team(distributed.get_rank(), size), device
    finally:
        distributed.destroy_process_group()
