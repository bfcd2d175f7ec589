"""Classes of keys: what they are made of, and how a key of them is made again."""

from __future__ import annotations

import dataclasses
import sys
import types
from collections.abc import Callable, Iterable, Iterator  # noqa: TC003 - annotations of fields are read
from dataclasses import dataclass
from enum import Enum, Flag
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from async_backfill._common.key_scalars import RefusalError
from async_backfill.contracts import KeyType

_GENERATED: Final = ("co_code", "co_names", "co_varnames")


@dataclass(frozen=True, slots=True)
class Shape:
    """What keys of a class ``kind`` are made of: the ``parts`` of one, and ``make``, one from its parts."""

    kind: type
    name: str
    parts: Callable[[Any], tuple[Any, ...]]
    make: Callable[[tuple[Any, ...]], Any]


def shape_of(kind: type) -> Shape | None:
    """Return the shape of an enum, a frozen data class or a frozen msgspec ``Struct``; ``None`` for others.

    :raises RefusalError: for one that is compared otherwise than by its parts, or that has no name.
    """
    if issubclass(kind, Enum) and kind.__eq__ is object.__eq__ and kind.__hash__ is Enum.__hash__:
        if issubclass(kind, Flag):
            return Shape(kind, name_of(kind), lambda key: (key.value,), lambda parts: kind(*parts))
        return Shape(kind, name_of(kind), lambda key: (key.name,), lambda parts: kind[parts[0]])
    if dataclasses.is_dataclass(kind):
        return _data_class(kind)
    if hasattr(kind, "__struct_config__"):
        return _struct(kind)
    return None


def equal_shape(kind: type) -> Shape | None:
    """Return the shape of a named tuple or an enum whose keys are equal to plain ones; else ``None``."""
    if issubclass(kind, Enum):
        return Shape(kind, name_of(kind), lambda key: (key._value_,), lambda parts: kind(*parts))
    if issubclass(kind, tuple) and hasattr(kind, "_make") and hasattr(kind, "_fields"):
        return Shape(kind, name_of(kind), tuple, kind._make)
    return None


def name_of(kind: type) -> str:
    """Return the name of ``kind``, which no other class of this process has.

    :raises RefusalError: when it is not found where its name says, as a class inside a function.
    """
    found: Any = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        found = getattr(found, name, None)
    if found is not kind:
        raise RefusalError("its class is not at the top of a module; say key_type=KeyType(...) with a name")
    return f"{kind.__module__}:{kind.__qualname__}"


def _data_class(kind: Any) -> Shape:
    if not kind.__dataclass_params__.frozen:
        raise RefusalError("its data class is not frozen")
    fields = [field for field in dataclasses.fields(kind) if field.compare]
    names = [field.name for field in fields]
    if not _is_generated(kind.__eq__, dataclasses.fields(kind)):
        raise RefusalError("its class has an __eq__ of its own; say key_type=KeyType(...)")

    def make(parts: tuple[Any, ...]) -> Any:
        return kind(**dict(zip(names, parts, strict=True)))

    return Shape(kind, name_of(kind), lambda key: tuple([getattr(key, name) for name in names]), make)


def _is_generated(equal: Any, fields: Iterable[dataclasses.Field[Any]]) -> bool:
    """Return whether ``equal`` is what `dataclasses` makes of ``fields``."""
    like = [(field.name, Any, dataclasses.field(compare=field.compare)) for field in fields]
    made = dataclasses.make_dataclass("_Like", like, frozen=True).__eq__
    mine, theirs = getattr(equal, "__code__", None), made.__code__
    return mine is not None and all(getattr(mine, name) == getattr(theirs, name) for name in _GENERATED)


def _struct(kind: Any) -> Shape:
    config, names = kind.__struct_config__, kind.__struct_fields__
    base = next(parent for parent in kind.__mro__ if parent.__module__ == "msgspec")
    if not (config.frozen and config.eq):
        raise RefusalError("its Struct is not frozen, or is compared by identity")
    if kind.__eq__ is not base.__eq__:
        raise RefusalError("its class has an __eq__ of its own; say key_type=KeyType(...)")

    def make(parts: tuple[Any, ...]) -> Any:
        return kind(**dict(zip(names, parts, strict=True)))

    return Shape(kind, name_of(kind), lambda key: tuple([getattr(key, name) for name in names]), make)


def classes_in(annotation: Any) -> Iterator[type | KeyType[Any]]:
    """Yield the classes that a type annotation names, and the `KeyType` in a tuple or list of those."""
    if annotation is Any:
        return
    if isinstance(annotation, tuple | list):
        for one in annotation:
            yield from classes_in(one)
    elif (origin := get_origin(annotation)) is not None:
        if isinstance(origin, type) and origin not in {types.UnionType, Annotated}:
            yield origin
        for one in get_args(annotation)[: 1 if origin is Annotated else None]:
            yield from classes_in(one)
    elif isinstance(annotation, type | KeyType):
        yield annotation
    elif (value := getattr(annotation, "__value__", None)) is not None:  # the alias of a type
        yield from classes_in(value)


def classes_of_parts(kind: type) -> Iterator[type | KeyType[Any]]:
    """Yield the classes that the annotations of ``kind`` name, as far as they can be read."""
    try:
        hints = get_type_hints(kind)
    except Exception:  # noqa: BLE001 - an annotation may hold anything; such a class is named explicitly
        return
    for hint in hints.values():
        yield from classes_in(hint)
