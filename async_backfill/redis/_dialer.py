"""Opening connections: to which server, with which login and which TLS."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import redis.exceptions
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection

from async_backfill.errors import ConfigurationError
from async_backfill.redis._client import ClientLink, Parser, require_release
from async_backfill.redis._sentinels import Sentinels
from async_backfill.redis._urls import Target, target_of
from async_backfill.redis.credentials import Credentials
from async_backfill.redis.errors import RedisUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

T = TypeVar("T")

_PART_USED: Final = 0.8
"""Of the time that a login lasts."""
_FILES: Final = ("ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "ssl_certfile", "ssl_keyfile")


class Dialer:
    """A factory of connections to the server of ``url``, or to others of its cluster.

    :param url: or what it says.
    :param connect_timeout: seconds for opening a connection and logging in, questions before it included.
    :param ssl_context: TLS for ``rediss://``; ``None`` is that of the URL.
    :param credentials: returns the login of each new connection; ``None`` is that of the URL.
    :raises ConfigurationError: for settings that cannot be used; no text shows a password.
    """

    def __init__(
        self,
        url: str | Target,
        connect_timeout: float,
        *,
        ssl_context: ssl.SSLContext | None = None,
        credentials: Callable[[], Awaitable[Credentials]] | None = None,
    ) -> None:
        require_release()
        target = url if isinstance(url, Target) else target_of(url)
        self._kind, self._settings = target.kind, target.settings
        self._connect_timeout = connect_timeout
        self._credentials = credentials
        self.user = str(self._settings.get("username") or "default")
        """The name that the latest connection was logged in with."""
        if credentials is not None:
            if not callable(credentials):
                raise ConfigurationError("credentials", "must be an async function that returns Credentials")
            if self._settings.keys() & {"username", "password"}:
                raise ConfigurationError("credentials", "are for a URL without a user and a password")
        try:
            template = self._kind(**self._settings)
        except (TypeError, ValueError, redis.exceptions.RedisError) as error:
            raise ConfigurationError("url", f"has a setting that cannot be used: {error}") from None
        self._tls = template.ssl_context if isinstance(template, SSLConnection) else None
        self._set_up_tls(ssl_context)
        self.address: tuple[str, int] | None = None
        """Host and port; ``None`` for a Unix socket, and with sentinels."""
        self._sentinels: Sentinels | None = None
        if target.primary is not None:
            login = {"username": None, "password": None, "db": 0, **target.login}
            self._sentinels = Sentinels(
                target.primary,
                target.sentinels,
                lambda place: self._link(place, login),
                connect_timeout,
            )
            self.name, self.host = self._sentinels.name, ""
        elif isinstance(template, UnixDomainSocketConnection):
            self.name, self.host = str(template.path), ""
        else:
            self.address = (template.host, int(template.port))
            self.name, self.host = _shown(self.address), template.host

    async def dial(
        self, greet: Callable[[ClientLink], Awaitable[T]], address: tuple[str, int] | None = None
    ) -> tuple[ClientLink, T]:
        """Open a connection and call ``greet``; return the connection and the result of ``greet``.

        :param greet: the first exchange on the connection; it counts towards ``connect_timeout``.
        :param address: host and port of another server of the cluster; ``None`` is the server of the URL, or
            the one that the sentinels name now.
        :raises RedisUnavailableError: when no server answers in time.
        :raises RedisReplyError: when the server refuses the login.
        """
        link, said_by, connected = None, None, "connected" if self._tls is None else "connected with TLS"
        waits_for = connected
        name = self.name if address is None else _shown(address)
        try:
            async with asyncio.timeout(self._connect_timeout):
                login: Mapping[str, Any] = {}
                until: float | None = None
                if self._credentials is not None:
                    waits_for = "given credentials"
                    login, until = await self._login(self._credentials, name)
                    waits_for = connected
                if self._sentinels is not None:
                    address, said_by = await self._sentinels.primary()
                link = self._link(address, login, until)
                await link.open()
                if self._sentinels is not None:
                    await self._sentinels.check(link)
                return link, await greet(link)
        except BaseException as error:
            if link is not None:
                await link.close()
                name = link.name
            if self._sentinels is not None and said_by is not None:
                self._sentinels.pass_over(said_by)
            if not isinstance(error, TimeoutError):
                raise
            reason = f"not {waits_for} within {self._connect_timeout} s"
            raise RedisUnavailableError(f"redis at {name}: {reason}") from error

    def _link(
        self, address: tuple[str, int] | None, login: Mapping[str, Any], until: float | None = None
    ) -> ClientLink:
        settings: dict[str, Any] = {**self._settings, **login, "parser_class": Parser}
        if address is not None:
            settings["host"], settings["port"] = address
        connection = self._kind(**settings)
        if isinstance(connection, SSLConnection) and self._tls is not None:
            connection.ssl_context = self._tls  # reading the certificates takes 20 ms: do it once
        return ClientLink(connection, self.name if address is None else _shown(address), until)

    async def _login(
        self, credentials: Callable[[], Awaitable[Credentials]], name: str
    ) -> tuple[Mapping[str, Any], float | None]:
        now = asyncio.get_running_loop().time()
        try:
            given = await credentials()
        except Exception as error:  # its text may have a secret in it: it is the cause, and not shown
            reason = f"the function of credentials= raised {type(error).__name__}"
            raise RedisUnavailableError(f"redis at {name}: {reason}") from error
        if not isinstance(given, Credentials):
            reason = f"the function of credentials= returned a {type(given).__name__}, not Credentials"
            raise RedisUnavailableError(f"redis at {name}: {reason}")
        self.user = given.user
        until = None if given.lasts is None else now + cast("float", given.lasts) * _PART_USED
        return {"username": given.user, "password": given.password}, until

    def _set_up_tls(self, ssl_context: ssl.SSLContext | None) -> None:
        """Use ``ssl_context``, or see that the files which the URL names can be read."""
        if ssl_context is not None:
            if self._tls is None:
                raise ConfigurationError("ssl_context", "is for a URL that begins with rediss://")
            if not isinstance(ssl_context, ssl.SSLContext):
                raise ConfigurationError(
                    "ssl_context", f"must be an ssl.SSLContext, not a {type(ssl_context).__name__}"
                )
            self._tls.context = ssl_context
        elif self._tls is not None and any(name in self._settings for name in _FILES):
            try:
                self._tls.get()
            except OSError as error:  # of ssl, too
                raise ConfigurationError("url", f"names a certificate that cannot be read: {error}") from None


def _shown(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"
