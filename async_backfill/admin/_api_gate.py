"""Who may ask the API, and what they send: JSON, and a token in a header that no browser sends by itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from starlette.responses import Response

from async_backfill.admin._forms import Form, kind_of, read_body
from async_backfill.admin._keys import key_of_json, typed_key
from async_backfill.admin._refusals import RefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Mapping

    from starlette.requests import Request

    from async_backfill.admin._access import Visitor
    from async_backfill.admin._gate import Gate

    Answer: TypeAlias = Mapping[str, Any]
    Read: TypeAlias = Callable[[Request], Awaitable[Answer]]
    Ask: TypeAlias = Callable[[Request, Visitor, Form], Awaitable[Answer]]
    Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
    Exposition: TypeAlias = Callable[[], bytes | Awaitable[bytes]]

API: Final = "/api/"
"""What the addresses of the API begin with."""

_JSON: Final = "application/json"
_EXPOSITION: Final = "text/plain; version=0.0.4; charset=utf-8"
_MOST_FIELDS: Final = 50
_NO_OBJECT: Final = "The body must be one JSON object, such as {}."


class Fields(Form):
    """The fields of a JSON object, read as those of a form: numbers as written, ``true`` as a tick."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__(
            [(name, said) for name, value in given.items() if (said := _text(value)) is not None]
        )
        self._given = given

    def key(self) -> Hashable:
        """Return the key: the value of the field ``key``, or of the type ``key_type`` where it is a text."""
        key = self._given.get("key")
        return typed_key(key, self.text("key_type") or "str") if isinstance(key, str) else key_of_json(key)


class ApiGate:
    """Lets the requests of programs through: who asks is said by `Gate.program`."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def read(self, read: Read) -> Endpoint:
        """Answer those who may look."""

        async def endpoint(request: Request) -> Response:
            self._gate.program(request)
            return api_answer(await read(request))

        return endpoint

    def metrics(self, exposition: Exposition) -> Endpoint:
        """Answer those who may look with what Prometheus scrapes."""

        async def endpoint(request: Request) -> Response:
            self._gate.program(request)
            told = exposition()
            return Response(told if isinstance(told, bytes) else await told, media_type=_EXPOSITION)

        return endpoint

    def ask(self, ask: Ask, *, changes: bool = True) -> Endpoint:
        """Answer those who send an object, and may change something if it ``changes`` anything."""

        async def endpoint(request: Request) -> Response:
            visitor = self._gate.program(request)
            if changes:
                self._gate.require_change(visitor)
            return api_answer(await ask(request, visitor, await _fields(request)))

        return endpoint


def api_answer(data: Any, status: int = 200) -> Response:
    """Return ``data`` as JSON in ASCII, whatever texts are in it."""
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    return Response(json.dumps(data), status, media_type=_JSON, headers=headers)


async def _fields(request: Request) -> Fields:
    if kind_of(request) != _JSON:
        raise RefusedError(415, f"Send {_JSON}.")
    try:
        given = json.loads(await read_body(request), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise RefusedError(400, _NO_OBJECT) from None
    if not isinstance(given, dict) or len(given) > _MOST_FIELDS:
        raise RefusedError(400, _NO_OBJECT)
    return Fields(given)


def _refuse(_: str) -> None:
    raise ValueError


def _text(value: Any) -> str | None:
    match value:
        case None | False:
            return None
        case True:
            return "yes"
        case str():  # half a character of UTF-16 could be written to no log
            return value.encode(errors="replace").decode()
        case int() | float():
            return str(value)
    return ""
