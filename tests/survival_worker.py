"""Trains a tiny run in forked processes and kills them; see test_survival.py.

torch is imported once and never used before the forks, so that a start costs milliseconds.
"""

import gc
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # optimizers import it when they are made: seconds, once, before the forks
from safetensors.torch import load_file
from test_training import tiny

import mdcore.checkpoint
import training.loop
import training.run
import training.train
from mdcore.checkpoint import load_checkpoint
from training.config import PRESETS
from training.run import read_state

WRITING = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.truncate")


def attempt(out: Path, steps: int) -> None:
    """What a cluster starts again and again: the command, with --resume once there is a state."""
    log = os.open(out.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    torch.set_num_threads(1)
    training.run.matmul_dtype = lambda _: torch.float32
    model = tiny(out).model
    often = {"log_every": 1, "checkpoint_every": 1, "evaluate_every": 1, "sample_every": 10**6}
    PRESETS["tiny"] = tiny(out, model=model, steps=steps, **often)  # type: ignore[arg-type]
    training.train.draw = lambda *_: "a sample"
    resume = (out / "state.safetensors").exists()
    training.train.run(
        training.train.Arguments(preset="tiny", out=out, device="cpu", resume=resume)
    )


def forked(work: Callable[[], None]) -> int:
    """The id of a new process that does the work and ends, without a word if all is well."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        work()
        code = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def ended(process: int) -> bool:
    """Whether it came to its own end, and not by a SIGKILL.

    Raises:
        RuntimeError: it failed.
    """
    status = os.waitpid(process, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    if status:
        raise RuntimeError(f"process {process} ended with {status}; see the .log beside its folder")
    return True


def check(out: Path) -> None:
    """Whatever stands there is whole."""
    for name in ("last", "best"):
        if (out / name).exists():
            load_checkpoint(out / name)
    stored(out)


def run(out: Path, steps: int) -> None:
    """A run that nobody kills, or the rest of one."""
    if not ended(forked(lambda: attempt(out, steps))):
        raise RuntimeError("killed by somebody else")


def told(out: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without what depends on the clock."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "tokens_per_second"} for line in lines]


def same(out: Path, straight: Path) -> bool:
    """Whether two finished runs have the same weights to the bit, and the same curve."""
    both = [
        load_file(folder / file)
        for file in ("state.safetensors", "last/model.safetensors", "best/model.safetensors")
        for folder in (out, straight)
    ]
    pairs = zip(both[::2], both[1::2], strict=True)
    equal = all(a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a) for a, b in pairs)
    hidden = {path.name for path in out.iterdir() if path.name.startswith(".")}
    return equal and not hidden and told(out) == told(straight)


def killed_at_random(folder: Path, kills: int, steps: int) -> dict[str, Any]:
    """Kill at moments from the start to some steps after; a run that got through has a next."""
    folder.mkdir()
    started = time.monotonic()
    run(folder / "straight", steps)
    reach = (time.monotonic() - started) / 2
    moments, survived, finished, number = random.Random(0), 0, 0, 0
    resumed_from: list[int | None] = []
    while survived < kills or not finished:
        out = folder / f"killed-{number}"
        process = forked(lambda out=out: attempt(out, steps))  # type: ignore[misc]
        if survived < kills:
            time.sleep(moments.uniform(0.2 * reach, reach))
            os.kill(process, signal.SIGKILL)
        done = ended(process)
        survived += not done
        check(out)
        further = stored(out) != (resumed_from or [None])[-1]
        resumed_from.append(stored(out))
        # a machine that is now busier, now idler than it was: neither all done nor none begun
        reach *= 0.7 if done else 1 if further else 1.2
        if done:
            if not same(out, folder / "straight"):
                raise RuntimeError(f"{out} differs from a run that was never killed")
            finished, number = finished + 1, number + 1
    return {"kills": survived, "finished": finished, "steps": resumed_from}


class Points:
    """Each moment of a process at which it changes something on the disk, in order.

    Args:
        out: the folder that counts.
        deadly: the number of the moment at which the process kills itself.
    """

    def __init__(self, out: Path, deadly: int) -> None:
        self.out = str(out)
        self.deadly = deadly
        self.passed = 0
        sys.addaudithook(self._hook)
        self._around(os, "fsync")
        self._around(mdcore.checkpoint, "_swap")
        self._whole = mdcore.checkpoint.save_file
        mdcore.checkpoint.save_file = self._save_file

    def pass_one(self) -> None:
        if self.passed == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        self.passed += 1

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in WRITING or "tensorboard" in str(arguments[0]):
            return
        reads = event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        inside = isinstance(arguments[0], str | Path) and str(arguments[0]).startswith(self.out)
        if not reads and inside:
            self.pass_one()

    def _around(self, module: Any, name: str) -> None:
        function = getattr(module, name)

        def surrounded(*arguments: Any) -> Any:
            self.pass_one()
            value = function(*arguments)
            self.pass_one()
            return value

        setattr(module, name, surrounded)

    def _save_file(self, tensors: Any, path: Path, metadata: Any = None) -> None:
        self._whole(tensors, path, metadata)
        content = path.read_bytes()
        for size in (0, len(content) // 2, len(content)):
            path.write_bytes(content[:size])
            self.pass_one()


def killed_in_writing(folder: Path, swaps: bool) -> dict[str, int]:
    """Kill once at each moment of a run's start, then at each of a step's writing.

    Args:
        folder: to work in.
        swaps: whether the disk can exchange two folders in one move.
    """
    training.loop.evaluate = lambda run, *_: {  # each is the best so far, and so is written
        "bits_per_token": 1 / run.step,
        "standard_error": 0.0,
    }
    if not swaps:
        mdcore.checkpoint._swap = lambda *_: False
    folder.mkdir()
    steps, straight, out = 24, folder / "straight", folder / "killed"
    run(straight, steps)

    def mortal(deadly: int) -> None:
        Points(out, deadly)
        attempt(out, steps)

    deadly = kills = beyond = 0
    step: int | None = None
    while beyond < 10:  # more than there are moments of a step between the state and its end
        if ended(forked(lambda deadly=deadly: mortal(deadly))):  # type: ignore[misc]
            raise RuntimeError(f"moment {deadly} was not reached")
        check(out)
        kills, deadly, before, step = kills + 1, deadly + 1, step, stored(out)
        if before is None and step is not None:
            deadly = 0  # the run has begun: from here on each attempt resumes
        beyond += before is not None and step != before
    run(out, steps)
    if not same(out, straight):
        raise RuntimeError(f"{out} differs from a run that was never killed")
    return {"kills": kills, "moments": deadly}


def stored(out: Path) -> int | None:
    """The step from which a run is resumed."""
    state = out / "state.safetensors"
    return read_state(state)[0]["step"] if state.exists() else None


if __name__ == "__main__":
    gc.freeze()  # else each child's collector copies the pages of all that is imported
    folder = Path(sys.argv[1])
    answer = {"random": killed_at_random(folder / "random", kills=20, steps=16)}
    for disk in ("swapping", "renaming"):
        answer[disk] = killed_in_writing(folder / disk, swaps=disk == "swapping")
    print(json.dumps(answer))
