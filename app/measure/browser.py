"""Figures of what a visitor sees, in the system's chromium."""

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from app import player
from app.measure.figure import Figure
from app.measure.server import trajectory
from app.measure.stand import SlowShelf

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
STEP = 10  # ms of the model
UNTIL = """([button, sign]) => new Promise((done, fail) => {
  const start = performance.now();
  document.querySelector(button).click();
  const look = () => {
    const passed = performance.now() - start;
    if (new RegExp(sign).test(document.querySelector('.md-status').textContent)) done(passed);
    else if (passed > 60000) fail(new Error(`never ${sign}`));
    else setTimeout(look, 2);
  };
  look();
})"""
REPLAY = """(text) => {
  const player = new Player(document.getElementById('player'));
  player.read(text);
  const times = [];
  for (let step = 0; step <= 256; step += 1) {
    const start = performance.now();
    player.transport.seek(step);
    document.body.offsetHeight;
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[Math.floor(0.95 * times.length)];
}"""


def of_page(shelf: SlowShelf, address: str) -> Iterator[Figure]:
    """How soon the page is there, begins and stops; how smoothly it replays."""
    shelf.seconds = STEP / 1000
    with _window() as window:
        start = time.perf_counter()
        window.goto(address)
        window.wait_for_selector(".md-token")
        yield Figure("until the page can be used", time.perf_counter() - start, 2, "s")
        window.fill("#watch-steps input[type=number]", "1000")
        window.wait_for_function("document.querySelector('#watch-steps [type=range]').value > 999")
        begun = window.evaluate(UNTIL, ["#watch-generate", r"^step [1-9]"])
        yield Figure("until the first frame, with a step of 10 ms", begun, 300 + STEP, "ms")
        window.wait_for_function("!document.querySelector('#watch-stop').disabled")
        stopped = window.evaluate(UNTIL, ["#watch-stop", "^Stopped"])
        yield Figure("until Stop is shown, with a step of 10 ms", stopped, 250 + STEP, "ms")
    shelf.seconds = 0.0
    for sampler in ("ancestral", "remask_rescale"):
        lines = trajectory(shelf, sampler)["lines"]
        with _window() as window, tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "player.html"
            path.write_text(_file(), encoding="utf-8")
            window.goto(path.as_uri())
            slow = window.evaluate(REPLAY, "".join(json.dumps(line) + "\n" for line in lines))
        yield Figure(f"a replayed frame of 1,024 tokens, {sampler}, p95", slow, 8, "ms")


def _file() -> str:
    script = f"<script>{player.script()}</script>"
    return f"<!doctype html><style>{player.style()}</style><div id=player></div>{script}"


def chromium() -> str:
    """The system's chromium.

    Raises:
        ValueError: there is none.
    """
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise ValueError("python -m app.measure needs chromium: apt install chromium")
    return found


@contextmanager
def _window() -> Iterator[Page]:
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=chromium(), headless=True, args=FLAGS
        )
        context.set_default_timeout(120_000)  # on a busy machine a slow figure, not none
        yield context.new_page()
        context.close()
