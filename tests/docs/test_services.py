"""The examples of a service and of a worker: started for real, used, and stopped with SIGTERM."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import pytest

from async_backfill.backfill.journal_file import JournalFile
from async_backfill.contracts import Heats
from tests.servers.ports import free_port

NEEDED = (
    "fastapi",
    "uvicorn",
    "aiohttp",
    "aiosqlite",
    "jinja2",
)  # by the processes: importing them here takes long for nothing

pytestmark = [
    pytest.mark.skipif(not all(map(find_spec, NEEDED)), reason=f"needs {', '.join(NEEDED)}"),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to handle"),
]

ROOT = Path(__file__).parents[2]
WARNINGS = MappingProxyType({"PYTHONWARNINGS": "always"})
PATIENCE = 300.0  # seconds that the start of a service may take on a very slow machine


def shop_in(folder):
    """Make a database with two products in ``folder``, and return its path."""
    path = folder / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE products (id TEXT PRIMARY KEY, name TEXT, price INTEGER)")
        connection.executemany(
            "INSERT INTO products VALUES (?, ?, ?)", [("a", "Anvil", 30), ("b", "Bolt", 1)]
        )
    connection.close()
    return path


@pytest.fixture
def shop(tmp_path):
    return shop_in(tmp_path)


@contextmanager
def started(shop, *arguments, env=MappingProxyType({}), **pipes):
    """Start a module of the examples; it is killed if it does not end by itself."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "DATABASE_URL": f"sqlite:///{shop}",
            "JOURNAL": f"{shop}.journal",
            "SNAPSHOT": f"{shop}.snapshot",
            **env,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **pipes,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def served(shop):
    """Serve the example of FastAPI on a free port, and yield its URL and its process."""
    port = free_port()
    command = ("uvicorn", "docs.examples.fastapi_app:app", "--port", str(port), "--log-level", "warning")
    return listening(port, started(shop, *command, env=WARNINGS))


def served_by_aiohttp(shop, operator_port):
    """Serve the example of aiohttp on a free port, and yield its URL and its process."""
    port = free_port()
    env = {**WARNINGS, "PORT": str(port), "OPERATOR_PORT": str(operator_port)}
    return listening(port, started(shop, "docs.examples.aiohttp_app", env=env))


@contextmanager
def listening(port, starting):
    """Wait until the process that is ``starting`` listens."""
    with starting as process:
        patience = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
                break
            except OSError:
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < patience
                time.sleep(0.02)
        yield f"http://127.0.0.1:{port}", process


def ended(process):
    """Ask a process to stop; return what it complained of and how it ended."""
    process.send_signal(signal.SIGTERM)
    _, complaints = process.communicate(timeout=PATIENCE)
    return complaints, process.returncode


@pytest.fixture(scope="module")
def warmed(tmp_path_factory):
    """The URL of a service whose journal says that both products were hot, and what its first probe got."""
    shop = shop_in(tmp_path_factory.mktemp("warm"))
    journal = JournalFile(f"{shop}.journal")
    asyncio.run(journal.save(Heats(keys={"a": 2.0, "b": 1.0}, hit_rate=0.9)))
    with closing(sqlite3.connect(shop, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")  # who reads waits
        with served(shop) as (url, _):
            first = ask(f"{url}/readyz"), ask(f"{url}/livez")
            database.execute("ROLLBACK")
            yield url, first


@pytest.fixture
def service_that_was_warm(warmed):
    return warmed[0]


def read(answer):
    """Return the body of an answer."""
    body = answer.read().decode()
    return json.loads(body or "null") if "json" in answer.headers.get("Content-Type", "") else body


def tag_of(url):
    """Return the entity tag of an answer."""
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - http
        return answer.headers["ETag"]


def status_with(url, tag):
    """Return the status of an answer to somebody who has what ``tag`` is of."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"If-None-Match": tag})) as answer:  # noqa: S310 - http
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def ask(url, method="GET", **fields):
    """Return status and body of an answer."""
    content, headers = (
        (json.dumps(fields).encode(), {"Content-Type": "application/json"}) if fields else (None, {})
    )
    request = urllib.request.Request(url, content, headers, method=method)  # noqa: S310 - http
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - http
            return answer.status, read(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, read(error)


def test_the_service_answers_from_its_cache_and_ends_cleanly(shop):
    with served(shop) as (url, process):
        assert ask(f"{url}/products/a") == (200, {"name": "Anvil", "price": 30})
        assert ask(f"{url}/products/nobody") == (404, {"detail": "there is no product nobody"})
        assert ask(f"{url}/stats")[1]["lookups"] == 2
        assert "None of 1 needs a person." in ask(f"{url}/operator/")[1]
        assert ask(f"{url}/livez") == (200, "ok")
        complaints, code = ended(process)

    assert complaints == ""
    assert code in {0, -signal.SIGTERM}  # uvicorn hands the signal on once it has ended


def test_the_service_of_aiohttp_answers_and_keeps_what_it_holds_for_the_next(shop):
    operator_port = free_port()
    with served_by_aiohttp(shop, operator_port) as (url, process):
        tag = tag_of(f"{url}/products/a")
        assert ask(f"{url}/products/a") == (200, {"name": "Anvil", "price": 30})
        assert status_with(f"{url}/products/a", tag) == 304
        assert ask(f"{url}/products/nobody")[0] == 404
        assert ask(f"{url}/readyz")[0] == 200
        assert "None of 1 needs a person." in ask(f"http://127.0.0.1:{operator_port}/")[1]
        assert ended(process) == ("", 0)
    assert Path(f"{shop}.snapshot").stat().st_size > 0


def test_the_service_says_503_while_its_database_fails(shop):
    with served(shop) as (url, process):
        shop.unlink()
        shop.mkdir()
        status, body = ask(f"{url}/products/a")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)

    assert (status, body) == (503, {"detail": "the database does not answer"})


def test_the_service_is_alive_but_not_ready_while_what_was_hot_is_loaded(warmed):
    _, (ready, alive) = warmed

    assert ready == (503, {"ready": False, "resources": {"products": {"state": "warming", "coverage": 0.0}}})
    assert alive == (200, "ok")


def test_the_service_is_ready_once_what_was_hot_is_cached(service_that_was_warm):
    patience = time.monotonic() + PATIENCE
    while (answer := ask(f"{service_that_was_warm}/readyz"))[0] == 503 and time.monotonic() < patience:
        time.sleep(0.02)

    assert answer[0] == 200
    assert answer[1]["resources"]["products"] == {"state": "ready", "coverage": 1.0}
    assert ask(f"{service_that_was_warm}/stats")[1]["source_calls"] == 1


def test_the_service_takes_an_approval_and_says_what_came_of_it(service_that_was_warm):
    url = f"{service_that_was_warm}/backfills/approve"
    status, record = ask(url, "POST", backfills=3, by="ada", reason="after the deploy")

    assert status == 200
    assert (record["status"], record["by"], record["reason"]) == ("approved", "ada", "after the deploy")
    assert record["permits_left"] >= 30
    assert ask(url, "POST", backfills=0, by="ada", reason="none")[0] == 422


def test_a_change_shows_at_once_and_what_is_the_same_is_not_sent_twice(service_that_was_warm):
    url = f"{service_that_was_warm}/products/b"
    tag = tag_of(url)
    assert status_with(url, tag) == 304
    assert ask(f"{url}/price", "PUT", price=2)[0] == 204
    assert status_with(url, tag) == 200
    assert ask(url) == (200, {"name": "Bolt", "price": 2})
    assert ask(f"{url}x/price", "PUT", price=2)[0] == 404


def test_the_worker_prices_orders_with_few_source_calls_and_ends_with_its_input(shop):
    with started(shop, "docs.examples.worker", stdin=subprocess.PIPE) as process:
        printed, complaints = process.communicate("a\nb\nnobody\n" * 100, timeout=PATIENCE)

    *orders, last = printed.splitlines()
    assert complaints == ""
    assert process.returncode == 0
    assert sorted(orders) == sorted(["a 30", "b 1", "nobody unknown"] * 100)
    assert last.startswith("300 orders, ")


def test_the_worker_finishes_what_it_began_when_it_is_asked_to_stop(shop):
    with started(shop, "docs.examples.worker", stdin=subprocess.PIPE) as process:
        process.stdin.write("a\n")
        process.stdin.flush()
        assert process.stdout.readline() == "a 30\n"
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        complaints = process.stderr.read()
        process.wait(timeout=30)

    assert (rest, complaints, process.returncode) == ("1 orders, 1 source calls\n", "", 0)
