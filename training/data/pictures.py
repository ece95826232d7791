"""Pictures of the user's own: idx files, npz archives, folders of image files."""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from mdcore.codecs import ImageCodec
from training.data.source import ALL, DATASETS, Examples, PictureSource, Split

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"}
HELD_OUT = 20
"""Where the data have no validation split of their own, one name in HELD_OUT is held out."""


@dataclass(frozen=True)
class Item:
    """A picture that is not opened yet; those of one name fall into one split."""

    name: str
    content: np.ndarray | Path
    label: int | None = None
    split: Split | None = None

    def belongs(self, split: Split) -> bool:
        """Whether the picture is in a split: its own, or the one that its name falls into."""
        held_out = zlib.crc32(self.name.encode()) % HELD_OUT == 0
        return split == (self.split or ("validation" if held_out else "train"))

    def open(self) -> Image.Image:
        """The picture.

        Raises:
            ValueError: the file is no picture.
        """
        if isinstance(self.content, np.ndarray):
            return Image.fromarray(self.content)
        try:
            with Image.open(self.content) as picture:
                return picture.copy()
        except (UnidentifiedImageError, OSError) as error:
            raise ValueError(
                f"{self.content} could not be read as a picture; remove it."
            ) from error


@DATASETS.register("pictures")
class Pictures:
    """Local pictures, in whichever of three formats a path holds.

    - idx files (.gz or not), as MNIST comes: train-* and t10k-*, images and labels;
    - npz archives with x (n, H, W[, channels]) uint8 and, if there are classes, y (n,), with
      `categories` and `names` if these are known;
    - a folder of image files; its subfolders, if it has any, are the classes.

    Args:
        paths: files or folders.
        exclude: name of an array in an npz archive; rows where it is not 0 are left out.
        flip: mirror half of the training pictures.
        shift: move training pictures by up to so many pixels, their border repeated.
        whole: both splits are all pictures: for measuring on them, not for training.
    """

    local: ClassVar[str] = "pictures"

    def __init__(
        self,
        paths: Sequence[str] = (),
        exclude: str | None = None,
        flip: bool = False,
        shift: int = 0,
        whole: bool = False,
    ) -> None:
        if not paths:
            raise ValueError("This preset trains on local pictures: name them with --data PATH.")
        self.flip, self.shift, self.whole = flip, shift, whole
        self.class_names: list[str] = []
        self._items: list[Item] = []
        for path in map(Path, paths):
            names, items = _read(path, exclude)
            if self._items and list(names) != self.class_names:
                raise ValueError(
                    f"{path} has other classes than {paths[0]}; train on one at a time."
                )
            self.class_names = list(names)
            self._items += items

    def pictures(self, split: Split) -> Iterator[tuple[Image.Image, int | None]]:
        """Each picture of a split with its label."""
        for item in self._items:
            if self.whole or item.belongs(split):
                yield item.open(), item.label


def _read(path: Path, exclude: str | None) -> tuple[Sequence[str], list[Item]]:
    """The classes and the pictures of a file or folder."""
    if not path.exists():
        raise ValueError(f"{path} does not exist; give a folder of pictures with --data.")
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    if archives := [file for file in files if file.suffix == ".npz"]:
        parts = [_read_npz(file, exclude) for file in archives]
        return parts[0][0], [item for _, items in parts for item in items]
    if images := [file for file in files if "images-idx3" in file.name]:
        items = [item for file in images for item in _read_idx(file)]
        labels = [item.label for item in items if item.label is not None]
        classes = range(max(labels) + 1) if len(labels) == len(items) else ()
        return [str(number) for number in classes], items
    return _read_folder(path)


def _read_npz(file: Path, exclude: str | None) -> tuple[Sequence[str], list[Item]]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        x = arrays["x"]
    except (OSError, ValueError, KeyError, zlib.error) as error:
        raise ValueError(f"{file} is no archive with an array x ({error}).") from error
    if x.dtype != np.uint8 or x.ndim not in (3, 4):
        raise ValueError(f"{file}: x is {x.dtype} {x.shape}; it must be uint8 (n, H, W[, C]).")
    names = arrays.get("names", np.arange(len(x)))
    labels = arrays.get("y")
    skipped = arrays[exclude] if exclude in arrays else np.zeros(len(x))
    keep = np.flatnonzero(skipped == 0).tolist()
    items = [Item(str(names[i]), x[i], _label(labels, i)) for i in keep]
    classes = range(int(labels.max()) + 1) if labels is not None else ()
    return [str(name) for name in arrays.get("categories", classes)], items


def _label(labels: np.ndarray | None, index: int) -> int | None:
    return None if labels is None else int(labels[index])


def _read_idx(file: Path) -> list[Item]:
    """The pictures of an idx3 file with the labels of the idx1 file beside it."""
    x = _read_array(file)
    labels_file = file.with_name(file.name.replace("images-idx3", "labels-idx1"))
    labels = _read_array(labels_file) if labels_file.exists() else None
    split: Split = "validation" if file.name.startswith(("t10k", "test")) else "train"
    return [Item(f"{file.name} {i}", x[i], _label(labels, i), split) for i in range(len(x))]


def _read_array(file: Path) -> np.ndarray:
    """The array of an idx file of bytes; its format is that of MNIST's own page."""
    try:
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        kind, dimensions = data[2], data[3]
        shape = np.frombuffer(data, ">i4", dimensions, offset=4)
        if data[:2] != b"\0\0" or kind != 8:
            raise ValueError("wrong magic number")
        return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (OSError, EOFError, IndexError, ValueError, zlib.error) as error:
        raise ValueError(f"{file} is not an idx file of bytes ({error}).") from error


def _read_folder(path: Path) -> tuple[Sequence[str], list[Item]]:
    """Image files; the first level of subfolders, if any, are the classes."""
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise ValueError(
            f"{path} has no pictures; give a folder of {', '.join(sorted(SUFFIXES))} files, "
            "an npz archive or idx files."
        )
    places = [file.relative_to(path).parts for file in files]
    classes = sorted({parts[0] for parts in places if len(parts) > 1})
    if any(len(parts) == 1 for parts in places):  # then subfolders are no classes
        classes = []
    return classes, [
        Item(
            str(file.relative_to(path)),
            file,
            classes.index(parts[0]) if classes else None,
        )
        for file, parts in zip(files, places, strict=True)
    ]


def read_pictures(source: PictureSource, split: Split, codec: ImageCodec) -> Examples:
    """All pictures of a split as tokens, in the smallest integer that holds them.

    Raises:
        ValueError: there are none.
    """
    dtype = torch.uint8 if codec.vocab_size <= 256 else torch.int32
    rows, labels = [], []
    for picture, label in source.pictures(split):
        rows.append(codec.encode(codec.fit(picture, holes=False)).to(dtype))
        labels.append(label)
    if not rows:
        raise ValueError(f"There are no pictures in the {split} split; give more data.")
    return Examples(torch.stack(rows), torch.tensor(labels) if source.class_names else None)


class PictureBatches:
    """Random pictures that are held in memory, each epoch in an order of its own.

    Args:
        examples: all training pictures.
        shape: (height, width, tokens a pixel).
        batch_size: pictures in a batch.
        seed: with the step, decides pictures and augmentation.
        flip: mirror half of them.
        shift: move them by up to so many pixels, their border repeated.
        part: which of a batch's pictures are wanted.
    """

    def __init__(
        self,
        examples: Examples,
        *,
        shape: tuple[int, ...],
        batch_size: int,
        seed: int,
        flip: bool = False,
        shift: int = 0,
        part: slice = ALL,
    ) -> None:
        self._examples = examples
        self._shape = shape
        self._batch_size = batch_size
        self._seed = seed
        self._flip = flip
        self._shift = shift
        self._part = part

    def batch(self, step: int) -> Examples:
        """This step's batch, or the part of it that is wanted."""
        count = len(self._examples.x)
        places = np.arange(step * self._batch_size, (step + 1) * self._batch_size)
        rows = torch.from_numpy(
            np.concatenate(
                [
                    np.random.default_rng([self._seed, epoch]).permutation(count)[
                        places[places // count == epoch] % count
                    ]
                    for epoch in np.unique(places // count)
                ]
            )
        )
        x, condition = self._examples.take(rows)
        return Examples(self._augment(x, step).long(), condition).take(self._part)

    def _augment(self, x: Tensor, step: int) -> Tensor:
        if not self._flip and not self._shift:
            return x
        random = np.random.default_rng([self._seed, step, 1])
        height, width, _ = self._shape
        down, right = random.integers(-self._shift, self._shift + 1, (2, len(x), 1))
        rows = (np.arange(height) + down).clip(0, height - 1)
        columns = (np.arange(width) + right).clip(0, width - 1)
        mirrored = self._flip & (random.random((len(x), 1)) < 0.5)
        columns = np.where(mirrored, columns[:, ::-1], columns)
        images = x.view(-1, *self._shape)
        which = np.arange(len(x))[:, None, None]
        return images[which, rows[:, :, None], columns[:, None, :]].flatten(1)
