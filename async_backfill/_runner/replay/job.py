"""Replay a scenario file and write its summary file."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import msgspec

from async_backfill._common.atomic_file import reason
from async_backfill._common.extras import needed_by
from async_backfill._common.validation import real, whole
from async_backfill._runner.log_lines import log_lines
from async_backfill._runner.logs.pieces import STANDARD_INPUT, name_of, read_standard_input
from async_backfill._runner.output import STANDARD_OUTPUT, OutputError, check_outputs, write_atomically
from async_backfill._runner.replay.arrivals import arrival_times
from async_backfill._runner.replay.failures import Failures
from async_backfill._runner.replay.held_journal import HeldJournal
from async_backfill._runner.replay.lookups import replay
from async_backfill._runner.replay.summary import VirtualTime, encode, summarize
from async_backfill._runner.scenario.build import files_of, load_lookups, make_cache
from async_backfill._runner.scenario.decode import decode
from async_backfill._runner.scenario.document import parse
from async_backfill._runner.scenario.environment import Secrets
from async_backfill._runner.scenario.first_answer import SourceFailedError
from async_backfill._runner.scenario.model import name_in_scenario
from async_backfill._runner.scenario.opening import open_scenario
from async_backfill.backfill.journal_file import JournalFile
from async_backfill.errors import ConfigurationError, ScenarioError
from async_backfill.sources._rows.tables import read_text, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from async_backfill._cache import BackfillCache
    from async_backfill._runner.replay.virtual_time import RunVirtually
    from async_backfill._runner.scenario.model import Settings
    from async_backfill.contracts import Clock


_MOST_TEXT: Final = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The scenario file to replay, the summary file to write, and settings that override the scenario's.

    ``overrides``
        settings by their names in the scenario; they win over the file.
    ``results_limit``
        the largest number of lookups for which the summary lists each result.
    ``journal``
        a file of hot keys, read before the replay and written after it.
    ``max_failed``
        the largest share of lookups that may fail, 0.0 to 1.0; if more do, the run has failed.
    """

    scenario: str
    output: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    results_limit: int = 1000
    journal: str | None = None
    max_failed: float = 0.5

    def __post_init__(self) -> None:
        whole("results_limit", self.results_limit, least=0)
        real("max_failed", self.max_failed, least=0.0, most=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of a job: the summary, its bytes as written, and the causes of failed lookups.

    ``causes``
        the most frequent ones, each with the number of its lookups.
    ``taken_for``
        what each file of lookups was taken for.
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
    with log_lines(secrets.hidden):
        try:
            async with AsyncExitStack() as resources:
                prepared = await _read(job, resources, secrets)
                return await _write(job, prepared, await _replay(prepared, progress))
        except BaseException as error:
            secrets.hide_in(error)
            raise


def run_in_virtual_time(job: Job, progress: Callable[[int, int], None]) -> Report:
    """Do the same as `run` in virtual time, on a clock that jumps from one event to the next.

    :raises MissingExtraError: when the extra ``virtual`` is not installed.
    """
    # Files are read and written in event loops of their own, before and after: virtual time would jump while
    # a thread works, differently on each run. See decision 29 in notes.md.
    run_virtually = _load_virtual_time()
    with log_lines(str):
        prepared = anyio.run(_read, job, None, Secrets(), anyio.current_time)
        summary = run_virtually(_replay_timed, prepared, progress)
        return anyio.run(_write, job, prepared, summary)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """The parts of a replay, read and checked."""

    cache: BackfillCache[Any, Any]
    lookups: Sequence[Any]
    arrivals: Iterator[float] | None
    settings: Settings
    keep: bool
    journal: HeldJournal | None
    taken_for: Sequence[str]
    hidden: Callable[[str], str]
    failures: Failures


async def _read(
    job: Job, resources: AsyncExitStack | None, secrets: Secrets, virtual_clock: Clock | None = None
) -> _Prepared:
    """Return the parts of the replay that the scenario describes.

    :param resources: closes what is opened; ``None`` refuses a scenario that needs something opened.
    :param secrets: remembers what was taken from the environment.
    :param virtual_clock: the clock of a replay in virtual time.
    """
    name = name_of(job.scenario)
    scenario = decode(parse(await _text_of(job.scenario), name), name)
    folder = Path(job.scenario).parent
    reads = [Path(job.scenario), *files_of(scenario, folder)]
    await check_outputs({"--output": job.output, "--journal": job.journal}, reads=reads)
    settings = msgspec.structs.replace(scenario.settings, **job.overrides)
    journal = None if job.journal is None else JournalFile(job.journal)
    held = None if journal is None else await HeldJournal.of(journal)
    taken_for: list[str] = []
    clocks = {} if virtual_clock is None else {"clock": virtual_clock, "wall_clock": virtual_clock}
    try:
        live, key_type = await open_scenario(scenario, folder, resources, secrets)
        cache = make_cache(live, settings, journal=held, **clocks)
        arrivals = arrival_times(settings.lookups_per_second, seed=settings.arrival_seed)
        lookups = await load_lookups(scenario, folder, key_type, taken_for=taken_for.append)
    except ConfigurationError as error:
        raise ScenarioError(f"{_place_of(error.setting, job)}: {error.problem}") from error
    except (ScenarioError, SourceFailedError) as error:
        raise type(error)(f"{name}: {error}") from error
    return _Prepared(
        cache=cache,
        lookups=lookups,
        arrivals=arrivals,
        settings=settings,
        keep=len(lookups) <= job.results_limit,
        journal=held,
        taken_for=taken_for,
        hidden=secrets.hidden,
        failures=Failures(secrets.hidden),
    )


async def _replay(
    prepared: _Prepared, progress: Callable[[int, int], None], latencies: list[float] | None = None
) -> dict[str, Any]:
    cache, lookups, settings = prepared.cache, prepared.lookups, prepared.settings
    async with cache:
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
        )
        seconds = anyio.current_time() - began
        return summarize(
            cache.stats,
            cache.audit_log,
            settings,
            results=list(zip(lookups, outcomes, strict=True)) if prepared.keep else None,
            virtual=None if latencies is None else VirtualTime(seconds=seconds, latencies=latencies),
            hidden=prepared.hidden,
        )


async def _replay_timed(prepared: _Prepared, progress: Callable[[int, int], None]) -> dict[str, Any]:
    return await _replay(prepared, progress, [])


async def _write(job: Job, prepared: _Prepared, summary: dict[str, Any]) -> Report:
    prepared.failures.check(len(prepared.lookups), job.max_failed)
    if prepared.journal is not None:
        try:
            await prepared.journal.write()
            prepared.journal.close()
        except OSError as error:
            raise OutputError(f"{job.journal}: cannot be written: {reason(error)}") from error
    content = encode(summary)
    if job.output != STANDARD_OUTPUT:
        await write_atomically(job.output, content)
    causes = prepared.failures.first()
    return Report(summary=summary, content=content, causes=causes, taken_for=prepared.taken_for)


async def _text_of(scenario: str) -> str:
    if scenario != STANDARD_INPUT:
        return await read_text(scenario, _MOST_TEXT)
    return text_of(name_of(scenario), await read_standard_input(_MOST_TEXT))


def _place_of(setting: str, job: Job) -> str:
    """Return the option or path where ``setting``, a name of the library, was given."""
    name = name_in_scenario(setting)
    if name in job.overrides:
        return f"--{name.replace('_', '-')}"
    return f"{name_of(job.scenario)}: $.{name}"


def _load_virtual_time() -> RunVirtually:
    """Return `run_virtually`.

    :raises MissingExtraError: when looptime is not installed.
    """
    with needed_by("--virtual-time", "virtual", "looptime"):
        from async_backfill._runner.replay.virtual_time import run_virtually  # noqa: PLC0415 - the extra is optional
    return run_virtually
