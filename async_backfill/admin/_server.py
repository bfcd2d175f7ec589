"""The server of the operator's page when it is served alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import uvicorn

if TYPE_CHECKING:
    import socket

    from async_backfill.admin._application import Application

_SECONDS_TO_END: Final = 5


async def serve_alone(page: Application, listener: socket.socket) -> None:
    """Serve ``page`` to those who connect to ``listener``, until SIGINT or SIGTERM."""
    await PageServer(page).serve(sockets=[listener])


class PageServer(uvicorn.Server):
    """Serves ``page``, and ends the streams of open pages before it waits for requests to end."""

    def __init__(self, page: Application) -> None:
        super().__init__(
            uvicorn.Config(
                page,
                log_config=None,
                access_log=False,
                lifespan="on",
                proxy_headers=False,  # the page itself looks at them, and at who sent them
                server_header=False,
                timeout_graceful_shutdown=_SECONDS_TO_END,
            )
        )
        self._page = page

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then all else."""
        self._page.end_streams()
        await super().shutdown(sockets)
