"""Data sets: names of sources, each with its way to examples and their splits."""

from training.data.hub import Hub, HubPictures
from training.data.local import Books, Letters, Text
from training.data.pictures import SUFFIXES, PictureBatches, Pictures, read_pictures
from training.data.source import DATASETS, Batches, Examples, PictureSource, Source, Split
from training.data.windows import StreamedWindows, Windows, read_tokens, read_windows

__all__ = [
    "DATASETS",
    "SUFFIXES",
    "Batches",
    "Books",
    "Examples",
    "Hub",
    "HubPictures",
    "Letters",
    "PictureBatches",
    "PictureSource",
    "Pictures",
    "Source",
    "Split",
    "StreamedWindows",
    "Text",
    "Windows",
    "read_pictures",
    "read_tokens",
    "read_windows",
]
