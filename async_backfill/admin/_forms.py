"""The fields of a form that a browser has sent."""

from __future__ import annotations

import re
from contextlib import aclosing
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from async_backfill.admin._keys import typed_key
from async_backfill.admin._refusals import RefusedError
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from starlette.requests import Request

_KIND: Final = "application/x-www-form-urlencoded"
_LARGEST: Final = 1 << 16
_MOST_FIELDS: Final = 50
_LONGEST: Final = 1_000
_WHOLE: Final = re.compile(r"[0-9]{1,15}")
_DECIMAL: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")


class Form:
    """The fields of a form, by name; a field that was sent twice counts once, as sent first."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._fields = dict(reversed(fields))

    def text(self, name: str) -> str | None:
        """Return a field without the spaces around it; ``None`` when it is missing or empty."""
        said = self._fields.get(name, "").strip()
        if len(said) > _LONGEST:
            raise ConfigurationError(name, f"has more than {_LONGEST:,} characters")
        return said or None

    def required(self, name: str) -> str:
        """Return a field that must not be empty."""
        said = self.text(name)
        if said is None:
            raise ConfigurationError(name, "is empty: fill it in")
        return said

    def whole(self, name: str) -> int | None:
        """Return a whole number, ``None`` when the field is empty."""
        said = self.text(name)
        if said is not None and _WHOLE.fullmatch(bare := said.replace(",", "")) is None:
            raise ConfigurationError(name, f"{said!r:.60} is not a whole number")
        return None if said is None else int(bare)

    def number(self, name: str) -> float | None:
        """Return a number, ``None`` when the field is empty."""
        said = self.text(name)
        if said is not None and _DECIMAL.fullmatch(bare := said.replace(",", "")) is None:
            raise ConfigurationError(name, f"{said!r:.60} is not a number")
        return None if said is None else float(bare)

    def is_ticked(self, name: str) -> bool:
        """Return whether a box is ticked."""
        return self.text(name) is not None

    def key(self) -> Hashable:
        """Return the key that a person has typed: a text, or of the type in the field ``key_type``."""
        return typed_key(self._fields.get("key", ""), self.text("key_type") or "str")


async def read_form(request: Request) -> Form:
    """Return the form in the body of ``request``, which is read in bounded memory."""
    if kind_of(request) != _KIND:
        raise RefusedError(415, "This is not a form of this page: go back and use the form.")
    body = await read_body(request)
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise RefusedError(400, "The form cannot be read: go back and send it again.") from None
    return Form(fields)


async def read_body(request: Request) -> bytes:
    """Return the body of ``request``, which is read in bounded memory."""
    body = b""
    async with aclosing(request.stream()) as stream:
        async for chunk in stream:
            body += chunk
            if len(body) > _LARGEST:
                raise RefusedError(413, f"What was sent has more than {_LARGEST:,} bytes.")
    return body


def kind_of(request: Request) -> str:
    """Return the type of the body of ``request``."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def job_id_of(request: Request) -> int:
    """Return the number of the job in the address of ``request``."""
    text = request.path_params["job"]
    if not _WHOLE.fullmatch(text):
        raise RefusedError(404, "There is no such job.")
    return int(text)
