"""A server with TLS for tests: it ends TLS on a free port of loopback and passes on to a plain one.

The Valkey of the wheel is built without TLS. The process's own event loop serves it, so it is for tests that
run in one.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import trustme


class Authority:
    """A certificate authority with a server's certificate for ``localhost``."""

    def __init__(self, *names: str, expired: bool = False, clients: bool = False) -> None:
        self.ca = trustme.CA()
        before = datetime.now(UTC) - timedelta(days=9)
        span = {"not_before": before, "not_after": before + timedelta(days=1)} if expired else {}
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*(names or ("localhost",)), **span).configure_cert(self.server)
        if clients:
            self.server.verify_mode = ssl.CERT_REQUIRED
            self.ca.configure_trust(self.server)

    def trusted(self, client: str | None = None) -> ssl.SSLContext:
        """Return a client's context that trusts this authority, with a certificate for ``client``."""
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        if client is not None:
            self.ca.issue_cert(client).configure_cert(context)
        return context


@asynccontextmanager
async def tls_before(port: int, context: ssl.SSLContext):
    """Give the port of a server that ends TLS and passes on to ``port``."""
    links: set[asyncio.Task[None]] = set()

    async def serve(reader, writer):
        links.add(asyncio.current_task())
        with suppress(OSError):
            to, back = await asyncio.open_connection("127.0.0.1", port)
            try:
                await asyncio.gather(_pass_on(reader, back), _pass_on(to, writer))
            finally:
                for each in (back, writer):
                    each.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
    writer.close()
