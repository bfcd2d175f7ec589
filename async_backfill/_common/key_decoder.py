"""Decode keys: what `key_codec` encodes, or bytes that anybody may have made.

Nothing that is decoded names a class to be imported: only classes that were given are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from async_backfill._common.key_classes import GIVE, UnknownClassError
from async_backfill._common.key_scalars import DECODERS, EXACT_ENCODERS, as_type
from async_backfill._common.key_types import name_of
from async_backfill._common.typed_key import TypedKey

if TYPE_CHECKING:
    from collections.abc import Hashable

    from async_backfill._common.key_classes import KeyClasses

DEEPEST: Final = 100
"""How deep a key may be nested."""

_LONGEST_COUNT: Final = 20
_PARTED: Final = frozenset({b"(", b"{", b"T", b"@", b"&"})  # marks of keys of several parts
_NUMBERS: Final = frozenset({int, *EXACT_ENCODERS})


class KeyDecoder:
    """Decodes keys of standard types and of ``classes``."""

    def __init__(self, classes: KeyClasses) -> None:
        self._classes = classes

    def decode(self, data: bytes, depth: int) -> Hashable:
        """Return the key in ``data``, nested at most ``depth`` deep; may raise any `Exception`."""
        mark, rest = data[:1], data[1:]
        decode = DECODERS.get(mark)
        if depth < 0:
            raise ValueError("it is nested too deep")
        if decode is not None:
            return decode(rest)
        if mark not in _PARTED:
            raise ValueError(f"unknown mark {mark!r}")
        found = split(rest)
        if mark in {b"(", b"{"}:
            parts = [self.decode(part, depth - 1) for part in found]
            return tuple(parts) if mark == b"(" else frozenset(parts)
        name, *inner = found[0].decode("utf-8", "surrogatepass"), *found[1:]
        made = tuple([self.decode(part, depth - 1) for part in inner])
        if mark == b"T":
            return TypedKey(self._as(name[1:], *made))
        given, own = self._classes.by_name.get(name), self._classes.types_by_name.get(name)
        if mark == b"@" and given in self._classes.shapes:
            key: Hashable = self._classes.shapes[given].make(made)
        elif mark == b"&" and own is not None:
            key = own.decode(*made)
        else:
            raise UnknownClassError(GIVE.format(name.rpartition(":")[2]))
        hash(key)
        return key

    def _as(self, name: str, key: Hashable) -> Hashable:
        """Return the key of the class called ``name`` that is equal to ``key``."""
        kind = self._classes.by_name.get(name)
        if kind is not None and type(key) is not kind:
            if kind in _NUMBERS:
                key = as_type(kind, key)
            else:
                shape = self._classes.shapes.get(kind)
                key = kind(key) if shape is None else shape.make(key if type(key) is tuple else (key,))
        if type(key) is not kind and name_of(type(key)) != name:
            raise UnknownClassError(GIVE.format(name.rpartition(":")[2]))
        return key


def is_packed(data: bytes) -> bool:
    """Return whether ``data`` is in the form of a key, whatever its class is; no key is made of its parts."""
    mark, rest = data[:1], data[1:]
    decode = DECODERS.get(mark)
    try:
        if decode is None:
            split(rest)
        else:
            decode(rest)
    except Exception:  # noqa: BLE001 - decoders raise what they like
        return False
    return decode is not None or mark in _PARTED


def split(data: bytes) -> list[bytes]:
    """Return the parts of a key of several parts."""
    parts, at = [], 0
    while at < len(data):
        colon = data.index(b":", at, at + _LONGEST_COUNT)
        count = data[at:colon]
        end = colon + 1 + int(count)
        if not count.isdigit() or end > len(data):
            raise ValueError("it is cut off")
        parts.append(data[colon + 1 : end])
        at = end
    return parts
