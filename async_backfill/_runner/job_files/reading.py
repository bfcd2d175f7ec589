"""Read a job file: TOML or JSON, strictly; what is wrong is one line with its path."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from async_backfill._jobs._spec import JobSettings, JobSpec, ThrottleLimits
from async_backfill._runner.job_files.ends import Ends, placed
from async_backfill._runner.job_files.model import Fields
from async_backfill._runner.job_files.ranges import check_ranges
from async_backfill._runner.scenario.document import parse
from async_backfill.errors import ConfigurationError, ScenarioError
from async_backfill.sources._rows.tables import read_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_GUARDS: Final = ("stamp", "recheck", "version", "none")
_POLICIES: Final = ("missing", "stale", "all")
_DEFAULT_STORE: Final = "cache.db"
_OF_A_WORKER: Final = 16  # shards: of fewer, the slow one is waited for at the end
_MOST_WORKERS: Final = 600
_MOST_TEXT: Final = 1 << 20
_ENDS: Final = ("source", "store", "budget", "throttle")


async def read_job(path: Path, *, budget: str | None = None) -> tuple[JobSpec, str | None]:
    """Return the job in the file at ``path``, and a line about the store if the file names none.

    The ends are not opened, and no environment variable is read: ``${NAME}`` stays as it is.

    :param budget: the URL of a budget in place of the one that the file names, if it does.
    :raises ScenarioError: for an unknown or missing name, a wrong type, a value out of range, a password.
    """
    return job_of(await read_text(path, _MOST_TEXT), str(path), path.parent, budget=budget)


def job_of(text: str, file: str, folder: Path, *, budget: str | None = None) -> tuple[JobSpec, str | None]:
    """Return the job that ``text`` describes, and a line about the store if the file names none.

    Nothing is opened, and no environment variable is read: ``${NAME}`` stays as it is.

    :param file: the name of the job file, the start of each error message.
    :param budget: the URL of a budget in place of the one that the text names, if it does.
    :param folder: the folder from which its paths are taken; in the spec they are absolute.
    :raises ScenarioError: for an unknown or missing name, a wrong type, a value out of range, a password.
    """
    document = parse(text, file, what="a job")
    ends = Ends(file)
    top = tuple(Fields.__struct_fields__)
    ends.check_names(document, None, known=(*top, *_ENDS), required=("name", "source"))
    for name, allowed in (("guard", _GUARDS), ("policy", _POLICIES)):
        if name in document:
            ends.check_choice(document[name], (None, name), allowed=allowed)
    given = ends.convert({name: document[name] for name in top if name in document}, Fields, None)
    workers = given.workers
    if not 1 <= workers <= _MOST_WORKERS:
        raise ends.error((None, "workers"), f"must be 1 to {_MOST_WORKERS}, not {workers}")
    ends.source(document["source"])
    store = document.get("store", {"kind": "sqlite", "file": _DEFAULT_STORE})
    ends.store(store)
    shared = document.get("budget")
    if budget is not None:
        shared = {"kind": "redis", "url": budget}
    ends.budget(shared)
    source, store = placed(document["source"], folder), placed(store, folder)
    if store["kind"] == "sqlite" and "file" not in store:
        store["file"] = str((folder / _DEFAULT_STORE).absolute())
    spec = JobSpec(
        name=given.name,
        source=source,
        store=store,
        guard=given.guard,
        policy=given.policy,
        ttl=given.ttl,
        ttl_jitter=given.ttl_jitter,
        settings=JobSettings(
            rate=given.rate,
            batch=given.batch,  # type: ignore[arg-type] # checked below
            lanes=given.lanes,
            pages=given.pages,
        ),
        budget=shared,
        shards=_OF_A_WORKER * workers if given.shards is None else given.shards,
        max_dead=given.max_dead,
        four_eyes=given.four_eyes,
        throttle=_throttle(document.get("throttle", {}), ends),
    )
    try:
        check_ranges(spec)
    except ConfigurationError as error:
        raise ScenarioError(f"{file}: $.{error.setting}: {error.problem}") from error
    is_default = store["kind"] == "sqlite" and "file" not in document.get("store", {})
    return spec, f"store: {store['file']}, as the job file names none" if is_default else None


def _throttle(limits: Any, ends: Ends) -> ThrottleLimits:
    place = (None, "throttle")
    if isinstance(limits, dict):
        known: Mapping[str, Any] = limits
        ends.check_names(known, place, known=[field.name for field in fields(ThrottleLimits)], required=())
    return ends.convert(limits, ThrottleLimits, place)
