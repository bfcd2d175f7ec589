"""Proxies: one that is given, or those of the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.request import getproxies, proxy_bypass

from async_backfill._common.validation import flag
from async_backfill.errors import ConfigurationError
from async_backfill.sources.http._request_parts import parsed
from async_backfill.sources.http._template import without_user

if TYPE_CHECKING:
    from yarl import URL


class Proxy(NamedTuple):
    """A proxy: its ``url`` without a user, and the header value with the user and password for it, if any."""

    url: URL
    authorization: str | None


class Proxies:
    """The proxy of each URL.

    :param proxy: the URL of the proxy for all requests, if any; it may have a user and password.
    :param trust_env: whether the environment is asked where ``proxy`` is not given: ``HTTP_PROXY``,
        ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, as `urllib.request` reads them.
    :raises ConfigurationError: when ``proxy`` cannot be used; the text shows nothing of it.
    """

    def __init__(self, proxy: str | None, *, trust_env: bool) -> None:
        self._trust_env = flag("trust_env", trust_env)
        self._given = None if proxy is None else _proxy("proxy", proxy)

    def of(self, url: URL) -> Proxy | None:
        """Return the proxy for a request to ``url``.

        :raises ConfigurationError: when the environment names one that cannot be used.
        """
        if self._given is not None or not self._trust_env:
            return self._given
        known = getproxies()
        named = url.scheme if url.scheme in known else "all"
        if named not in known or proxy_bypass(f"{url.host}:{url.port}"):
            return None
        return _proxy(f"{named.upper()}_PROXY", known[named])


def _proxy(setting: str, text: object) -> Proxy:
    given = f"http://{text}" if isinstance(text, str) and "://" not in text else text
    try:
        bare, authorization = without_user(setting, given)
    except ConfigurationError:
        bare, authorization = "", None
    if (url := parsed(bare)) is None:
        raise ConfigurationError(
            setting, "is not the URL of an http or https proxy, such as http://user:password@host:3128"
        )
    return Proxy(url.origin(), authorization)
