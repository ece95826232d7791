"""Text files and folders of the user's own."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from training.data.source import DATASETS, Split

VALIDATION_SHARE = 0.05


@DATASETS.register("text")
class Text:
    """UTF-8 text files as they are.

    Files named in `held_out` (by stem) are the validation split. If none is, the last 5 % of the
    text are.

    Args:
        paths: text files, or folders, of which every .txt below is read.
        held_out: stems of validation files.
        whole: both splits are all of the text: for measuring on it, not for training.
    """

    local: ClassVar[str] = "text"
    streamed = False

    def __init__(
        self, paths: Sequence[str] = (), held_out: Sequence[str] = (), whole: bool = False
    ) -> None:
        if not paths:
            raise ValueError("This preset trains on local files: name them with --data PATH.")
        self.files = [file for path in paths for file in _text_files(Path(path))]
        self.whole = whole
        self.held_out = [file for file in self.files if file.stem in held_out]

    def documents(self, split: Split) -> Iterator[str]:
        """The text of one file after another."""
        if self.whole:
            return (self._read(file) for file in self.files)
        if self.held_out:
            wanted = split == "validation"
            return (self._read(file) for file in self.files if (file in self.held_out) == wanted)
        texts = [self._read(file) for file in self.files]
        return iter(_cut(texts, split))

    def _read(self, file: Path) -> str:
        try:
            text = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{file} is not UTF-8 text ({error}); convert it or leave it out."
            ) from error
        except OSError as error:
            raise ValueError(
                f"{file} cannot be read ({error.strerror}); put it back, or leave it out."
            ) from error
        if "\0" in text:
            raise ValueError(f"{file} is no text, there are zero bytes in it; leave it out.")
        return self.clean(text)

    def clean(self, text: str) -> str:
        """The text as it is trained on."""
        return text


@DATASETS.register("books")
class Books(Text):
    """Prose from print: paragraphs made of hard-wrapped lines, typographic signs, _italics_.

    A blank line ends a paragraph; in a file without blank lines every line is a paragraph. Lines
    of a paragraph are joined by a space, paragraphs are set apart by one blank line, quotes and
    dashes become those of a keyboard.
    """

    local: ClassVar[str] = "books"

    def clean(self, text: str) -> str:
        """Plain paragraphs, one blank line between them."""
        for typographic, plain in (
            ("‘’‚`´", "'"),
            ("“”„«»", '"'),
            ("—―", "--"),
            ("–", "-"),
            ("…", "..."),
        ):
            text = re.sub(f"[{typographic}]", plain, text)
        text = text.replace("\r\n", "\n").replace("\ufeff", "").replace("_", "").strip()
        boundary = r"\n[ \t]*\n\s*" if re.search(r"\n[ \t]*\n", text) else r"\n+"
        paragraphs = (re.sub(r"\s+", " ", part).strip() for part in re.split(boundary, text))
        return "\n\n".join(part for part in paragraphs if part) + "\n\n"


@DATASETS.register("letters")
class Letters(Text):
    """Text in the 27 symbols of text8: small letters, and one space between words."""

    local: ClassVar[str] = "letters"

    def clean(self, text: str) -> str:
        """Small letters; a run of anything else is one space."""
        return re.sub("[^a-z]+", " ", text.lower())


def _text_files(path: Path) -> list[Path]:
    """The file itself, or the .txt files of a folder in the order of their names."""
    if path.is_file():
        return [path]
    if not path.exists():
        raise ValueError(
            f"{path} does not exist; give a text file or a folder of .txt files with --data."
        )
    files = sorted(path.rglob("*.txt"))
    if not files:
        raise ValueError(
            f"{path} has no .txt file; give a text file or a folder of them with --data."
        )
    return files


def _cut(texts: Sequence[str], split: Split) -> list[str]:
    """The part of the texts in a split: validation is the last 5 % of the characters."""
    remaining = round((1 - VALIDATION_SHARE) * sum(map(len, texts)))
    train, validation = [], []
    for text in texts:
        train.append(text[:remaining])
        validation.append(text[remaining:])
        remaining = max(0, remaining - len(text))
    return [text for text in (train if split == "train" else validation) if text]
