"""One request for many keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal
from urllib.parse import urlencode

import msgspec

from async_backfill._common.validation import text, whole
from async_backfill.contracts import K, V
from async_backfill.errors import ConfigurationError
from async_backfill.sources.http._template import without_user

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from async_backfill.outcomes import Failed


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """A request: ``content`` is its body; ``headers`` are sent besides those of the source."""

    method: Literal["GET", "POST"]
    url: str
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Generic[K, V]):
    """How a service is asked for many keys at once.

    ``request``
        makes the request for some keys; `post_keys` and `get_keys` return such functions.
    ``read``
        makes the values by key from the body of an answer with status 200; keys that are missing do not
        exist. ``None`` reads a JSON object whose names are the keys as text, and whose values have the
        source's ``value_type``.
    ``max_keys``
        keys in one request at the most; one is asked for alone, by its own URL.

    :raises ConfigurationError: when ``max_keys`` is less than 2.
    """

    request: Callable[[Sequence[K]], BatchRequest]
    read: Callable[[bytes], Mapping[K, V | Failed]] | None = None
    max_keys: int = 100

    def __post_init__(self) -> None:
        whole("max_keys", self.max_keys, least=2)


def post_keys(url: str, *, name: str = "keys") -> Callable[[Sequence[Any]], BatchRequest]:
    """Return what makes a POST to ``url`` with the JSON ``{"keys": [...]}``; ``name`` is in place of "keys".

    :raises ConfigurationError: when ``url`` is none of http or https, or has a user.
    """
    _check(url)
    text("name", name)

    def request(keys: Sequence[Any]) -> BatchRequest:
        content = msgspec.json.encode({name: list(keys)})
        return BatchRequest("POST", url, content, {"Content-Type": "application/json"})

    return request


def get_keys(url: str, *, name: str = "keys") -> Callable[[Sequence[Any]], BatchRequest]:
    """Return what makes a GET of ``url`` with the query ``?keys=a&keys=b``; ``name`` is in place of "keys".

    :raises ConfigurationError: when ``url`` is none of http or https, or has a user.
    """
    _check(url)
    text("name", name)
    joint = "&" if "?" in url else "?"

    def request(keys: Sequence[Any]) -> BatchRequest:
        return BatchRequest("GET", f"{url}{joint}{urlencode([(name, str(key)) for key in keys])}")

    return request


def _check(url: str) -> None:
    if without_user("url", url)[1] is not None:
        raise ConfigurationError("url", "has a user; give it in the url of the source, or as a header")
