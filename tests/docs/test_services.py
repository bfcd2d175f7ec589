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
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from async_backfill.backfill.journal_file import JournalFile
from async_backfill.contracts import Heats
from tests.servers.ports import free_port

NEEDED = ("fastapi", "uvicorn", "aiosqlite")  # by the processes: importing them here takes long for nothing

pytestmark = [
    pytest.mark.skipif(not all(map(find_spec, NEEDED)), reason=f"needs {', '.join(NEEDED)}"),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to handle"),
]

ROOT = Path(__file__).parents[2]
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
def started(shop, *arguments, **pipes):
    """Start a module of the examples; it is killed if it does not end by itself."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": f"sqlite:///{shop}", "JOURNAL": f"{shop}.journal"},
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


@contextmanager
def served(shop):
    """Serve the example on a free port, and yield its URL and its process."""
    port = free_port()
    with started(
        shop, "uvicorn", "docs.examples.fastapi_app:app", "--port", str(port), "--log-level", "warning"
    ) as process:
        patience = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < patience
                time.sleep(0.02)
        yield f"http://127.0.0.1:{port}", process


@pytest.fixture(scope="module")
def service_that_was_warm(tmp_path_factory):
    """The URL of a service whose journal says that both products were hot."""
    shop = shop_in(tmp_path_factory.mktemp("warm"))
    journal = JournalFile(f"{shop}.journal")
    asyncio.run(journal.save(Heats(keys={"a": 2.0, "b": 1.0}, hit_rate=0.9)))
    with served(shop) as (url, _):
        yield url


def ask(url, method="GET", **fields):
    """Return status and body of an answer."""
    content, headers = (
        (json.dumps(fields).encode(), {"Content-Type": "application/json"}) if fields else (None, {})
    )
    request = urllib.request.Request(url, content, headers, method=method)  # noqa: S310 - http
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - http
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def change_price(shop, price):
    with sqlite3.connect(shop) as connection:
        connection.execute("UPDATE products SET price = ? WHERE id = 'a'", [price])
    connection.close()


def test_the_service_answers_from_its_cache_and_ends_cleanly(shop):
    with served(shop) as (url, process):
        assert ask(f"{url}/products/a") == (200, {"name": "Anvil", "price": 30})
        assert ask(f"{url}/products/nobody") == (404, {"detail": "there is no product nobody"})
        change_price(shop, 31)
        assert ask(f"{url}/products/a")[1]["price"] == 30
        assert ask(f"{url}/products/a/invalidate", "POST")[0] == 204
        assert ask(f"{url}/products/a")[1]["price"] == 31
        assert ask(f"{url}/stats")[1]["lookups"] == 4
        process.send_signal(signal.SIGTERM)
        _, complaints = process.communicate(timeout=PATIENCE)

    assert complaints == ""
    assert process.returncode in {0, -signal.SIGTERM}  # uvicorn hands the signal on once it has ended


def test_the_service_says_503_while_its_database_fails(shop):
    with served(shop) as (url, process):
        shop.unlink()
        shop.mkdir()
        status, body = ask(f"{url}/products/a")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)

    assert (status, body) == (503, {"detail": "the database does not answer"})


def test_the_service_is_ready_once_what_was_hot_is_cached(service_that_was_warm):
    patience = time.monotonic() + PATIENCE
    while (answer := ask(f"{service_that_was_warm}/ready"))[0] == 503 and time.monotonic() < patience:
        time.sleep(0.02)

    assert answer == (200, {"state": "ready", "reason": "2 of 2 hot keys have been cached"})
    assert ask(f"{service_that_was_warm}/stats")[1]["source_calls"] == 1


def test_the_service_takes_an_approval_and_says_what_came_of_it(service_that_was_warm):
    url = f"{service_that_was_warm}/backfills/approve"
    status, record = ask(url, "POST", backfills=3, by="ada", reason="after the deploy")

    assert status == 200
    assert (record["status"], record["by"], record["reason"]) == ("approved", "ada", "after the deploy")
    assert record["permits_left"] >= 30
    assert ask(url, "POST", backfills=0, by="ada", reason="none")[0] == 422


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
