"""What an answer says of its caching, and whether the client has it already: one rule for all frameworks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from async_backfill.errors import ConfigurationError
from async_backfill.frameworks._cache_headers import NOT_KEPT, cache_headers
from async_backfill.frameworks._entity_tags import checked_tag, entity_tag, has_it

if TYPE_CHECKING:
    from collections.abc import Iterable

    from async_backfill.stats import EntryFreshness


class Headers(Protocol):
    """The header fields of an answer, by name in any case."""

    def get(self, name: str, /) -> str | None: ...
    def setdefault(self, name: str, value: str, /) -> object: ...
    def __contains__(self, name: str, /) -> bool: ...
    def __setitem__(self, name: str, value: str, /) -> None: ...


def client_has(
    headers: Headers,
    *,
    method: str,
    status: int,
    body: object,
    asked: Iterable[str],
    freshness: EntryFreshness | None,
    etag: str | None,
    is_public: bool,
) -> bool:
    """Give ``headers`` what they lack, and return whether 304 is to be sent in place of the answer.

    See ``conditional`` of each framework.

    :param body: what is sent, in bytes; anything else is a stream.
    :param asked: the lines of If-None-Match.
    """
    if method not in {"GET", "HEAD"}:
        return False
    if status != 200:
        if status >= 400:
            headers.setdefault("Cache-Control", NOT_KEPT)
        return False
    tag = headers.get("ETag") if etag is None else checked_tag(etag)
    if tag is None:
        if not isinstance(body, (bytes, bytearray, memoryview)):
            raise ConfigurationError("etag", "is needed, as the body is a stream")
        tag = entity_tag(body)
    headers["ETag"] = tag
    if "Cache-Control" not in headers:
        for name, value in cache_headers(freshness, is_public=is_public).items():
            headers[name] = value
    return has_it(asked, tag)
