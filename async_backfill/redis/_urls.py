"""What the URL of a connection says: one server, or the sentinels that know one."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import unquote, urlsplit

from redis.asyncio.connection import Connection, parse_url

from async_backfill._common.validation import text
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ALIASES: Final = MappingProxyType({"valkey": "redis", "valkeys": "rediss"})
_SCHEMES: Final = ("redis", "rediss", "valkey", "valkeys", "unix")
_SENTINEL: Final = "+sentinel"
_OF_SENTINELS: Final = "sentinel_"
_FORM: Final = "must be like redis://user:password@host:port/0, special letters as %xx"
_FORM_OF_SENTINELS: Final = (
    "must be like redis+sentinel://user:password@host:26379,host:26379/name/0, special letters as %xx"
)
_FIXED: Final = MappingProxyType(
    {
        "protocol": 2,  # saves a round trip, and nothing of protocol 3 is needed
        "driver_info": None,  # saves another round trip
        "socket_connect_timeout": None,
        "socket_timeout": None,  # deadlines are the caller's
        "decode_responses": False,
        "health_check_interval": 0,
        "retry": None,
        "retry_on_timeout": False,
        "retry_on_error": (),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """How to connect: a class of redis-py and its settings, and the sentinels, if there are any.

    :param primary: the name by which the sentinels know the servers; ``None`` without sentinels.
    :param sentinels: their hosts and ports.
    :param login: the name and password for the sentinels, as settings.
    """

    kind: type[Connection]
    settings: Mapping[str, Any]
    primary: str | None = None
    sentinels: Sequence[tuple[str, int]] = ()
    login: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def with_settings(cls, kind: type[Connection], settings: Mapping[str, Any], **others: Any) -> Self:
        """Return one with ``settings``, but for those which are the same for all."""
        return cls(kind=kind, settings={**settings, **_FIXED}, **others)


def target_of(url: str) -> Target:
    """Return what ``url`` says; no text of an error shows a password."""
    scheme, separator, rest = text("url", url).partition("://")
    scheme = scheme.lower()
    if (scheme.removesuffix(_SENTINEL) not in _SCHEMES or scheme == "unix" + _SENTINEL) or not separator:
        schemes = ", ".join(f"{known}://" for known in (*_SCHEMES, "redis+sentinel", "rediss+sentinel"))
        raise ConfigurationError("url", f"must begin with one of {schemes}")
    base = scheme.removesuffix(_SENTINEL)
    begin = f"{_ALIASES.get(base, base)}://"
    if scheme.endswith(_SENTINEL):
        return _of_sentinels(begin, rest)
    return Target.with_settings(*_settings(begin + rest, _FORM))


def _of_sentinels(begin: str, rest: str) -> Target:
    try:
        parts = urlsplit(f"redis://{rest}")
        login, at, hosts = parts.netloc.rpartition("@")
        name, _, database = parts.path.strip("/").partition("/")
        places = [urlsplit(f"//{host}") for host in hosts.split(",")]
        sentinels = [(place.hostname or "", place.port or 26379) for place in places]
    except ValueError:  # its text may have the password in it
        raise ConfigurationError("url", _FORM_OF_SENTINELS) from None
    if not name or not all(host for host, _ in sentinels):
        raise ConfigurationError("url", _FORM_OF_SENTINELS)
    query = f"?{parts.query}" if parts.query else ""
    kind, settings = _settings(f"{begin}{login}{at}sentinel/{database}{query}", _FORM_OF_SENTINELS)
    names = [key for key in settings if key.startswith(_OF_SENTINELS)]
    own = {key.removeprefix(_OF_SENTINELS): settings.pop(key) for key in names}
    if not own.keys() <= {"username", "password"}:
        raise ConfigurationError("url", "of the sentinels it may have a sentinel_username and _password")
    return Target.with_settings(kind, settings, primary=unquote(name), sentinels=sentinels, login=own)


def _settings(url: str, form: str) -> tuple[type[Connection], dict[str, Any]]:
    try:
        parts = urlsplit(url)
        database = parts.path.strip("/")
        settings: dict[str, Any] = dict(parse_url(url))
    except ValueError:  # its text may have the password in it
        raise ConfigurationError("url", form) from None
    if parts.scheme != "unix" and database and not (database.isascii() and database.isdigit()):
        raise ConfigurationError("url", "must have the number of a database as its path, such as /0")
    kind = settings.pop("connection_class", Connection)
    return kind, settings
