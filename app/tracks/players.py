"""Adversaries that play a published attack: the attack's fields, title and source are theirs."""

import dataclasses
import functools
import importlib
from typing import Any, ClassVar, TypeVar, get_type_hints

from app.tracks.base import Adversary


class Player(Adversary):
    """Plays one attack; a track says in `__call__` how an attack becomes an answer."""

    attack: ClassVar[type]

    def made(self) -> Any:
        """The attack with this player's fields."""
        return self.attack(**{field.name: getattr(self, field.name) for field in dataclasses.fields(self.attack)})


P = TypeVar("P", bound=Player)


@functools.cache
def player(kind: type[P], place: str, **shared: Any) -> P:
    """A frozen dataclass of this kind that plays the attack at "package.module:Class" with its default fields.

    The attack, and the libraries that it needs, are imported here. `shared` become class attributes.
    """
    module, _, name = place.partition(":")
    attack: Any = getattr(importlib.import_module(module), name)
    hints = get_type_hints(attack)
    fields = [
        (field.name, hints[field.name], dataclasses.field(default=field.default, metadata=field.metadata))
        for field in dataclasses.fields(attack)
    ]
    own = {"attack": attack, "title": attack.title, "source": attack.source, "__doc__": attack.__doc__}
    namespace = {**own, "__module__": kind.__module__, **shared}
    made: type[P] = dataclasses.make_dataclass(attack.__name__, fields, bases=(kind,), namespace=namespace, frozen=True)
    return made()
