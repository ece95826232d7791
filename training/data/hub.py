"""Data sets of the Hugging Face hub, streamed or whole."""

from collections.abc import Iterator
from typing import Any, ClassVar

from PIL import Image

from training.data.source import DATASETS, Split


@DATASETS.register("hub")
class Hub:
    """A text data set by its hub name, read with the `datasets` library.

    Args:
        repository: its name on the hub, or a local folder that `datasets` reads.
        column: of the text.
        train: name of the training split.
        validation: name of the validation split; if None, the first `validation_rows` of the
            training split are held out.
        validation_rows: how many, where the data set has no validation split.
        streamed: read on the fly instead of downloading first.
        subset: name of a part of it, where there are several.
        revision: branch of the repository.
    """

    local: ClassVar[str] = "text"

    def __init__(
        self,
        repository: str,
        column: str = "text",
        train: str = "train",
        validation: str | None = None,
        validation_rows: int = 1000,
        streamed: bool = False,
        subset: str | None = None,
        revision: str | None = None,
    ) -> None:
        self.repository = repository
        self.column = column
        self.train = train
        self.validation = validation
        self.validation_rows = validation_rows
        self.streamed = streamed
        self.place = {"name": subset, "revision": revision}

    def documents(self, split: Split) -> Iterator[str]:
        """The rows' text in the data set's order.

        Raises:
            ValueError: the hub cannot be reached, or has no such data set or split.
        """
        own = split == "validation" and self.validation is not None
        name = self.validation if own else self.train
        rows = _load(self.repository, name, streaming=self.streamed, **self.place)
        if self.validation is None:
            held = self.validation_rows
            rows = rows.take(held) if split == "validation" else rows.skip(held)
        for row in rows:
            yield row[self.column]


@DATASETS.register("hub_pictures")
class HubPictures:
    """Labelled pictures by their hub name.

    Args:
        repository: its name on the hub, or a local folder that `datasets` reads.
        image: column of the pictures.
        label: column of the labels.
        train: name of the training split.
        validation: name of the split to measure on.
        flip: mirror half of the training pictures.
        shift: move training pictures by up to so many pixels, their border repeated.
    """

    local: ClassVar[str] = "pictures"

    def __init__(
        self,
        repository: str,
        image: str = "image",
        label: str = "label",
        train: str = "train",
        validation: str = "test",
        flip: bool = False,
        shift: int = 0,
    ) -> None:
        self.repository = repository
        self.image, self.label = image, label
        self.splits = {"train": train, "validation": validation}
        self.flip, self.shift = flip, shift

    @property
    def class_names(self) -> list[str]:
        """The names of the labels."""
        rows = _load(self.repository, self.splits["validation"], streaming=False)
        return list(rows.features[self.label].names)

    def pictures(self, split: Split) -> Iterator[tuple[Image.Image, int]]:
        """The rows in the data set's order.

        Raises:
            ValueError: the hub cannot be reached, or has no such data set or split.
        """
        for row in _load(self.repository, self.splits[split], streaming=False):
            yield row[self.image], row[self.label]


def _load(
    repository: str,
    split: str | None,
    *,
    streaming: bool,
    name: str | None = None,
    revision: str | None = None,
) -> Any:
    import datasets  # a second to import, and only hub data needs it

    try:
        return datasets.load_dataset(
            repository, name, split=split, streaming=streaming, revision=revision
        )
    except (OSError, ValueError) as error:
        raise ValueError(
            f"The data set {repository!r} could not be read ({error}). Check the name and "
            "the network, or train on local files with --data PATH."
        ) from error
