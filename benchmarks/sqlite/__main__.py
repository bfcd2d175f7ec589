"""``python -m benchmarks.sqlite``: rows through `SQLiteStore` and diskcache, in turns, in one process."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sqlite3
import statistics
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import anyio
from cyclopts import App

from async_backfill.stores.sqlite import SQLiteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    Work = Callable[[Sequence[str]], Coroutine[Any, Any, object]]

_RESULTS: Final = Path(__file__).parents[1] / "results"
_PAGE: Final = 1_000
_VALUE: Final = "x" * 100
_SINGLE: Final = 20  # one of so many rows is written and read alone, too
_TTL: Final = 3_600.0


def benchmark(*, rows: int = 200_000, quick: bool = False, output_dir: Path | None = None) -> None:
    """Show how many rows of 100 bytes a second of processor time writes and reads, 1,000 at once and alone.

    Parameters
    ----------
    rows:
        How many rows there are.
    quick:
        A few rows and one round, to see that everything works.
    output_dir:
        Where to write sqlite.json [benchmarks/results; with --quick nowhere].
    """
    if output_dir is None and not quick:
        output_dir = _RESULTS
    keys = [f"product_{number:08d}" for number in range(2_000 if quick else rows)]
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(1 if quick else 5):
        with TemporaryDirectory() as folder:
            anyio.run(_ours, f"{folder}/cache.db", keys, found.setdefault("SQLiteStore", {}))
        with suppress(ModuleNotFoundError), TemporaryDirectory() as folder:
            anyio.run(_diskcache, folder, keys, found.setdefault("diskcache", {}))
    medians = {
        name: {what: round(statistics.median(rates)) for what, rates in columns.items()}
        for name, columns in found.items()
        if columns
    }
    print("rows a second of processor time, medians")
    for name, columns in medians.items():
        print(f"{name:12}", "  ".join(f"{what} {rate:,.0f}" for what, rate in columns.items()))
    if output_dir is not None:
        output_dir.mkdir(parents=True, exist_ok=True)
        machine = f"{platform.machine()}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
        text = json.dumps(
            {"machine": machine, "versions": _versions(), "rows": len(keys), "rates": medians}, indent=1
        )
        (output_dir / "sqlite.json").write_text(f"{text}\n", encoding="utf-8")


async def _ours(path: str, keys: Sequence[str], rates: dict[str, list[float]]) -> None:
    async with SQLiteStore(path, namespace="products", key_type=str, value_type=str) as store:

        async def put(some: Sequence[str]) -> None:
            await store.set_many(dict.fromkeys(some, _VALUE), ttl=_TTL)

        async def page(some: Sequence[str]) -> None:
            await store.set_page(dict.fromkeys(some, _VALUE), read_at=store.now(), ttl=_TTL)

        async def get(some: Sequence[str]) -> None:
            found = await store.get_many(some)
            if len(found) != len(some):
                raise RuntimeError(f"{len(found)} of {len(some)} rows were found")

        await _measure(keys, rates, {"page": page, "page again": page, "put": put, "get": get})


async def _diskcache(folder: str, keys: Sequence[str], rates: dict[str, list[float]]) -> None:
    with import_module("diskcache").Cache(folder) as cache:

        async def put(some: Sequence[str]) -> None:
            with cache.transact():
                for key in some:
                    cache.set(key, _VALUE, expire=_TTL)

        async def get(some: Sequence[str]) -> None:
            for key in some:
                if cache.get(key) is None:
                    raise RuntimeError(f"{key} was not found")

        await _measure(keys, rates, {"put": put, "get": get})


async def _measure(keys: Sequence[str], rates: dict[str, list[float]], works: Mapping[str, Work]) -> None:
    for what, work in works.items():
        pages = [keys[at : at + _PAGE] for at in range(0, len(keys), _PAGE)]
        rates.setdefault(what, []).append(await _rate(work, pages))
    for what in ("put", "get"):
        alone = [[key] for key in keys[::_SINGLE]]
        rates.setdefault(f"{what} alone", []).append(await _rate(works[what], alone))


async def _rate(work: Work, pages: Sequence[Sequence[str]]) -> float:
    began = time.process_time()
    for page in pages:
        await work(page)
    return sum(map(len, pages)) / (time.process_time() - began)


def _versions() -> dict[str, str]:
    versions: dict[str, str] = {}
    for name in ("async-backfill", "diskcache"):
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


if __name__ == "__main__":
    App(name="python -m benchmarks.sqlite", default_command=benchmark, version_flags=())()
