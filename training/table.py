"""Tables that are aligned to read, and Markdown to paste."""

from collections.abc import Mapping


class Table:
    """Rows of text under headings; each row can be printed as soon as it is known.

    Args:
        columns: heading -> the most characters expected below it. The first is flush left.
    """

    def __init__(self, columns: Mapping[str, int]) -> None:
        self._widths = [max(len(name), width) for name, width in columns.items()]
        self._names = list(columns)

    @property
    def head(self) -> str:
        """Headings and the line below them."""
        rule = "|".join(
            f":{'-' * width}-" if index == 0 else f"-{'-' * width}:"
            for index, width in enumerate(self._widths)
        )
        return f"{self.row(*self._names)}\n|{rule}|"

    def row(self, *cells: str) -> str:
        """One row; a cell for each column."""
        padded = [
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, self._widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"
