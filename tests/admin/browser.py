"""A browser without scripts: it asks an ASGI application, keeps cookies, and sends the forms of a page."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import unquote, urlencode, urlsplit

import anyio

HOST = "127.0.0.1:8765"


class Elements(HTMLParser):
    """All elements of a page, and the text in each ``data`` element and outside of them."""

    def __init__(self, html):
        super().__init__()
        self.elements = []
        self.forms = {}
        self.data = []
        self.outside = []
        self._form = None
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.elements.append((tag, given))
        if tag == "form":
            self._form = self.forms.setdefault(given["action"], {})
        elif tag in {"input", "select"} and self._form is not None and given.get("type") != "checkbox":
            self._form[given["name"]] = given.get("value", "")
        elif tag == "data":
            self.data.append([given["data-of"], given["value"], ""])
            self._inside = True

    def handle_endtag(self, tag):
        if tag == "form":
            self._form = None
        elif tag == "data":
            self._inside = False

    def handle_data(self, text):
        if self._inside:
            self.data[-1][2] += text
        elif text.strip():
            self.outside.append(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def page(self):
        return Elements(self.text)

    @property
    def said(self):
        """What a page for an error says."""
        return " ".join(self.page.outside)


class Browser:
    """Asks ``app``.

    :param peer: the address from which its requests come.
    :param root: where the page is mounted.
    :param headers: are sent with each request.
    """

    def __init__(self, app, *, host=HOST, peer="127.0.0.1", root="", headers=None):
        self.app = app
        self.host = host
        self.peer = peer
        self.root = root
        self.headers = headers or {}
        self.cookies = {}

    async def get(self, path, **headers):
        return await self.ask("GET", path, headers=headers)

    async def post(self, path, fields, *, headers=None):
        """Send a form as from a page of this host."""
        given = {
            "content-type": "application/x-www-form-urlencoded",
            "origin": f"http://{self.host}",
            "sec-fetch-site": "same-origin",
        }
        return await self.ask("POST", path, headers=given | (headers or {}), body=urlencode(fields).encode())

    async def send(self, page_path, action, **fields):
        """Open a page, fill in its form for ``action``, send it, and follow where that leads."""
        forms = (await self.get(page_path)).page.forms
        answer = await self.post(action, forms[self.root + action] | fields)
        if answer.status != 303:
            return answer
        return await self.get(answer.headers["location"].removeprefix(self.root))

    async def ask(self, method, path, *, headers=None, body=b""):
        sent = []

        async def receive():
            if not sent:
                sent.append(None)
                return {"type": "http.request", "body": body, "more_body": False}
            return await anyio.sleep_forever()

        answers = []

        async def send(message):
            answers.append(message)

        await self.app(self.scope(method, path, headers or {}), receive, send)
        start = answers[0]
        text = b"".join(answer.get("body", b"") for answer in answers[1:]).decode()
        given = {name.decode(): value.decode() for name, value in start["headers"]}
        if "set-cookie" in given:
            name, _, value = given["set-cookie"].partition(";")[0].partition("=")
            self.cookies[name] = value.strip('"')
        return Answer(status=start["status"], headers=given, text=text)

    def scope(self, method, path, headers):
        parts = urlsplit(path)
        given = {"host": self.host} | self.headers | headers
        if self.cookies:
            given["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": self.root + unquote(parts.path),
            "raw_path": (self.root + parts.path).encode(),
            "root_path": "",
            "query_string": parts.query.encode(),
            "headers": [
                (name.lower().encode("latin-1"), value.encode("latin-1"))
                for name, values in given.items()
                if values is not None
                for value in (values if isinstance(values, list) else [values])
            ],
            "client": (self.peer, 50_000) if self.peer else None,
            "server": ("127.0.0.1", 8765),
        }

    @asynccontextmanager
    async def follow(self, path, *, reads=True):
        """Follow an address, for ``async with``; a browser that does not read holds the server up."""
        followed = Followed()

        async def receive():
            await followed.hung_up.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            if message["type"] == "http.response.start":
                followed.status = message["status"]
                return
            if not reads:
                await anyio.sleep_forever()
            followed.text += message["body"].decode()
            followed.ended = not message["more_body"]

        async def ask():
            await self.app(self.scope("GET", path, {}), receive, send)
            followed.ended = True

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            yield followed
            group.cancel_scope.cancel()


class Followed:
    """What a browser was told by a stream of events."""

    def __init__(self):
        self.hung_up = anyio.Event()
        self.status = None
        self.text = ""
        self.ended = False

    def news(self):
        """Return the parts told since the last call, with their HTML."""
        events, self.text = self.text.split("\n\n"), ""
        lines = [[line.removeprefix("data: ") for line in event.split("\n")] for event in events if event]
        return {name: "\n".join(html) for name, *html in lines if name != "retry: 2000"}
