"""Logs with one JSON object a line: Caddy, Traefik, nginx and others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from async_backfill._runner.logs.formats import lines_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill._runner.logs.filters import Filters

PATHS: Final = ("request.uri", "RequestPath", "request_uri", "uri", "path", "url")
"""The fields in which logs of requests have the path, the first one that there is."""

_METHODS: Final = ("request.method", "RequestMethod", "request_method", "method")
_STATUSES: Final = ("DownstreamStatus", "status", "status_code")


class JsonField:
    """A log with one JSON object a line; the key is ``field``, such as ``request.uri``.

    A key that is a path or a URL is taken without ``?`` and the query.
    """

    def __init__(self, field: str, filters: Filters | None = None) -> None:
        self._steps = field.split(".")
        self._filters = filters
        self._decode = msgspec.json.Decoder().decode
        self.description = f"JSON lines, key: the field {field}"
        self.expected = f"a JSON object with the field {field}"

    def keys(self, text: str) -> tuple[Sequence[str], int]:
        """Return the field of each object."""
        lines = lines_of(text)
        keys = []
        for line in lines:
            try:
                found = self._decode(line)
            except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
                continue
            key = value_at(found, self._steps)
            if (isinstance(key, str) and key[:1] == "/") or (isinstance(key, str) and "://" in key[:10]):
                key = key.partition("?")[0]
            if (
                key is not None
                and not isinstance(key, (dict, list, bool))
                and key != ""
                and self._allows(found)
            ):
                keys.append(str(key))
        return keys, len(lines)

    def rest(self) -> tuple[Sequence[str], int]:
        """Return nothing."""
        return (), 0

    def _allows(self, found: object) -> bool:
        if self._filters is None:
            return True
        return self._filters.allows(_first(found, _METHODS), _first(found, _STATUSES))


def path_field(found: object) -> str | None:
    """Return the field of the object ``found`` that is the path of a request, if there is one."""
    return next((name for name in PATHS if isinstance(value_at(found, name.split(".")), str)), None)


def value_at(found: object, steps: Sequence[str]) -> Any:
    """Return the value that ``steps`` lead to in ``found``, or ``None``; a whole name wins over its parts."""
    if isinstance(found, dict) and len(steps) > 1 and (name := ".".join(steps)) in found:
        return found[name]
    for step in steps:
        if not isinstance(found, dict):
            return None
        found = found.get(step)
    return found


def _first(found: object, names: Sequence[str]) -> str:
    values = (value_at(found, name.split(".")) for name in names)
    return str(next((value for value in values if value is not None), ""))
