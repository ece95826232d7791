"""What saves memory changes nothing else: logits in chunks, activations made twice."""

import pytest
import torch
from torch import Tensor, nn

import mdcore.logits
from mdcore.backbones.layers import recompute
from mdcore.checkpoint import ModelConfig, build_model
from mdcore.objectives import Model

TRANSFORMER = {"name": "transformer", "width": 16, "depth": 2, "heads": 2, "dropout": 0.1}
UNET = {"name": "unet", "widths": [8, 8], "blocks": [1, 1], "middle_heads": 2, "dropout": 0.1}
TEXT = {"name": "bytes", "length": 12}
IMAGE = {"name": "pixels", "height": 4, "width": 4, "channels": 1}
LEARNED = {"name": "learned_polynomial"}
CONFIGS = {
    "md4": ModelConfig(codec=TEXT, schedule={"name": "cosine"}, backbone=TRANSFORMER),
    "genmd4": ModelConfig(
        codec=TEXT, schedule=LEARNED, backbone={**TRANSFORMER, "time_conditioned": True}
    ),
    "autoregressive": ModelConfig(
        codec=TEXT, objective={"name": "autoregressive"}, backbone=TRANSFORMER
    ),
    "image": ModelConfig(
        codec=IMAGE, schedule={"name": "linear"}, backbone={**UNET, "time_conditioned": True}
    ),
    "image-genmd4": ModelConfig(
        codec=IMAGE, schedule=LEARNED, backbone={**UNET, "time_conditioned": True}
    ),
}


def built(name: str) -> tuple[Model, Tensor]:
    """A model whose logits are not all alike, and data for it."""
    torch.manual_seed(0)
    model = build_model(CONFIGS[name]).train()
    for parameter in model.parameters():
        if not parameter.any():  # zero at first: without that nothing would flow
            nn.init.normal_(parameter, std=0.1)
    return model, torch.randint(model.vocab_size, (6, 16 if "image" in name else 12))


def loss_and_gradient(model: Model, x: Tensor) -> tuple[Tensor, Tensor]:
    model.zero_grad()
    torch.manual_seed(1)  # of dropout
    loss = model.loss(x, generator=torch.Generator().manual_seed(2))
    loss.backward()
    gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return loss.detach(), torch.cat(gradients)


@pytest.mark.parametrize("name", list(CONFIGS))
@pytest.mark.parametrize("rows", [1, 7])
def test_chunks_are_the_whole(name: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss and gradient; the sums over positions are taken in another order, in float32."""
    model, x = built(name)
    loss, gradient = loss_and_gradient(model, x)
    largest = 0

    def measured(module: nn.Module, inputs: object, output: Tensor) -> None:
        nonlocal largest
        largest = max(largest, output.numel())

    monkeypatch.setattr(mdcore.logits, "CHUNK", rows * model.vocab_size + 5)
    model.denoiser.head.register_forward_hook(measured)
    again = loss_and_gradient(model, x)
    assert largest == rows * model.vocab_size
    torch.testing.assert_close(again[0], loss, rtol=1e-6, atol=0)
    torch.testing.assert_close(again[1], gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", list(CONFIGS))
def test_recomputed_activations_are_the_same(name: str) -> None:
    """To the bit, dropout included."""
    model, x = built(name)
    loss, gradient = loss_and_gradient(model, x)
    kept = activations(model, x)
    recompute(model.denoiser)
    again = loss_and_gradient(model, x)
    assert torch.equal(again[0], loss)
    assert torch.equal(again[1], gradient)
    assert activations(model, x) < 0.7 * kept


def activations(model: Model, x: Tensor) -> int:
    """Bytes that the forward pass keeps for the backward pass."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model.loss(x, generator=torch.Generator().manual_seed(2))
    assert loss.requires_grad
    return sum(size for pointer, size in kept.items() if pointer not in own)
