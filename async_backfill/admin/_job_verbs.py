"""What an operator asks of a job with a form."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from async_backfill.admin._forms import Form
    from async_backfill.jobs import Jobs

    Verb: TypeAlias = Callable[[Jobs, int, Form, str], Awaitable[object]]

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
    rate, batch = form.text("rate"), form.text("batch")
    await jobs.set(
        job_id,
        by=by,
        rate=none if rate == none else form.number("rate"),
        batch=auto if batch == auto else form.whole("batch"),
        lanes=form.whole("lanes"),
    )


VERBS: Final[Mapping[str, Verb]] = MappingProxyType(
    {
        "approve": _approve,
        "revoke": _revoke,
        "resume": _resume,
        "pause": _pause,
        "cancel": _cancel,
        "set": _set,
    }
)
"""What may be asked of a job, by the last word of the form's address."""

DONE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "plan": "The plan is kept. Nothing runs before somebody has reviewed and approved it.",
        "approve": "The plan is approved.",
        "revoke": "The approval is taken back: workers begin no further page.",
        "resume": "The job goes on, as soon as there is a worker.",
        "pause": "Asked to pause: workers obey after their page.",
        "cancel": "Asked to end for good.",
        "set": "The settings are changed: workers use them after their page.",
        "panic": "All jobs that run were asked to pause.",
        "permits": "More backfills are approved.",
        "snapshot": "A snapshot is saved.",
        "stop-restoring": "No more of the snapshot is restored.",
    }
)
"""What is said after each of them."""
