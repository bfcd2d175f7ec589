"""How keys of a user's class leave the process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

from async_backfill.contracts._types import K
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyType(Generic[K]):
    """How keys of a class of yours leave the process: into a far tier (L2), a message or a journal.

    Needed for a class that compares in a way of its own; standard types, enums, named tuples, frozen data
    classes and frozen Structs of msgspec are known.

    ``type``
        the class, exactly; a subclass needs a `KeyType` of its own.
    ``name``
        the name of the class there, the same in all processes that share keys; no other class may have it.
    ``encode``
        returns a key of standard types, such as text or a tuple, that stands for a key: the same for two keys
        that are equal, and different ones for two that are not.
    ``decode``
        returns the key for what ``encode`` returned.

    :raises ConfigurationError: for a type that is no class, or a name that is no text or empty.
    """

    type: type[K]
    name: str
    encode: Callable[[K], Hashable]
    decode: Callable[[Any], K]

    def __post_init__(self) -> None:
        if not isinstance(self.type, type):
            raise ConfigurationError("type", f"must be a class, not {self.type!r}")
        name: object = self.name
        if not (isinstance(name, str) and name):
            raise ConfigurationError("name", f"must be text, not empty, not {self.name!r}")
