"""Data sets of the Hugging Face hub, streamed or whole."""

from collections.abc import Iterator

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
    """

    def __init__(
        self,
        repository: str,
        column: str = "text",
        train: str = "train",
        validation: str | None = None,
        validation_rows: int = 1000,
        streamed: bool = False,
    ) -> None:
        self.repository = repository
        self.column = column
        self.train = train
        self.validation = validation
        self.validation_rows = validation_rows
        self.streamed = streamed

    def documents(self, split: Split) -> Iterator[str]:
        """The rows' text in the data set's order.

        Raises:
            ValueError: the hub cannot be reached, or has no such data set or split.
        """
        import datasets  # a second to import, and only hub data needs it

        own = split == "validation" and self.validation is not None
        name = self.validation if own else self.train
        try:
            rows = datasets.load_dataset(self.repository, split=name, streaming=self.streamed)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"The data set {self.repository!r} could not be read ({error}). Check the name and "
                "the network, or train on local files with --data PATH."
            ) from error
        if self.validation is None:
            held = self.validation_rows
            rows = rows.take(held) if split == "validation" else rows.skip(held)
        for row in rows:
            yield row[self.column]
