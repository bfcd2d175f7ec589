"""An HTTP server on loopback, in a thread of its own: uvicorn, with the answers that a test gives."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import uvicorn
from anyio import fail_after, sleep

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Reply:
    """An answer; ``pieces`` are sent one by one, ``length`` is what the header says of them."""

    status: int = 200
    body: bytes = b"null"
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] | None = None
    hold: bool = False


@dataclass
class Seen:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    client: tuple[str, int]


class HTTPServer:
    """Gives the ``replies`` to a target in turn, the last one for ever; 404 to others.

    A reply may be a function of the request.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.replies: dict[str, deque[Reply | Callable[[Seen], Reply]]] = {}
        self.seen: list[Seen] = []
        self.busy = 0
        self.busiest = 0
        self.gone = 0

    def lay_out(self, target: str, *replies: Reply | Callable[[Seen], Reply]) -> None:
        """Answer requests for ``target`` with ``replies``."""
        self.replies[target] = deque(replies)

    def reset(self) -> None:
        """Forget all replies and requests, once the last is over."""
        while self.busy:
            time.sleep(0.001)
        self.__init__(self.port)

    @property
    def targets(self) -> list[str]:
        """The targets of all requests, in the order in which they came."""
        return [request.target for request in self.seen]

    async def __call__(self, scope, receive, send) -> None:
        """Answer one request: the ASGI application."""
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        target = scope["raw_path"].decode("latin-1")
        if scope["query_string"]:
            target += "?" + scope["query_string"].decode("latin-1")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        seen = Seen(scope["method"], target, headers, body, tuple(scope["client"]))
        self.seen.append(seen)
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            await self._reply(seen, receive, send)
        finally:
            self.busy -= 1

    async def _reply(self, seen: Seen, receive, send) -> None:
        replies = self.replies.get(seen.target, deque([Reply(404, b"no such item")]))
        reply = replies.popleft() if len(replies) > 1 else replies[0]
        if not isinstance(reply, Reply):
            reply = reply(seen)
        if reply.hold:
            while (await receive())["type"] != "http.disconnect":
                pass
            self.gone += 1
            return
        await asyncio.sleep(0)
        headers = [(name.lower().encode(), value.encode()) for name, value in reply.headers.items()]
        pieces = reply.pieces
        if pieces is None:
            pieces = [reply.body]
            headers.append((b"content-length", str(len(reply.body)).encode()))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def until(condition) -> None:
    """Wait until ``condition()``, of a server in another thread, is true."""
    with fail_after(20):
        while not condition():  # noqa: ASYNC110 - an event of another thread needs a thread to wait for it
            await sleep(0.002)


@contextmanager
def start_http():
    """Run an `HTTPServer` on a free port until the block ends."""
    # asyncio sends without delay (TCP_NODELAY) only where the socket says that it is of TCP
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    app = HTTPServer(listening.getsockname()[1])
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="http server")
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the HTTP server did not start")
            time.sleep(0.005)
        yield app
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listening.close()
