"""``python -m benchmarks.operator_page``: processor time of a page, and of a hundred that are followed."""

from __future__ import annotations

import json
import platform
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
from cyclopts import App

from async_backfill import BackfillCache, MappingSource
from async_backfill._jobs._state.jobs import add_job
from async_backfill.admin import Access, Application
from async_backfill.jobs import Jobs, JobSpec, Plan, SQLiteJobState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Message

_RESULTS: Final = Path(__file__).parents[1] / "results"
_ROUNDS: Final = 5
_SHARDS: Final = 32
_PAGES: Final = 100


def benchmark(*, quick: bool = False, output_dir: Path | None = None) -> None:
    """Show what the operator's page costs.

    Parameters
    ----------
    quick:
        Few caches and jobs, to see that everything works.
    output_dir:
        Where to write operator_page.json [benchmarks/results; with --quick nowhere].
    """
    if output_dir is None and not quick:
        output_dir = _RESULTS
    caches, jobs, seconds = (10, 2, 0.5) if quick else (1_000, 100, 30.0)
    figures = anyio.run(measure, caches, jobs, seconds)
    for name, figure in figures.items():
        print(f"{name}: {figure:.4f}")
    if output_dir is not None:
        output_dir.mkdir(parents=True, exist_ok=True)
        machine = f"{platform.machine()}, Python {platform.python_version()}"
        text = json.dumps({"machine": machine, "caches": caches, "jobs": jobs, **figures}, indent=2)
        (output_dir / "operator_page.json").write_text(text + "\n", encoding="utf-8")


async def measure(caches: int, jobs: int, seconds: float) -> Mapping[str, float]:
    """Return seconds of the processor for a page, and shares of a processor for pages that are followed."""
    with tempfile.TemporaryDirectory() as folder:
        async with SQLiteJobState(Path(folder) / "jobs.sqlite") as state:
            for number in range(jobs):
                await state.transact(partial(add_job, plan=_plan(f"job {number}"), by="ada"))
            source = MappingSource({1: 1})
            page = Application(
                caches={f"cache {number}": BackfillCache(source) for number in range(caches)},
                jobs=Jobs(state),
                access=Access(local_user="ada"),
            )
            return {
                "overview_seconds": await _opened(page, "/"),
                "job_seconds": await _opened(page, "/jobs/1"),
                "overview_followed_share": await _followed(page, "/events", seconds),
                "job_followed_share": await _followed(page, "/jobs/1/events", seconds),
            }


async def _opened(page: Application, path: str) -> float:
    taken: list[float] = []
    for _ in range(_ROUNDS):
        await anyio.sleep(1.1)  # what was seen holds for a second
        before = time.process_time()
        await page(_scope(path), _wait, _ignore)
        taken.append(time.process_time() - before)
    return min(taken)


async def _followed(page: Application, path: str, seconds: float) -> float:
    async with anyio.create_task_group() as group:
        for _ in range(_PAGES):
            group.start_soon(page.__call__, _scope(path), _wait, _ignore)
        await anyio.sleep(seconds / 3)
        before, began = time.process_time(), time.monotonic()
        await anyio.sleep(seconds)
        share = (time.process_time() - before) / (time.monotonic() - began)
        group.cancel_scope.cancel()
    return share


async def _wait() -> Message:
    await anyio.sleep_forever()
    raise AssertionError  # nobody hangs up


async def _ignore(message: Message) -> None:
    if message["type"] == "http.response.start" and message["status"] != 200:
        raise RuntimeError(f"the page answered {message['status']}")


def _scope(path: str) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 50_000),
    }


def _plan(name: str) -> Plan:
    return Plan(
        spec=JobSpec(name=name, source={"kind": "sql"}, store={"kind": "sqlite"}),
        rows=1_000_000,
        rows_by="counted",
        row_bytes=100.0,
        store_bytes=None,
        store_limit=None,
        present=0.0,
        schema=None,
        cuts=[f"{number:03}".encode() for number in range(1, _SHARDS)],
        release="1",
    )


if __name__ == "__main__":
    App(name="python -m benchmarks.operator_page", default_command=benchmark, version_flags=())()
