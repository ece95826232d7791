"""Figures that need no browser: what a run costs, and how visitors get on with each other."""

import asyncio
import ctypes
import gc
import json
import time
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import aclosing
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import torch

from app.lane import Lane
from app.live import complete
from app.logic import prepare
from app.measure.figure import Figure
from app.measure.stand import SlowShelf
from app.measure.visitor import Visitor
from app.state import Settings

STATM = Path("/proc/self/statm")
PAGE = 4096


def of_runs(shelf: SlowShelf, address: str) -> Iterator[Figure]:
    """What the page adds to the sampler's own time and how much it sends."""
    shelf.seconds = 0.01
    pairs = [(_alone(shelf), _visited_from_elsewhere(address)) for _ in range(5)]
    shares = [100 * (_last(told)["seconds"] / alone - 1) for alone, told in pairs]
    yield Figure("over the sampler's own time, 64 steps of 10 ms", median(shares), 15, "%")
    told = pairs[0][1]
    steps = [line for line in told.encode().splitlines() if line.startswith(b'{"s"')]
    size = sum(map(len, steps)) / len(steps)
    yield Figure("a streamed step of 256 tokens in 64, on average", size, 1000, "B")
    shelf.seconds = 0.0
    for sampler in ("ancestral", "remask_rescale"):
        document = trajectory(shelf, sampler)
        size = len(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())
        yield Figure(f"a trajectory of 1,024 tokens, {sampler}", size / 1000, 100, "kB")


def trajectory(shelf: SlowShelf, sampler: str = "ancestral") -> dict[str, Any]:
    """A finished run of 1,024 tokens in 256 steps."""
    request = Settings(steps=256, sampler=sampler).request("wide", "", fill=True)
    document: dict[str, Any] = complete(shelf, Lane(), request, "measure")["trajectory"]
    return document


def of_visitors(shelf: SlowShelf, address: str, runs: int) -> Iterator[Figure]:
    """Ten at once, one who leaves, and the memory after many."""
    shelf.seconds = 0.01
    lost = asyncio.run(_together(address, 10))
    yield Figure("of ten visitors at once, without a result of their own", lost, 0, "")
    wait = asyncio.run(_leave(address))
    yield Figure("until the lane is free after a visitor has left", wait, 2, "s")
    shelf.seconds = 0.0
    if STATM.exists():
        growth = asyncio.run(_grow(address, runs)) / 2**20
        yield Figure(f"memory that {runs} runs of as many visitors leave behind", growth, 10, "MiB")


async def _together(address: str, count: int) -> int:
    told = await asyncio.gather(*(_visit(address, steps=16, seed=k) for k in range(count)))
    alone = [await _visit(address, steps=16, seed=k) for k in range(count)]
    return sum(_told(a) != _told(b) for a, b in zip(told, alone, strict=True))


async def _leave(address: str) -> float:
    async with Visitor(address) as other:
        async with Visitor(address) as leaver, aclosing(_press(leaver, steps=1000)) as own:
            while '{"s"' not in await anext(own):
                pass
            waiting = asyncio.create_task(_begun(other, steps=8))
            await asyncio.sleep(0.5)
            start = time.perf_counter()
        await waiting
        return time.perf_counter() - start


async def _grow(address: str, runs: int) -> int:
    for k in range(runs // 2):  # they fill what is kept of the last sessions
        await _visit(address, steps=8, seed=k)
    before = _resident()
    for k in range(runs):
        await _visit(address, steps=8, seed=k)
    return _resident() - before


def _resident() -> int:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what is free, but kept for later, is not left behind
    return int(STATM.read_text().split()[1]) * PAGE


async def _visit(address: str, **settings: int) -> str:
    told = ""
    async with Visitor(address) as visitor:
        async for text in _press(visitor, **settings):
            told = text
    return told


def _alone(shelf: SlowShelf) -> float:
    """Seconds that the sampler takes by itself."""
    run = prepare(shelf, Settings(steps=64).request("narrow", "", fill=True))
    generator = torch.Generator().manual_seed(0)
    start = time.perf_counter()
    with torch.no_grad():
        run.sampler(run.checkpoint.model, run.z, generator=generator)
    return time.perf_counter() - start


def _visited_from_elsewhere(address: str) -> str:
    """A run of 64 steps for another process: no visitor shares the server's interpreter."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_visited, address).result()


def _visited(address: str) -> str:
    return asyncio.run(_visit(address, steps=64, seed=0))


async def _begun(visitor: Visitor, **settings: int) -> None:
    async with aclosing(_press(visitor, **settings)) as transcripts:
        async for told in transcripts:
            if '{"s"' in told:
                return


def _press(visitor: Visitor, **settings: int) -> AsyncGenerator[str, None]:
    values = {f"watch-{name}": value for name, value in settings.items()}
    fixed = {"watch-model": "narrow", "watch-prompt": "", "watch-lock": "seed" in settings}
    return visitor.press("watch-generate", fixed | values)


def _last(told: str) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(told.splitlines()[-1])
    return line


def _told(told: str) -> list[str]:
    """A run as it can be compared with another of the same seed: its steps."""
    return [line for line in told.splitlines() if line.startswith('{"s"')]
