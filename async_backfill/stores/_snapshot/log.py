"""The log of what changed since a snapshot: records with a checksum or signature, appended one by one."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from struct import Struct
from threading import Lock
from typing import TYPE_CHECKING, Final, Generic
from zlib import crc32

from async_backfill._common.atomic_file import open_regular
from async_backfill._envelopes.signing import Signer
from async_backfill.contracts import K
from async_backfill.stores._snapshot.keys import CLEARED, EVICTED, LOADED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from async_backfill.stores._snapshot.keys import PackedKeys

_APPENDING: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
_LENGTH: Final = Struct(">I")
_HEAD: Final = 2 * _LENGTH.size
_DAMAGED: Final = "has a damaged log"


@dataclass(slots=True)
class Changes(Generic[K]):
    """What happened since a snapshot.

    ``is_cleared``, ``changed``, ``evicted``
        whether all of its values are no longer true, the keys of those that are not, and, oldest first, the
        keys that the cache did not hold any more.
    ``loaded``
        the keys that it held besides, the one loaded last last.
    ``size``
        the size of the log without a record that was cut off by a kill.
    """

    is_cleared: bool = False
    changed: set[K] = field(default_factory=set)
    evicted: dict[K, None] = field(default_factory=dict)
    loaded: dict[K, None] = field(default_factory=dict)
    size: int = 0

    def apply(self, kind: int, key: K) -> None:
        """Take note of one change."""
        if kind == CLEARED:
            self.is_cleared = True
            self.loaded.clear()
            return
        self.loaded.pop(key, None)
        if kind == LOADED:
            self.evicted.pop(key, None)
            self.loaded[key] = None
        elif kind == EVICTED:
            self.evicted[key] = None
        else:
            self.changed.add(key)


class LogCodec(Generic[K]):
    """Encodes and decodes the records of logs; a log has a name, which its signatures cover.

    A record: its length, the checksum of that, the checksum or signature of what follows, and the kinds and
    keys of some changes.
    """

    def __init__(self, keys: PackedKeys[K], signing_key: bytes | None) -> None:
        self._keys = keys
        self._signing_key = signing_key

    def record(self, kinds: bytes, keys: Sequence[K | None], log: str) -> bytes:
        """Return a record of that log: the kind of each change, and its key, if it has one."""
        payload = self._keys.changes(kinds, keys)
        length = _LENGTH.pack(len(payload))
        return length + _crc(length) + self._seal(log)(payload) + payload

    def changes(self, content: bytes, log: str) -> Changes[K]:
        """Return what that log says; its last record may be cut off by a kill.

        :raises ValueError: in one line, when it is damaged.
        """
        changes: Changes[K] = Changes()
        seal = self._seal(log)
        size, at = len(seal(b"")), 0
        while at + _HEAD <= len(content):
            begin = at + _HEAD + size
            if content[at + _LENGTH.size : at + _HEAD] != _crc(content[at : at + _LENGTH.size]):
                raise ValueError(_DAMAGED)
            (length,) = _LENGTH.unpack_from(content, at)
            payload = content[begin : begin + length]
            if len(payload) < length:
                break
            if content[at + _HEAD : begin] != seal(payload):
                raise ValueError(_DAMAGED)
            for kind, key in self._keys.changes_of(payload):
                changes.apply(kind, key)
            changes.size = at = begin + length
        return changes

    def _seal(self, log: str) -> Callable[[bytes], bytes]:
        return (
            _crc if self._signing_key is None else Signer(self._signing_key, b"snapshot log", log.encode()).of
        )


class ChangeLog:
    """The log of one snapshot: records are appended, and survive the process once `append` has returned.

    :param size: the size up to which a log that is there already is kept.
    """

    def __init__(self, path: Path, name: str, size: int = 0) -> None:
        self.name = name
        self.size = size
        self._path = path
        self._file: int | None = None
        self._is_over = False
        self._in_use = Lock()

    def append(self, content: bytes) -> None:
        """Append ``content``; `OSError` when not all of it was written. Opens the log if need be."""
        try:
            with self._in_use:
                if self._file is None and not self._is_over:
                    self._file = open_regular(self._path, _APPENDING)
                    os.ftruncate(self._file, self.size)
                if self._file is not None:
                    self._write(self._file, content)
        finally:
            if self._is_over:
                self.close()

    def close(self) -> None:
        """Append no more; never waits for an `append` that another thread has begun."""
        self._is_over = True
        if self._in_use.acquire(blocking=False):
            try:
                if self._file is not None:
                    os.close(self._file)
            finally:
                self._file = None
                self._in_use.release()

    def _write(self, file: int, content: bytes) -> None:
        left = content
        try:
            while left:
                left = left[os.write(file, left) :]
        except OSError:
            self._file = None  # who appends next opens it again, and cuts off what was written of this
            os.close(file)
            raise
        self.size += len(content)


def _crc(content: bytes) -> bytes:
    return _LENGTH.pack(crc32(content))
