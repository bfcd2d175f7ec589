"""Several servers in the URL of one PostgreSQL: which of them is connected to.

asyncpg's own way through such a list has one time limit for all, which a server that is silent uses up.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, unquote

from async_backfill._common.error_text import one_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

C = TypeVar("C")

_URL: Final = re.compile(
    r"(?P<front>postgres(?:ql)?(?:\+\w+)?://(?:[^:/@?]*(?::[^@?]*)?@)?)(?P<hosts>[^@/?]*,[^@/?]*)"
    r"(?P<database>/[^?]*)?(?:\?(?P<query>.*))?",
    re.DOTALL | re.IGNORECASE,
)
_HOST: Final = re.compile(r"(?:\[(?P<six>[^\]]+)\]|(?P<name>[^:\[\]]+))(?::(?P<port>\d{1,5}))?")
_PORT: Final = "5432"
_PREFERRED: Final = "prefer-standby"
_UNFIT: Final = "TargetServerAttributeNotMatched"


def with_hosts_as_settings(url: str) -> str:
    """Return ``url`` as SQLAlchemy reads it: libpq's ``host:port,host:port`` become settings at its end.

    :raises ValueError: when it has such a list that cannot be used; the text shows nothing of it.
    """
    found = _URL.fullmatch(url)
    if found is None:
        return url
    hosts = [_HOST.fullmatch(host) for host in found["hosts"].split(",")]
    if None in hosts:
        raise ValueError("a list of hosts that cannot be used")
    names = ",".join(unquote(host["six"] or host["name"]) for host in hosts if host)
    ports = ",".join(host["port"] or _PORT for host in hosts if host)
    settings = [*filter(None, [found["query"]]), f"host={quote(names)}", f"port={quote(ports)}"]
    return f"{found['front']}{found['database'] or '/'}?{'&'.join(settings)}"


class ServerHosts:
    """The servers of one URL; a connection is to one of them.

    :param places: their hosts and ports, in the order in which they are tried at first.
    """

    def __init__(self, places: Sequence[tuple[str, int]]) -> None:
        self._places = places
        self._first = 0

    async def connect(
        self,
        connect: Callable[..., Awaitable[C]],
        /,
        *,
        timeout: float,  # noqa: ASYNC109 - asyncpg's
        target_session_attrs: str = "any",
        **settings: Any,
    ) -> C:
        """Return what asyncpg's ``connect`` opens to the first server that will do; begin with the latest.

        :param timeout: seconds for all of them; each has its share.
        :param target_session_attrs: which will do, in the words of libpq.
        :param settings: more for ``connect``.
        :raises ConnectionError: when none will; the text says why of each.
        """
        share = timeout / len(self._places)
        said: dict[str, str] = {}
        wanted = target_session_attrs
        for target in ("standby", "any") if wanted == _PREFERRED else (wanted,):
            begin = self._first
            for number in range(begin, begin + len(self._places)):
                at = number % len(self._places)
                self._first = at + 1  # who is cancelled here begins with the next one
                host, port = self._places[at]
                place = {"host": host, "port": port, "timeout": share, "target_session_attrs": target}
                try:
                    connection = await connect(**{**settings, **place})
                except Exception as error:
                    if isinstance(error, (TypeError, ValueError)) and not isinstance(error, OSError):
                        raise  # a setting
                    said[f"{host}:{port}"] = _words(error, target, share)
                else:
                    self._first = at
                    return connection
        raise ConnectionError("; ".join(f"{place}: {words}" for place, words in said.items()))


def _words(error: Exception, target: str, share: float) -> str:
    if type(error).__name__ == _UNFIT:
        return f"it is not {target}"
    if isinstance(error, TimeoutError):
        return f"no answer within {share:.3g} s"
    return one_line(str(error)) or type(error).__name__
