"""The classes of keys that a user gave, beside the standard types."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Final

from async_backfill._common.key_scalars import ENCODERS, RefusalError
from async_backfill._common.key_types import (
    Shape,
    classes_in,
    classes_of_parts,
    equal_shape,
    name_of,
    shape_of,
)
from async_backfill._common.typed_key import TypedKey
from async_backfill.contracts import KeyType
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

GIVE: Final = "its class is not known here; say key_type={}"
_WITH_PARTS: Final = frozenset({tuple, frozenset})
_KNOWN: Final = frozenset({*ENCODERS, *_WITH_PARTS, TypedKey, object, Hashable})


class UnknownClassError(ValueError):
    """What is decoded is a key of a class that was not given."""


class KeyClasses:
    """The classes in ``key_type``: a class, a type annotation, a `KeyType`, or a tuple of these.

    The classes of the fields of a data class are among them.

    :raises ConfigurationError: when a class cannot be that of a key.
    """

    def __init__(self, key_type: Any) -> None:
        self.by_name: dict[str, type] = {kind.__name__: kind for kind in ENCODERS}
        """The classes by the name that they have in an encoded key, standard types included."""
        self.shapes: dict[type, Shape] = {}
        """What keys of a class are made of."""
        self.types: dict[type, KeyType[Any]] = {}
        """How keys of the classes of a `KeyType` are encoded."""
        self.types_by_name: dict[str, KeyType[Any]] = {}
        self._learn(classes_in(key_type), is_part=False)

    def _learn(self, classes: Iterable[type | KeyType[Any]], *, is_part: bool) -> None:
        for one in classes:
            if isinstance(one, KeyType):
                known = self.types.setdefault(one.type, one), self.types_by_name.setdefault(one.name, one)
                if known != (one, one) or one.type in _KNOWN:
                    raise ConfigurationError("key_type", f"has two types for {one.name!r} or {one.type!r}")
            elif one not in _KNOWN and one not in self.shapes and one not in self.types:
                try:
                    self._learn_class(one)
                except RefusalError as error:
                    if not is_part:
                        raise ConfigurationError("key_type", f"{one.__name__}: {error}") from None

    def _learn_class(self, kind: type) -> None:
        shape = shape_of(kind)
        if shape is None and base_of(kind) is None:
            raise RefusalError("is not a class of keys that is known; say key_type=KeyType(...)")
        shape = shape or equal_shape(kind)
        self.by_name[name_of(kind)] = kind
        if shape is not None:
            self.shapes[kind] = shape
            self._learn(classes_of_parts(kind), is_part=True)


def base_of(kind: type) -> type | None:
    """Return the standard type that ``kind`` inherits ``==`` and hash from; ``None`` when there is none."""
    for base in kind.__mro__:
        if base in ENCODERS or base in _WITH_PARTS:
            return base if kind.__eq__ is base.__eq__ and kind.__hash__ is base.__hash__ else None
    return None
