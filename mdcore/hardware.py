"""What to compute on, and in which number format: decided here and shown to the user."""

from typing import Literal

import torch

DeviceName = Literal["auto", "cpu", "cuda", "mps"]


def pick_device(name: DeviceName = "auto") -> torch.device:
    """The device of that name; "auto" takes a GPU if there is one.

    Raises:
        ValueError: this machine has no such device.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    if not available.get(name, False):
        there = ", ".join(kind for kind, yes in available.items() if yes)
        raise ValueError(f"This machine has no device {name!r}. Choose one of: auto, {there}.")
    return torch.device(name)


def matmul_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where it is fast (CUDA, AMX, AVX512-BF16), float32 elsewhere."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device.type == "cpu":
        features = torch.cpu.get_capabilities()
        if features.get("amx_bf16") or features.get("avx512_bf16"):
            return torch.bfloat16
    return torch.float32
