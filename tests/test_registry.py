"""The registries: a name becomes a class, and a wrong one a helpful message."""

import inspect
from typing import Any

import pytest

from mdcore.backbones import BACKBONES
from mdcore.codecs import CODECS
from mdcore.filters import FILTERS
from mdcore.registry import Registry
from mdcore.sampling import SAMPLERS
from mdcore.schedules import SCHEDULES

REGISTRIES = {
    "schedule": SCHEDULES,
    "sampler": SAMPLERS,
    "filter": FILTERS,
    "codec": CODECS,
    "backbone": BACKBONES,
}
NAMES = [(kind, name) for kind, registry in REGISTRIES.items() for name in registry]


@pytest.fixture
def animals() -> Registry[Any]:
    registry: Registry[Any] = Registry("animal")

    @registry.register("cat")
    class Cat:
        def __init__(self, lives: int, owner: str = "nobody") -> None:
            self.lives, self.owner = lives, owner

    @registry.register("dog")
    class Dog:
        def __init__(self) -> None:
            self.lives = 1

    return registry


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_a_misspelt_name_gets_the_right_one_suggested(kind: str, name: str) -> None:
    wrong = f"x{name}"
    with pytest.raises(ValueError, match=f"Unknown {kind} '{wrong}'") as error:
        REGISTRIES[kind].build({"name": wrong})
    message = str(error.value)
    assert f"Did you mean {name!r}?" in message
    assert all(known in message.split("Known: ")[1] for known in REGISTRIES[kind])


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_an_option_that_is_not_there(kind: str, name: str) -> None:
    with pytest.raises(
        ValueError, match=f"{kind} '{name}' has no option 'colour'. Known: "
    ) as error:
        REGISTRIES[kind].build({"name": name, "colour": "red"})
    known = str(error.value).split("Known: ")[1].rstrip(".").split(", ")
    parameters = inspect.signature(REGISTRIES[kind][name]).parameters.values()
    named = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    assert known == (named or ["none"])


@pytest.mark.parametrize("kind", ["sampler", "filter"])
def test_every_option_has_a_default(kind: str) -> None:
    for name in REGISTRIES[kind]:
        assert type(REGISTRIES[kind].build({"name": name})) is REGISTRIES[kind][name]


def test_a_name_like_no_other_has_no_suggestion(animals: Registry[Any]) -> None:
    with pytest.raises(ValueError, match="Unknown animal 'platypus'") as error:
        animals.build({"name": "platypus"})
    assert str(error.value) == "Unknown animal 'platypus'. Known: cat, dog."


def test_context_fills_what_the_spec_leaves_open(animals: Registry[Any]) -> None:
    assert animals.build({"name": "cat"}, lives=9).lives == 9
    assert animals.build({"name": "cat", "lives": 7}, lives=9).lives == 7
    assert animals.build({"name": "dog"}, lives=9).lives == 1
    assert animals.build({"name": "cat", "owner": "Ada"}, lives=9).owner == "Ada"


@pytest.mark.parametrize("spec", ["cat", {"lives": 9}, None, ["cat"]])
def test_a_spec_is_a_mapping_with_a_name(animals: Registry[Any], spec: Any) -> None:
    with pytest.raises(ValueError, match=r'given as {"name": ..., options}, not as'):
        animals.build(spec)


def test_a_needed_option_is_named(animals: Registry[Any]) -> None:
    with pytest.raises(ValueError, match="animal 'cat' needs the option 'lives'"):
        animals.build({"name": "cat"})


def test_a_name_is_given_once(animals: Registry[Any]) -> None:
    with pytest.raises(ValueError, match="'cat' is registered already; choose another name"):
        animals.register("cat")(int)
    assert list(animals) == ["cat", "dog"]
