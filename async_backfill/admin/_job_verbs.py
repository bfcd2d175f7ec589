"""What an operator asks of a job, with a form or through the API."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from async_backfill.admin._forms import Form
    from async_backfill.admin._verifications import Verifications
    from async_backfill.jobs import Jobs

    Verb: TypeAlias = Callable[[int, Form, str], Awaitable[object]]

_HOUR: Final = 3600.0


async def _approve(jobs: Jobs, job_id: int, form: Form, by: str) -> None:
    hours = form.number("hours")
    await jobs.approve(
        job_id,
        plan_hash=form.required("plan_hash"),
        by=by,
        reason=form.required("reason"),
        max_rows=form.whole("max_rows"),
        seconds=None if hours is None else hours * _HOUR,
    )


async def _revoke(jobs: Jobs, job_id: int, form: Form, by: str) -> None:
    await jobs.revoke(job_id, by=by, reason=form.text("reason"))


async def _resume(jobs: Jobs, job_id: int, form: Form, by: str) -> None:
    await jobs.resume(job_id, by=by, from_start=form.is_ticked("from_start"))


async def _pause(jobs: Jobs, job_id: int, form: Form, by: str) -> None:
    await jobs.pause(job_id, by=by, reason=form.text("reason"))


async def _cancel(jobs: Jobs, job_id: int, form: Form, by: str) -> None:
    if not form.is_ticked("for_good"):
        raise ConfigurationError("for_good", "tick the box: a job that was cancelled never runs again")
    await jobs.cancel(job_id, by=by, reason=form.text("reason"))


async def _set(jobs: Jobs, job_id: int, form: Form, by: str) -> None:
    none: Literal["none"] = "none"
    auto: Literal["auto"] = "auto"
    rate, batch, pages = form.text("rate"), form.text("batch"), form.text("pages")
    await jobs.set(
        job_id,
        by=by,
        rate=none if rate == none else form.number("rate"),
        batch=auto if batch == auto else form.whole("batch"),
        lanes=form.whole("lanes"),
        pages=none if pages == none else form.whole("pages"),
    )


async def _verify(verifications: Verifications, job_id: int, form: Form, by: str) -> None:
    await verifications.begin(job_id, by=by, is_all=_is_all(form), repairs=False)


async def _mend(verifications: Verifications, job_id: int, form: Form, by: str) -> None:
    if not form.is_ticked("sure"):
        raise ConfigurationError("sure", "tick the box: rows that differ are written to the store")
    await verifications.begin(job_id, by=by, is_all=_is_all(form), repairs=True)


def _is_all(form: Form) -> bool:
    rows = form.text("rows") or "sample"
    if rows not in {"sample", "all"}:
        raise ConfigurationError("rows", f'must be "sample" or "all", not {rows!r:.60}')
    return rows == "all"


async def _end_verification(verifications: Verifications, job_id: int, form: Form, by: str) -> None:
    del form
    await verifications.end(job_id, by=by)


def job_verbs(jobs: Jobs, verifications: Verifications) -> Mapping[str, Verb]:
    """Return what may be asked of a job, by the last word of the address."""
    orders = {
        "approve": _approve,
        "revoke": _revoke,
        "resume": _resume,
        "pause": _pause,
        "cancel": _cancel,
        "set": _set,
    }
    looks = {"verify": _verify, "mend": _mend, "end-verification": _end_verification}
    found: dict[str, Verb] = {name: partial(verb, jobs) for name, verb in orders.items()}
    return found | {name: partial(verb, verifications) for name, verb in looks.items()}
