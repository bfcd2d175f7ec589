"""The verb ``verify``: compare what a job has read with the store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from cyclopts import Parameter

from async_backfill._commands.jobs.answers import GAPS, OK, PAUSED, Answer
from async_backfill._commands.jobs.numbers import JobNumber, share_or_rows
from async_backfill._commands.jobs.options import USUAL, Options
from async_backfill._commands.telling import say
from async_backfill._common.error_text import key_text
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from async_backfill.jobs import Verified

_MOST_SHOWN: Final = 20


async def verify(
    job: JobNumber,
    /,
    *,
    sample: Annotated[float | None, Parameter(converter=share_or_rows, show_default=False)] = None,
    all_: Annotated[bool, Parameter(name="--all", negative=(), show_default=False)] = False,
    extra: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    repair: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    watch: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    options: Options = USUAL,
) -> Answer:
    """Compare what a job has read with the store.

    A difference is one that stays the same at a second look, 2 s later. Exit
    code 1 if any is left.

    Parameters
    ----------
    sample:
        The share of the rows, such as 0.02, or their number, such as 500 [3000].
    all_:
        Compare all rows.
    extra:
        Look for keys of the store without a row, too.
    repair:
        Write rows that differ again, and remove keys without one.
    watch:
        Say on standard error how many rows were compared so far, once a second.
    """
    if all_ and sample is not None:
        raise ConfigurationError("--all", "is for all rows, --sample for some: give one of them")
    request: dict[str, Any] = {"extra": extra, "repair": repair}
    if all_ or sample is not None:
        request["sample"] = sample
    if watch:
        request["progress"] = _Told()
    async with options.jobs() as jobs:
        found = await jobs.verify(job, by=options.who, **request)
        report = await jobs.status(job)
        left = [(key_text(key), kind) for key, kind in (await jobs.findings(job)).items()]
    data = {
        **msgspec.to_builtins(found),
        "differences": found.differences,
        "left": found.left,
        "findings": [{"key": key, "kind": kind} for key, kind in left],
        "job": job,
        "status": report.status,
    }
    status = f"job {job} {report.name}: {report.status.replace('_', ' ')}"
    shown = [f"  {key}: {kind}" for key, kind in left[:_MOST_SHOWN]]
    if len(left) > _MOST_SHOWN:
        shown.append(f"  and {len(left) - _MOST_SHOWN:,} others: --json names the first 10,000")
    lines = [*_lines(found), *shown, f"{status}: {report.reason}" if report.reason else status]
    has_gaps = found.left > 0 or report.status == "done_with_gaps"
    code = PAUSED if found.stopped is not None else GAPS if has_gaps else OK
    return Answer(lines=lines, data=data, code=code)


class _Told:
    """Says how far a verification has got, once a second."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, compared: int) -> None:
        if (now := time.monotonic()) >= self._next:
            self._next = now + 1.0
            say(f"compared so far: {compared:,} rows")


def _lines(found: Verified) -> list[str]:
    what = "all" if found.is_all else "a sample"
    said = f"{found.compared:,} rows compared, {what}: {found.differences:,} differences"
    if found.repaired:
        said = f"{said}, {found.repaired:,} of them repaired"
    if found.stopped is not None:
        said = f"{said}; ended early: {found.stopped}"
    kinds = [
        (found.wrong, "differ from their copy"),
        (found.missing, "are missing in the store"),
        (found.extra or 0, "are keys of the store without a row"),
        (found.unread, "could not be read again"),
        (found.inserted, "came after the job had passed (no difference)"),
        (found.expired, "may have expired (no difference)"),
        (found.rejected, "cannot be kept by the store (no difference)"),
        (found.dead, "are dead: see dead (no difference)"),
        (found.changing, "changed at each look (no difference)"),
    ]
    return [said, *(f"{number:>12,} {words}" for number, words in kinds if number)]
