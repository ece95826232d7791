"""Little pictures drawn for the tests: a bright bar, lying or upright, which are its classes."""

import gzip
import struct
from pathlib import Path

import numpy as np
import torch
from oracle import seeded
from PIL import Image

CLASSES = ["lying", "upright"]


def draw_bars(count: int, size: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, size, size) uint8 and labels (n,); no two images are alike."""
    images = np.zeros((count, size, size), np.uint8)
    labels = np.arange(count) % 2
    places = torch.randint(size, (count,), generator=seeded()).numpy()
    for index, (place, label) in enumerate(zip(places, labels, strict=True)):
        images[index, place] = 200
        images[index] = images[index].T if label else images[index]
        images[index].flat[index % size**2] = 100 + index // size**2
    return images, labels


def write_idx(folder: Path, name: str, images: np.ndarray, labels: np.ndarray) -> None:
    """MNIST's own files, compressed."""
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        header = struct.pack(f">HBB{array.ndim}i", 0, 8, array.ndim, *array.shape)
        content = gzip.compress(header + array.astype(np.uint8).tobytes())
        (folder / f"{name}-{kind}-ubyte.gz").write_bytes(content)


def write_folder(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """PNG files in one folder a class."""
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        (folder / CLASSES[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / CLASSES[label] / f"{index:03}.png")
