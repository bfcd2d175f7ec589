"""Redirects: where one may lead, and what is sent there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast, get_args

from async_backfill.errors import ConfigurationError
from async_backfill.sources.http._answers import AnswerError
from async_backfill.sources.http._request_parts import parsed

if TYPE_CHECKING:
    from yarl import URL

Redirects: TypeAlias = Literal["same-origin", "any"]

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


def redirects_of(value: object) -> Redirects:
    """Return ``value`` if it is a `Redirects`, or raise `ConfigurationError`."""
    if value not in get_args(Redirects):
        raise ConfigurationError("redirects", f"must be 'same-origin' or 'any', not {value!r:.100}")
    return cast("Redirects", value)


def redirect_target(url: URL, location: str, shown: str, *, redirects: Redirects) -> URL:
    """Return the absolute URL of ``location``, a redirect from ``url``.

    :raises AnswerError: when the redirect must not be followed; of its target only the origin is shown.
    """
    try:
        target = parsed(str(url.join(type(url)(location))))
    except ValueError:
        target = None
    if target is None:
        raise AnswerError(f"{shown} redirects to a URL that is neither http nor https")
    if url.scheme == "https" and target.scheme == "http":
        raise AnswerError(f"{shown} redirects from https to http")
    target = target.with_user(None).with_fragment(None)
    if redirects == "same-origin" and not keeps_origin(url, target):
        raise AnswerError(
            f"{shown} redirects to another origin, {target.origin()}: "
            "if that is right, use it in url, or set redirects='any'"
        )
    return target


def keeps_origin(url: URL, target: URL) -> bool:
    """Return whether ``target`` has the origin of ``url``, or is its host by https instead of http."""
    is_secured = (url.scheme, target.scheme) == ("http", "https")
    has_usual_ports = url.is_default_port() and target.is_default_port()
    return url.origin() == target.origin() or (is_secured and has_usual_ports and url.host == target.host)
