"""The heat of keys in a file, so that a restarted process knows what was hot."""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anyio import to_thread

from async_backfill.contracts import Heats
from async_backfill.durable import replace_file
from async_backfill.errors import JournalError

if TYPE_CHECKING:
    import os
    from collections.abc import Hashable, Sequence

_FORMAT: Final = "async_backfill journal"
_VERSION: Final = 1
_PLAIN: Final = (str, int, bool, type(None))


class JournalFile:
    """A journal in one file, replaced whole each time: a crash leaves the one before.

    The file is text: a line of JSON that names the format and its version, a line for each key with
    its heat, hottest first, and a line with the checksum of all before it. Keys are what JSON can
    hold (text, numbers, true, false, null) and tuples of them, and come back as what they were; any
    other key is left out and counted in the first line.

    :param path: of the file; its folder must exist.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    async def load(self) -> Heats[Any] | None:
        """Return what was saved last; ``None`` when there is no file yet.

        :raises JournalError: when the file is damaged, something else, or of a newer version.
        :raises OSError: when it cannot be read.
        """
        try:
            content = await to_thread.run_sync(self._path.read_bytes)
        except FileNotFoundError:
            return None
        try:
            return await to_thread.run_sync(_decode, content)
        except ValueError as error:
            raise JournalError(f"{self._path}: not a usable journal of hot keys: {error}") from None

    async def save(self, heats: Heats[Any], /) -> None:
        """Put ``heats`` in place of what was saved before.

        :raises OSError: when the file system refuses; the old file is still there.
        """
        await replace_file(self._path, await to_thread.run_sync(_encode, heats))


def _encode(heats: Heats[Any]) -> bytes:
    hottest = sorted(heats.keys.items(), key=lambda item: item[1], reverse=True)
    lines = [json.dumps([heat, key]) for key, heat in hottest if _comes_back(key)]
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "keys": len(lines),
        "left_out": len(hottest) - len(lines),
        "hit_rate": heats.hit_rate,
    }
    content = "\n".join([json.dumps(header), *lines, ""]).encode()
    return content + _checksum(content)


def _decode(content: bytes) -> Heats[Any]:
    header = _header(content)
    body, _, last = content.rstrip(b"\n").rpartition(b"\n")
    body += b"\n"
    if last + b"\n" != _checksum(body) or not content.endswith(b"\n"):
        raise ValueError("the checksum does not fit, the file was cut off or changed")
    keys: dict[Hashable, float] = {}
    for line in body.splitlines()[1:]:
        heat, key = json.loads(line)
        keys[_as_key(key)] = heat
    return Heats(keys=keys, hit_rate=header["hit_rate"])


def _header(content: bytes) -> dict[str, Any]:
    first = content.partition(b"\n")[0]
    try:
        header = json.loads(first)
    except ValueError:
        header = None
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise ValueError("the first line does not say that it is one")
    if header.get("version") != _VERSION:
        raise ValueError(f"its version is {header.get('version')}, and this program reads version {_VERSION}")
    return header


def _checksum(content: bytes) -> bytes:
    return b"crc32 %08x\n" % zlib.crc32(content)


def _comes_back(key: object) -> bool:
    """Return whether ``key`` comes back from JSON as what it was: of the very types that JSON knows."""
    if type(key) is tuple:
        return all(map(_comes_back, key))
    if type(key) is float:
        return math.isfinite(key)
    return type(key) in _PLAIN


def _as_key(value: Any) -> Hashable:
    parts: Sequence[Any] = value
    return tuple(map(_as_key, parts)) if isinstance(value, list) else value
