"""Refuse packed maps whose keys are no texts, before they are decoded: their hashes may be chosen.

A dict of 20,000 keys of one hash takes seconds. Only text and bytes have hashes that nobody knows. So a map
of more than a thousand bytes with other keys is found first, without decoding what it holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import inspect

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGE: Final = 1_000
"""The largest packed value, in bytes, that is decoded as it is: it has few keys."""

_DEEPEST: Final = 32  # each level of nesting is looked through once

_SAFE: Final = (
    *(inspect.StrType, inspect.BytesType, inspect.DateType, inspect.NoneType, inspect.BoolType),
    *(inspect.EnumType, inspect.LiteralType),
)
"""Keys whose hashes nobody knows, or that are few."""

_texts = msgspec.msgpack.Decoder(dict[str, Any]).decode
_parts_of_map = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode
_parts_of_list = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


def is_map(first: int) -> bool:
    """Return whether a packed value that begins with the byte ``first`` is a map."""
    return 0x80 <= first <= 0x8F or first in {0xDE, 0xDF}


def refuse_other_keys(packed: bytes, *, inside_only: bool = False) -> None:
    """Raise `ValueError` when a large map in ``packed`` has other keys than texts.

    Extensions are not looked into: whoever decodes them does that.

    :param inside_only: whether the keys of ``packed`` itself are looked at by the caller.
    """
    try:
        _look(packed, _DEEPEST, inside_only=inside_only)
    except msgspec.ValidationError as error:
        raise ValueError(f"it has {LARGE} bytes or more, and keys that are no texts: {error}") from None


def _look(packed: bytes, depth: int, *, inside_only: bool) -> None:
    if len(packed) <= LARGE:
        return
    if packed.find(b"\xde", 1) < 0 and packed.find(b"\xdf", 1) < 0:  # no map with more than 15 keys is inside
        if not inside_only and is_map(packed[0]):
            _texts(packed)
        return
    if not depth:
        raise ValueError(f"it is nested more than {_DEEPEST} deep")
    if is_map(packed[0]):
        parts = list(_parts_of_map(packed).values())
    elif 0x90 <= packed[0] <= 0x9F or packed[0] in {0xDC, 0xDD}:
        parts = _parts_of_list(packed)
    else:
        return
    for part in map(bytes, parts):
        if len(part) > LARGE:
            _look(part, depth - 1, inside_only=False)


def has_part(value_type: Any, *, of_keys: bool) -> bool:
    """Return whether a type has dicts or sets with keys that are not safe, or else parts of any type."""
    parts = list(_parts(inspect.type_info(value_type), set()))
    if not of_keys:
        return any(isinstance(part, inspect.AnyType) for part in parts)
    keys = [part.key_type for part in parts if isinstance(part, inspect.DictType)]
    keys += [part.item_type for part in parts if isinstance(part, inspect.SetType | inspect.FrozenSetType)]
    return not all(isinstance(kind, _SAFE) for key in keys for kind in _kinds(key))


def _kinds(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    if isinstance(kind, inspect.Metadata):
        return _kinds(kind.type)
    return kind.types if isinstance(kind, inspect.UnionType) else (kind,)


def _parts(value: object, seen: set[int]) -> Iterator[inspect.Type]:
    """Yield all types in what msgspec tells of a type, whose descriptions refer to each other."""
    if isinstance(value, tuple):
        for part in value:
            yield from _parts(part, seen)
    elif isinstance(value, inspect.Field):
        yield from _parts(value.type, seen)
    elif isinstance(value, inspect.Type) and id(value) not in seen:
        seen.add(id(value))
        yield value
        for name in value.__struct_fields__:
            yield from _parts(getattr(value, name), seen)
