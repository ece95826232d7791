"""The house of DESIGN section 2, read from the import statements: imports go down only."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {
    "mdcore.registry": 0,
    "mdcore.schedules": 0,
    "mdcore.codecs": 0,
    "mdcore.backbones": 0,
    "mdcore.draws": 0,
    "mdcore.filters": 0,
    "mdcore.hardware": 0,
    "mdcore.logits": 0,
    "mdcore.diffusion": 1,
    "mdcore.sampling": 2,
    "mdcore.guidance": 2,
    "mdcore.pacing": 2,
    "mdcore.autoregressive": 2,
    "mdcore.objectives": 3,
    "mdcore.evaluation": 4,
    "mdcore.checkpoint": 4,
}
STOREYS = {
    "app.state": 0,
    "app.shelf": 0,
    "app.logic": 1,
    "app.render": 1,
    "app.tabs": 2,
    "app.interface": 3,
    "app.measure": 4,
    "app.__main__": 4,
    "training.data": 0,
    "training.ema": 0,
    "training.config": 0,
    "training.drawing": 0,
    "training.team": 0,
    "training.heldout": 1,
    "training.loop": 1,
    "training.train": 2,
    "training.tokenise": 2,
    "training.sample": 2,
    "training.evaluate": 2,
    "training.variance": 2,
    "training.quality": 2,
    "training.classifier": 2,
}
MAY_IMPORT_GRADIO = ("app.tabs", "app.interface", "app.measure", "app.__main__")


def modules() -> dict[str, Path]:
    """Every module of the three packages by its name; a package has the name of its folder."""
    found = {}
    for package in ("mdcore", "training", "app"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()
LIBRARY = [name for name in MODULES if name.startswith("mdcore.")]
every_module = pytest.mark.parametrize("name", list(MODULES))
every_module_of_the_library = pytest.mark.parametrize("name", LIBRARY)


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


@cache
def imports(name: str) -> frozenset[str]:
    """All that a module imports, wherever in it the statement stands."""
    found = set()
    package = name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            names = {f"{base}.{alias.name}" for alias in node.names}
            inner = names & MODULES.keys()
            found |= inner | ({base} if names - inner else set())
    return frozenset(found)


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def place(name: str, levels: dict[str, int]) -> str | None:
    """The named part of the house that a module belongs to."""
    return next((part for part in levels if within(name, part)), None)


def is_command(name: str) -> bool:
    """A command line: __main__.py, or a module with `if __name__ == "__main__"`."""
    guards = [ast.unparse(node.test) for node in tree(name).body if isinstance(node, ast.If)]
    return name.endswith(".__main__") or "__name__ == '__main__'" in guards


def test_the_reader_of_imports_reads() -> None:
    """What it is known to find, so that the tests below cannot pass by finding nothing."""
    assert {"mdcore.diffusion", "mdcore.filters", "mdcore.registry"} <= imports("mdcore.sampling")
    assert "mdcore.registry" in imports("mdcore.backbones.layers")
    assert "datasets" in imports("training.data.hub")  # within a function
    assert {"training.train", "training.sample"} <= {n for n in MODULES if is_command(n)}
    assert len(MODULES) > 20


@every_module_of_the_library
def test_mdcore_imports_go_down(name: str) -> None:
    own = place(name, FLOORS)
    assert own is not None, f"{name} has no floor: give it one in DESIGN and in this file"
    for other in imports(name):
        if within(other, "mdcore"):
            theirs = place(other, FLOORS)
            assert theirs is not None, f"{name} imports {other}, the package that imports it"
            below = FLOORS[theirs] < FLOORS[own] or theirs in (own, "mdcore.registry")
            assert below, f"{name} imports {other}, which is not below it"


@every_module
def test_storeys_of_app_and_training_go_down(name: str) -> None:
    own = place(name, STOREYS)
    for other in imports(name):
        theirs = place(other, STOREYS)
        if own and theirs:
            assert STOREYS[theirs] <= STOREYS[own], f"{name} imports {other}, which is above it"


def test_nothing_imports_in_a_circle() -> None:
    graph = {name: imports(name) & MODULES.keys() - {name} for name in MODULES}
    order = list(TopologicalSorter(graph).static_order())
    assert set(order) == set(MODULES)


@every_module
def test_packages_keep_apart(name: str) -> None:
    foreign = {"mdcore": ("app", "training"), "app": ("training",), "training": ("app",)}
    package = name.partition(".")[0]
    assert not [other for other in imports(name) if within(other, *foreign[package])]


@every_module
def test_gradio_stays_in_the_view(name: str) -> None:
    if not within(name, *MAY_IMPORT_GRADIO):
        assert not [other for other in imports(name) if within(other, "gradio", "gradio_client")]


@every_module
def test_only_command_lines_print(name: str) -> None:
    calls = [node for node in ast.walk(tree(name)) if isinstance(node, ast.Call)]
    prints = [call.lineno for call in calls if ast.unparse(call.func) == "print"]
    assert not prints or (is_command(name) and not within(name, "mdcore"))


@every_module
def test_command_lines_are_not_imported(name: str) -> None:
    assert not [other for other in imports(name) & MODULES.keys() if is_command(other)]


@every_module_of_the_library
def test_mdcore_unpickles_nothing(name: str) -> None:
    assert not imports(name) & {"pickle", "dill", "joblib", "shelve", "marshal"}
    calls = [ast.unparse(n.func) for n in ast.walk(tree(name)) if isinstance(n, ast.Call)]
    assert "torch.load" not in calls
