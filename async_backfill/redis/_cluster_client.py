"""Connections made as a program's own client of a cluster makes them: its start nodes, logins and TLS.

They are not borrowed: what that client does with its connections, such as `READONLY`, is not for ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from async_backfill.errors import ConfigurationError
from async_backfill.redis._dialer import Dialer
from async_backfill.redis._urls import Target
from async_backfill.redis.errors import RedisUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import RedisCluster

    from async_backfill.redis._client import ClientLink

T = TypeVar("T")

_SETTINGS: Final = frozenset(
    {
        "client_name",
        "credential_provider",
        "password",
        "socket_keepalive",
        "socket_keepalive_options",
        "socket_read_size",
        "username",
    }
)
_OF_TLS: Final = "ssl_"


class ClusterDialer(Dialer):
    """Opens connections with the settings of ``client``, to its start nodes and to others of their cluster.

    :param connect_timeout: as for a `Dialer`; each start node that is tried has as much.
    """

    def __init__(self, client: RedisCluster, connect_timeout: float) -> None:
        known: dict[str, Any] = dict(client.nodes_manager.connection_kwargs)
        settings = {key: known[key] for key in known if key in _SETTINGS or key.startswith(_OF_TLS)}
        try:
            super().__init__(Target.with_settings(known["connection_class"], settings), connect_timeout)
        except ConfigurationError as error:
            raise ConfigurationError("client", error.problem) from error
        self._client = client
        self._turn = 0
        self.address = None
        self.name = " or ".join(client.nodes_manager.startup_nodes)

    async def dial(
        self, greet: Callable[[ClientLink], Awaitable[T]], address: tuple[str, int] | None = None
    ) -> tuple[ClientLink, T]:
        """Open a connection as a `Dialer` does; without ``address`` to the first start node that answers."""
        nodes = self._client.nodes_manager
        if address is not None:
            return await super().dial(greet, nodes.remap_host_port(*address))
        places = [(str(node.host), int(node.port)) for node in nodes.startup_nodes.values()]
        gone = RedisUnavailableError(f"redis at {self.name}: the client has no start node")
        for _ in places:
            place = places[self._turn % len(places)]
            self.host = place[0]  # it stands for the one that answers, where that does not know its name
            try:
                return await super().dial(greet, place)
            except RedisUnavailableError as error:
                gone = error
                self._turn += 1
        raise gone
