"""The device that is picked, and what is said where it is missing."""

import pytest
import torch

from mdcore.hardware import matmul_dtype, pick_device


def test_auto_is_a_device_that_works() -> None:
    device = pick_device()
    assert torch.ones(2, device=device).sum().item() == 2
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        assert device == pick_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "tpu"])
def test_a_device_that_is_not_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=f"no device '{name}'. Choose one of: auto, .*cpu"):
        pick_device(name)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"avx2": True, "avx512_f": True}, torch.float32),
    ],
)
def test_bfloat16_where_the_processor_multiplies_it(
    features: dict[str, bool], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    assert matmul_dtype(torch.device("cpu")) == expected
