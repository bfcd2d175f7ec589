"""Replay a scenario file and write its summary file."""

from __future__ import annotations

from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio

from async_backfill._common.atomic_file import reason
from async_backfill._common.extras import needed_by
from async_backfill._runner.log_lines import log_lines
from async_backfill._runner.logs.pieces import name_of
from async_backfill._runner.output import STANDARD_OUTPUT, OutputError, write_atomically
from async_backfill._runner.replay.facts import Facts
from async_backfill._runner.replay.lookups import replay
from async_backfill._runner.replay.preparing import prepare
from async_backfill._runner.replay.summary import VirtualTime, encode, summarize
from async_backfill._runner.scenario.environment import Secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from async_backfill._runner.replay.preparing import Job, Prepared
    from async_backfill._runner.replay.virtual_time import RunVirtually
    from async_backfill.contracts import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of a job: the summary, its bytes as written, and the causes of failed lookups.

    ``causes``
        the most frequent ones, each with the number of its lookups.
    ``taken_for``
        lines about what each file was taken for, and what was read into memory.
    """

    summary: dict[str, Any]
    content: bytes
    causes: Sequence[tuple[str, int]] = ()
    taken_for: Sequence[str] = ()


async def run(job: Job, progress: Callable[[int, int], None]) -> Report:
    """Replay the scenario of ``job`` and write its summary; after an error nothing is written.

    :param progress: a function that is called now and then with the lookups begun and the total.
    :raises ScenarioError: when the scenario, a file it names, a setting or the output cannot be used.
    :raises SourceFailedError: when the source cannot answer, or too many lookups failed.
    :raises OutputError: when writing fails in spite of the check before.
    """
    secrets = Secrets()
    with log_lines(secrets.hidden), _hiding(secrets):
        async with AsyncExitStack() as resources:
            prepared = await _prepared(job, resources, secrets)
            return await _write(job, prepared, await _replay(prepared, progress))


def run_in_virtual_time(job: Job, progress: Callable[[int, int], None]) -> Report:
    """Do the same as `run` in virtual time, on a clock that jumps from one event to the next.

    :raises MissingExtraError: when the extra ``virtual`` is not installed.
    """
    # Files are read and written in event loops of their own, before and after: virtual time would jump while
    # a thread works, differently on each run. See decision 29 in notes.md.
    run_virtually = _load_virtual_time()
    secrets = Secrets()
    with log_lines(secrets.hidden), _hiding(secrets):
        prepared = anyio.run(_prepared, job, None, secrets, anyio.current_time)
        summary = run_virtually(_replay_timed, prepared, progress)
        return anyio.run(_write, job, prepared, summary)


@contextmanager
def _hiding(secrets: Secrets) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        secrets.hide_in(error)
        raise


async def _replay(
    prepared: Prepared, progress: Callable[[int, int], None], latencies: list[float] | None = None
) -> dict[str, Any]:
    cache, lookups, settings = prepared.cache, prepared.lookups, prepared.settings
    course = prepared.course
    async with cache:
        if course is not None:
            course.starts(cache)
        began = anyio.current_time()
        outcomes = await replay(
            cache,
            lookups,
            concurrency=settings.concurrency,
            keep=prepared.keep,
            flush_at=settings.flush_at,
            progress=progress,
            arrivals=prepared.arrivals,
            took=None if latencies is None else latencies.append,
            failed=prepared.failures.note,
            watch=course,
            beginning=lookups.begins if lookups.have_objects else None,
        )
        if course is not None:
            course.finishes()
        seconds = anyio.current_time() - began
        return summarize(
            cache.stats,
            cache.audit_log,
            settings,
            results=list(zip(lookups.keys, outcomes, strict=True)) if prepared.keep else None,
            virtual=None if latencies is None else VirtualTime(seconds=seconds, latencies=latencies),
            hidden=prepared.hidden,
        )


async def _replay_timed(prepared: Prepared, progress: Callable[[int, int], None]) -> dict[str, Any]:
    return await _replay(prepared, progress, [])


async def _prepared(
    job: Job, resources: AsyncExitStack | None, secrets: Secrets, virtual_clock: Clock | None = None
) -> Prepared:
    if job.report is not None:
        _load_page()
    return await prepare(job, resources, secrets, virtual_clock)


async def _write(job: Job, prepared: Prepared, summary: dict[str, Any]) -> Report:
    prepared.failures.check(len(prepared.lookups), job.max_failed)
    if prepared.journal is not None:
        try:
            await prepared.journal.write()
            prepared.journal.close()
        except OSError as error:
            raise OutputError(f"{job.journal}: cannot be written: {reason(error)}") from error
    content = encode(summary)
    causes = prepared.failures.first()
    if job.report is not None and prepared.course is not None:
        facts = Facts(
            name=name_of(job.scenario),
            source=prepared.source,
            summary=summary,
            course=prepared.course,
            timed="virtual_seconds" in summary,
            taken_for=prepared.taken_for,
            failures=causes,
        )
        await write_atomically(job.report, _load_page()(facts))
    if job.output != STANDARD_OUTPUT:
        await write_atomically(job.output, content)
    return Report(summary=summary, content=content, causes=causes, taken_for=prepared.taken_for)


def _load_page() -> Callable[[Facts], bytes]:
    """Return the function that draws the page of a replay.

    :raises MissingExtraError: when jinja2 is not installed.
    """
    with needed_by("--report", "report", "jinja2"):
        from async_backfill._runner.replay.page import draw  # noqa: PLC0415 - the extra is optional
    return draw


def _load_virtual_time() -> RunVirtually:
    """Return `run_virtually`.

    :raises MissingExtraError: when looptime is not installed.
    """
    with needed_by("--virtual-time", "virtual", "looptime"):
        from async_backfill._runner.replay.virtual_time import run_virtually  # noqa: PLC0415 - the extra is optional
    return run_virtually
