"""Entity tags, and whether a client has what would be sent: RFC 9110, sections 8.8.3 and 13.1.2."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

_TAG: Final = re.compile(r'(?:W/)?"(?P<opaque>[\x21\x23-\x7e\x80-\xff]*)"')
_LIST: Final = re.compile(rf"[ \t,]*{_TAG.pattern}[ \t]*(?=,|$)")
OF_THE_BODY: Final = frozenset(
    {
        "content-type",
        "content-length",
        "content-encoding",
        "content-language",
        "content-range",
        "last-modified",
    }
)
"""Header fields that an answer without its body does not send: RFC 9110, section 15.4.5."""


def entity_tag(body: bytes | bytearray | memoryview) -> str:
    """Return a strong entity tag of ``body``: other bytes have another one."""
    return f'"{blake2b(body, digest_size=16).hexdigest()}"'


def checked_tag(tag: str) -> str:
    """Return ``tag`` if it is an entity tag.

    :raises ConfigurationError: when it is none.
    """
    if _TAG.fullmatch(tag) is None:
        raise ConfigurationError("etag", f"{tag!r} is no entity tag; write it in quotes, such as '\"v7\"'")
    return tag


def has_it(asked: Iterable[str], tag: str) -> bool:
    """Return whether the lines ``asked`` of If-None-Match name ``tag``, by weak comparison, or are ``*``.

    A line that is no list of entity tags names those before its mistake.
    """
    opaque = _TAG.fullmatch(tag)
    for line in asked:
        if line.strip() == "*":
            return True
        place = 0
        while (found := _LIST.match(line, place)) is not None:
            if opaque is not None and found["opaque"] == opaque["opaque"]:
                return True
            place = found.end()
    return False
