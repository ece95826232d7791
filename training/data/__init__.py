"""Data sets: names of sources, each with its way to documents and their splits."""

from training.data.hub import Hub
from training.data.local import Books, Text
from training.data.source import DATASETS, Source, Split
from training.data.windows import Batches, StreamedWindows, Windows, read_tokens, read_windows

__all__ = [
    "DATASETS",
    "Batches",
    "Books",
    "Hub",
    "Source",
    "Split",
    "StreamedWindows",
    "Text",
    "Windows",
    "read_tokens",
    "read_windows",
]
