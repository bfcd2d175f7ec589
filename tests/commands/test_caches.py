"""The command ``caches``: orders to running caches through the API, what it prints, and its exit codes."""

from __future__ import annotations

import json
import re
import socket
import threading
from contextlib import contextmanager

import anyio
import pytest

from async_backfill import BackfillCache, MappingSource
from async_backfill._commands.cli import main

uvicorn = pytest.importorskip("uvicorn", reason="the operator's page needs the extra admin")
from async_backfill.admin import Access, Application  # noqa: E402 - it needs the extra

TOKENS = {"ada": "a" * 20}
VERBS = (
    *("status", "pause", "resume", "cancel", "approve", "revoke", "off", "on"),
    *("invalidate", "explain", "retune"),
)


class Served:
    """A cache in an event loop of another thread, and its page."""

    def __init__(self):
        self.is_ready = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        source = MappingSource({number: number for number in range(100)})
        self.cache, self.other = (BackfillCache(source, scan=source, max_backfills=0) for _ in range(2))
        access = Access(change_tokens=TOKENS, read_tokens={"bob": "b" * 20})
        page = Application(caches={"prices": self.cache, "a/b c?": self.other}, access=access)
        config = uvicorn.Config(page, log_config=None, lifespan="off", loop="none")
        self.server = uvicorn.Server(config)

    def run(self):
        anyio.run(self._run)

    async def _run(self):
        async with self.cache, self.other:
            for cache in (self.cache, self.other):
                for key in (1, 1, 2):
                    await cache.get(key)
                await cache.settle()
            self.is_ready.set()
            await self.server.serve(sockets=[self.listener])


@pytest.fixture(scope="module")
def served():
    served = Served()
    thread = threading.Thread(target=served.run)
    thread.start()
    served.is_ready.wait()
    yield served
    served.server.should_exit = True
    thread.join()
    served.listener.close()


@pytest.fixture
def caches(served, capsys, monkeypatch):
    """Type words after ``caches``, in the name of ada."""
    monkeypatch.setenv("ASYNC_BACKFILL_URL", served.url)
    monkeypatch.setenv("ADA", TOKENS["ada"])
    monkeypatch.setenv("BOB", "b" * 20)

    def typed(*words, whose="ADA"):
        capsys.readouterr()
        code = main(["caches", *words, *(("--token-env", whose) if whose else ())])
        return code, *capsys.readouterr()

    return typed


def test_the_help_names_the_verbs(capsys):
    assert main(["caches", "--help"]) == 0
    printed = capsys.readouterr().out
    assert re.findall(r"^│ ([a-z]+) ", printed, re.MULTILINE) == list(VERBS)
    main(["--help"])
    assert "caches" in capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_each_verb_names_its_options(capsys, verb):
    assert main(["caches", verb, "--help"]) == 0
    printed = capsys.readouterr().out
    for option in ("--url", "--token-env", "--timeout", "--json", "ASYNC_BACKFILL_URL"):
        assert option in printed


def test_caches_are_listed_and_shown(caches, served):
    code, out, err = caches("status")
    assert (code, err) == (0, "")
    assert re.search(r"^prices  hit rate \d+\.\d %  \d keys  needs approval$", out, re.MULTILINE)
    code, out, err = caches("status", "a/b c?")
    assert (code, err) == (0, "")
    assert out.startswith("cache a/b c?: on; backfills start by themselves; permits 0 left, needs approval\n")
    data = json.loads(caches("status", "prices", "--json")[1])
    assert data["stats"]["lookups"] == served.cache.stats.lookups


ORDERS = [
    (("pause",), "pause: done", "backfills paused"),
    (("resume",), "resume: done", "backfills start by themselves"),
    (("cancel",), "no backfill ran", ""),
    (("approve", "3"), "approve: done", "permits 3 left"),
    (("revoke", "1"), "1 approvals were taken back", "permits 2 left"),
    (("revoke",), "2 approvals were taken back", "permits 0 left"),
    (("off",), "off: done", "off, reads go through"),
    (("on",), "on: done", ": on;"),
    (("invalidate", "1", "--key-type", "int"), "1 is no longer kept", ""),
    (("retune", "threshold=0.25", "rate=12.5"), "retune: done", "threshold 0.25, batch none, rate 12.5"),
    (("retune", "threshold=default"), "retune: done", "threshold 0.5, batch none, rate 12.5"),
]


def test_each_order_is_carried_out_and_audited_with_who_and_why(caches, served):
    for (verb, *rest), said, state in ORDERS:
        code, out, err = caches(verb, "prices", *rest, "--reason", f"why {verb}")
        first, second, *_ = out.splitlines()
        record = served.cache.audit_log[-1]

        assert (code, err, first) == (0, "", said)
        assert state in out
        assert second.startswith("cache prices: ")
        assert (record.verb, record.by, record.reason) == (verb, "ada", f"why {verb}")


def test_a_key_is_explained_to_who_may_only_look(caches):
    code, out, err = caches("explain", "a/b c?", "2", "--key-type", "int", whose="BOB")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"2 in cache a/b c\?: memory, fresh\n(  .+\n)*", out)
    assert caches("explain", "a/b c?", "2")[1].startswith("'2' in cache a/b c?: nowhere\n")
    assert caches("explain", "a/b c?", '["a", 1]', "--key-type", "json")[1].startswith("('a', 1) in cache")
    data = json.loads(caches("explain", "a/b c?", "2", "--key-type", "int", "--json")[1])
    assert (data["answer"]["key"], data["answer"]["where"]) == ("2", "memory")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pause", "prices", "--reason", " "), "reason: is empty"),
        (("pause", "nothing", "--reason", "x"), "There is no such cache"),
        (("approve", "prices", "0", "--reason", "x"), "n: 0 is less than 1"),
        (("approve", "prices", "many", "--reason", "x"), "not a whole number"),
        (("revoke", "prices", "-3", "--reason", "x"), "-3"),
        (("retune", "prices", "--reason", "x"), "nothing to change"),
        (("retune", "prices", "speed=3", "--reason", "x"), "expected threshold=SHARE"),
        (("retune", "prices", "rate=1", "rate=2", "--reason", "x"), "given twice"),
        (("retune", "prices", "threshold=7", "--reason", "x"), "threshold"),
        (("invalidate", "prices", "x", "--key-type", "int", "--reason", "x"), "is not a whole number"),
        (("invalidate", "prices", "x", "--key-type", "bytes", "--reason", "x"), "is none of str, int"),
        (("explain", "prices", "[{}]", "--key-type", "json"), "key: must be a text"),
        (("pause", "prices"), "--reason"),
        (("status", "--url", "ftp://x"), "--url: must be such as"),
        (("status", "--url", "http://a:b@x"), "--url: must be such as"),
        (("status", "--url", "http://x/?a"), "--url: must be an address"),
        (("status", "--url", "http://x:99999"), "--url: Port out of range"),
        (("status", "--timeout", "0"), "--timeout: 0.0 is not above 0"),
        (("status", "--timeout", "99999999999"), "--timeout: 1e+11 is more than 86,400 (a day)"),
        (("pause", "prices", "--reason", "f\udcfcr"), "--reason: holds bytes that are not UTF-8"),
        (("pause", "f\udcfcr", "--reason", "x"), "NAME: holds bytes that are not UTF-8"),
        (("status", "f\udcfcr"), "NAME: holds bytes that are not UTF-8"),
        (("status", "--url", "http://f\udcfcr"), "--url: holds bytes that are not UTF-8"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_2(caches, served, words, said):
    before = len(served.cache.audit_log)
    code, out, err = caches(*words)

    assert (code, out) == (2, "")
    assert re.fullmatch(rf"error: .*{re.escape(said)}.*\n", err)
    assert len(served.cache.audit_log) == before


def test_who_may_only_look_or_is_not_known_changes_nothing(caches, served, monkeypatch):
    monkeypatch.setenv("EVE", "e" * 20)
    before = len(served.cache.audit_log)
    for token, said in (("BOB", "You may look"), ("EVE", "Say who you are"), (None, "Say who you are")):
        code, out, err = caches("off", "prices", "--reason", "x", whose=token)
        assert (code, out) == (2, "")
        assert err.startswith(f"error: {said}")
    assert caches("status", whose="NOT_THERE")[0] == 2
    assert len(served.cache.audit_log) == before


@pytest.mark.parametrize("more", ["\n", "\r\n", "\t", "\u2026", "\udcfc"])
def test_a_token_that_fits_no_header_is_one_line_that_does_not_show_it(caches, monkeypatch, more):
    monkeypatch.setenv("EVE", f"abcdefgh-secret{more}")
    code, out, err = caches("status", whose="EVE")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: --token-env: the variable 'EVE' is empty, or has a line end or another ")
    assert not any(part in err for part in ("abcd", "secret", more.strip() or "\t"))


@contextmanager
def answering(said):
    """A server that answers each request with ``said``, or not at all."""
    listener = socket.create_server(("127.0.0.1", 0))
    held = []

    def answer():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            held.append(connection)
            if said is not None:
                connection.recv(65_536)
                connection.sendall(said)
                connection.close()

    thread = threading.Thread(target=answer)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()
    for connection in held:
        connection.close()


def page(body, status="200 OK", *more):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *more]
    return "\r\n".join([*lines, "", body]).encode()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (None, "did not answer within 0.3 s"),
        (b"", "does not answer"),
        (b"\x00\xff\r\n\r\n", "does not answer"),
        (page("<html>"), "has no API of an operator's page (status 200)"),
        (page("[]"), "has no API"),
        (
            page("", "302 Found", "Location: http://127.0.0.1:1/"),
            "has no API of an operator's page (status 302)",
        ),
        (page("{}"), "does not understand"),
        (page('{"name": "x", "stats": {"budget": 1}, "control": {}}'), "does not understand"),
        (page('{"error": "<b>\\u001b[31mno\\nno"}', "503 No"), r"<b>\x1b[31mno no"),
    ],
)
def test_a_server_that_fails_or_is_another_one_is_one_line_and_exit_code_3(capsys, said, told):
    with answering(said) as url:
        code = main(
            ["caches", "status", "prices", "--url", url, "--timeout", "0.3" if said is None else "30"]
        )
    printed = capsys.readouterr()

    assert (code, printed.out) == (3, "")
    assert re.fullmatch(rf"error: .*{re.escape(told)}.*\n", printed.err)


def test_a_server_that_is_not_there_is_one_line(capsys):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert main(["caches", "status", "--url", f"http://127.0.0.1:{port}"]) == 3
    assert re.fullmatch(r"error: http://127.0.0.1:\d+ does not answer: .*\n", capsys.readouterr().err)
