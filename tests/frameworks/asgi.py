"""Asks an ASGI application in this event loop, with the state that its lifespan yields."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def __getitem__(self, name):
        """The one value of a header field; ``None`` without one."""
        values = [value for field, value in self.headers if field == name]
        assert len(values) < 2, values
        return values[0] if values else None

    @property
    def json(self):
        return json.loads(self.body)


class Client:
    """Asks ``app``, whose lifespan has yielded ``state``."""

    def __init__(self, app, state):
        self.app = app
        self.state = state

    async def __call__(self, path, method="GET", *, headers=(), body=b""):
        """Ask for ``path``; ``headers`` are pairs, so that a name may stand twice."""
        host = [(b"host", b"127.0.0.1")]
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "scheme": "http",
            "query_string": b"",
            "headers": host + [(name.encode(), value.encode("latin-1")) for name, value in headers],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": dict(self.state),
        }
        sent, asked_for = [], []

        async def receive():
            if asked_for:
                await anyio.sleep_forever()
            asked_for.append(path)
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            sent.append(message)

        await self.app(scope, receive, send)
        begin = sent[0]
        return Answer(
            status=begin["status"],
            headers=[(name.decode(), value.decode("latin-1")) for name, value in begin.get("headers", ())],
            body=b"".join(message.get("body", b"") for message in sent[1:]),
        )


@asynccontextmanager
async def asked(app):
    """Run the lifespan of ``app``, and yield what asks it."""
    async with app.router.lifespan_context(app) as state:
        yield Client(app, state or {})
