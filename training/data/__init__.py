"""Data sets: names of sources, each with its way to examples and their splits."""

from training.data.hub import Hub, HubPictures
from training.data.local import Books, Letters, Text
from training.data.pictures import SUFFIXES, PictureBatches, Pictures, read_pictures
from training.data.shards import INDEX_FILE, Index, Shards, local_spec, read_index
from training.data.source import DATASETS, Batches, Examples, PictureSource, Source, Split
from training.data.windows import (
    StreamedWindows,
    Windows,
    disjoint,
    encode,
    read_tokens,
    read_windows,
    spread,
    token_type,
)
from training.data.zero_shot import TEST_SETS, ZeroShot, read_test_set

__all__ = [
    "DATASETS",
    "INDEX_FILE",
    "SUFFIXES",
    "TEST_SETS",
    "Batches",
    "Books",
    "Examples",
    "Hub",
    "HubPictures",
    "Index",
    "Letters",
    "PictureBatches",
    "PictureSource",
    "Pictures",
    "Shards",
    "Source",
    "Split",
    "StreamedWindows",
    "Text",
    "Windows",
    "ZeroShot",
    "disjoint",
    "encode",
    "local_spec",
    "read_index",
    "read_pictures",
    "read_test_set",
    "read_tokens",
    "read_windows",
    "spread",
    "token_type",
]
