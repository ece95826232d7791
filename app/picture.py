"""A run as a moving picture: python -m app.picture TRAJECTORY.json OUT.gif."""

import sys
from pathlib import Path

from app.animation import animate
from app.replay import read_trajectory, read_transcript


def main() -> None:
    """Turn a stored trajectory into a GIF."""
    if len(sys.argv) != 3:
        sys.exit("usage: python -m app.picture TRAJECTORY.json OUT.gif")
    source, out = map(Path, sys.argv[1:])
    try:
        out.write_bytes(animate(read_transcript(read_trajectory(source))))
    except (OSError, ValueError) as error:
        sys.exit(f"app.picture: {error}")


if __name__ == "__main__":
    main()
