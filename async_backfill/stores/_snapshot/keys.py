"""The keys in a snapshot and in its log: as they are in a journal, so each comes back as what it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, cast

import msgspec

from async_backfill._common.key_classes import UnknownClassError
from async_backfill._common.key_codec import KeyCodec
from async_backfill.contracts import K
from async_backfill.errors import KeyRefusedError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

LOADED: Final = ord("+")
EVICTED: Final = ord("x")
CHANGED: Final = ord("-")
CLEARED: Final = ord("!")
UNKNOWN: Final = object()
"""Stands for a key whose class was given to the process that wrote it, and not to this one."""
_SURE: Final = frozenset({str, int})


class PackedKeys(Generic[K]):
    """Packs keys, and leaves out those that would not come back.

    :param key_type: the classes of keys that are no standard types.
    """

    def __init__(self, key_type: Any) -> None:
        self._codec = KeyCodec(key_type, exact=True)
        self._equal = KeyCodec(key_type)
        self._unpack = msgspec.msgpack.Decoder(list[bytes]).decode
        self._unpack_changes = msgspec.msgpack.Decoder(tuple[bytes, list[bytes]]).decode
        self._pack = msgspec.msgpack.Encoder().encode

    def one(self, key: K) -> bytes | None:
        """Return ``key`` as bytes; ``None`` when it would not come back as it is."""
        try:
            data = self._codec.encode(key)
        except KeyRefusedError:
            return None
        return data if type(key) in _SURE or self._codec.comes_back(key, data) else None

    def many(self, keys: Iterable[K]) -> bytes:
        """Return ``keys`` as bytes."""
        return self._pack([packed for key in keys if (packed := self.one(key)) is not None])

    def key(self, packed: bytes) -> object:
        """Return the key that `one` packed, or `UNKNOWN`; `ValueError` when it is damaged."""
        try:
            return self._codec.decode(packed)
        except UnknownClassError:
            return UNKNOWN

    def keys(self, packed: memoryview | bytes) -> list[K]:
        """Return the keys that `many` packed; `ValueError` when they are damaged."""
        return [cast("K", key) for one in self._unpack(packed) if (key := self.key(one)) is not UNKNOWN]

    def changes(self, kinds: bytes, keys: Sequence[K | None]) -> bytes:
        """Return what changed as bytes: the kind of each change, and its key, if it has one.

        What was loaded or evicted is left out when its key would not come back, what changed never.
        """
        rows: list[tuple[int, bytes]] = []
        for kind, key in zip(kinds, keys, strict=True):
            if key is None:
                rows.append((kind, b""))
            elif kind == CHANGED:
                rows.append(self._changed(key))
            elif (data := self.one(key)) is not None:
                rows.append((kind, data))
        return self._pack((bytes([kind for kind, _ in rows]), [data for _, data in rows]))

    def changes_of(self, packed: bytes) -> Iterator[tuple[int, K]]:
        """Yield the changes that `changes` packed; `ValueError` when they are damaged."""
        kinds, keys = self._unpack_changes(packed)
        for kind, one in zip(kinds, keys, strict=True):
            key = self.key(one) if one else None
            if key is not UNKNOWN:
                yield kind, cast("K", key)

    def _changed(self, key: Hashable) -> tuple[int, bytes]:
        """Return the row of a changed key: that of all keys where it is not known which are equal to it.

        An equal key of another class may be in the snapshot. So a change has the one form that all of them
        have, which tells nothing only to who could not have read any of them.
        """
        try:
            data = self._equal.encode(key)
            if type(key) in _SURE or (again := self.key(data)) is UNKNOWN or again == key:
                return CHANGED, data
        except (KeyRefusedError, ValueError):
            pass
        return CLEARED, b""
