"""What the commands share: the command line, and mistakes told in one line."""

import sys
from collections.abc import Callable
from typing import TypeVar

import tyro

Arguments = TypeVar("Arguments")


def command(name: str, arguments: type[Arguments], run: Callable[[Arguments], None]) -> None:
    """Parse the command line into a dataclass and run; what the user can mend ends in one line."""
    try:
        run(tyro.cli(arguments, prog=f"python -m {name}"))
    except (ValueError, FloatingPointError, OSError) as error:
        sys.exit(f"{name}: {error}")
