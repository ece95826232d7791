"""The only place where a string chooses behaviour: a registry maps names to classes."""

import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

T = TypeVar("T")

Spec = Mapping[str, Any]
"""A name and its options as JSON: {"name": "polynomial", "exponent": 2.0}."""


class Registry(Generic[T]):
    """Names of one kind of thing, each with the class that implements it.

    >>> schedule = SCHEDULES.build({"name": "polynomial", "exponent": 2.0})
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._classes: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Return a class decorator that enters the class under `name`.

        Raises:
            ValueError: the name is taken.
        """

        def enter(cls: type[T]) -> type[T]:
            if name in self._classes:
                raise ValueError(
                    f"{self._kind} {name!r} is registered already; choose another name."
                )
            self._classes[name] = cls
            return cls

        return enter

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __getitem__(self, name: str) -> type[T]:
        if name not in self._classes:
            close = difflib.get_close_matches(str(name), self._classes, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            known = ", ".join(self._classes)
            raise ValueError(f"Unknown {self._kind} {name!r}.{hint} Known: {known}.")
        return self._classes[name]

    def build(self, spec: Spec, **context: Any) -> T:
        """Construct the class named by `spec`.

        Args:
            spec: "name" and the options that a user chose.
            context: facts that some of the classes need (a vocabulary's size); those that this
                class does not take are dropped.

        Raises:
            ValueError: the name or an option is unknown, or a needed option is missing.
        """
        if not isinstance(spec, Mapping) or "name" not in spec:
            raise ValueError(
                f'A {self._kind} is given as {{"name": ..., options}}, not as {spec!r}.'
            )
        cls = self[spec["name"]]
        taken = {
            key: parameter
            for key, parameter in inspect.signature(cls).parameters.items()
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        }
        options = {key: value for key, value in spec.items() if key != "name"}
        for key in options:
            if key not in taken:
                known = ", ".join(taken) or "none"
                raise ValueError(
                    f"{self._kind} {spec['name']!r} has no option {key!r}. Known: {known}."
                )
        options |= {
            key: value for key, value in context.items() if key in taken and key not in options
        }
        needed = [key for key, p in taken.items() if p.default is p.empty and key not in options]
        if needed:
            raise ValueError(f"{self._kind} {spec['name']!r} needs the option {needed[0]!r}.")
        return cls(**options)
