"""Batch requests: one request for many keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, Literal
from urllib.parse import urlencode

import msgspec

from async_backfill._common.loose_types import K, V
from async_backfill._common.validation import text, whole
from async_backfill.errors import ConfigurationError
from async_backfill.sources.http._template import without_user

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from async_backfill.outcomes import Failed

_TOO_LONG: Final = frozenset({413, 414, 431})  # the content, the URI, the header fields
_NO_STATUS: Final = 600


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """An HTTP request: ``content`` is its body; ``headers`` are sent in addition to those of the source."""

    method: Literal["GET", "POST"]
    url: str
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Generic[K, V]):
    """The form of a batch request, and how to read its answer.

    ``request``
        a function that makes the request for some keys; `post_keys` and `get_keys` return such functions.
    ``read``
        a function that returns the values by key from the body of an answer with status 200; a missing key
        does not exist. ``None`` reads a JSON object whose names are the keys as text, and whose values have
        the source's ``value_type``.
    ``max_keys``
        the largest number of keys in one request, 2 or more; a single key is asked for by its own URL.
    ``too_long``
        the error statuses that mean that a request is too long: its keys are asked for in halves, and later
        requests have fewer, down to a single key.

    :raises ConfigurationError: when ``max_keys`` is less than 2, or ``too_long`` has no error statuses.
    """

    request: Callable[[Sequence[K]], BatchRequest]
    read: Callable[[bytes], Mapping[K, V | Failed]] | None = None
    max_keys: int = 100
    too_long: Collection[int] = _TOO_LONG

    def __post_init__(self) -> None:
        whole("max_keys", self.max_keys, least=2)
        if not all(whole("too_long", status, least=400) < _NO_STATUS for status in self.too_long):
            raise ConfigurationError(
                "too_long", f"must be statuses from 400 to 599, not {self.too_long!r:.100}"
            )


def post_keys(url: str, *, name: str = "keys") -> Callable[[Sequence[Any]], BatchRequest]:
    """Return a function for `Batch` that makes a POST to ``url`` with the JSON ``{"keys": [...]}``.

    :param name: the name to use in place of ``"keys"``.
    :raises ConfigurationError: when ``url`` is not an http or https URL, or has a user.
    """
    _check(url)
    text("name", name)

    def request(keys: Sequence[Any]) -> BatchRequest:
        content = msgspec.json.encode({name: list(keys)})
        return BatchRequest("POST", url, content, {"Content-Type": "application/json"})

    return request


def get_keys(url: str, *, name: str = "keys") -> Callable[[Sequence[Any]], BatchRequest]:
    """Return a function for `Batch` that makes a GET of ``url`` with the query ``?keys=a&keys=b``.

    :param name: the name to use in place of ``"keys"``.
    :raises ConfigurationError: when ``url`` is not an http or https URL, or has a user.
    """
    _check(url)
    text("name", name)
    joint = "&" if "?" in url else "?"

    def request(keys: Sequence[Any]) -> BatchRequest:
        return BatchRequest("GET", f"{url}{joint}{urlencode([(name, str(key)) for key in keys])}")

    return request


def _check(url: str) -> None:
    if without_user("url", url)[1] is not None:
        raise ConfigurationError(
            "url", "must not have a user: put it into the url of the source, or send a header"
        )
