"""What changed since a job was planned: then what was approved is not what would run."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from async_backfill._jobs._calls import answer
from async_backfill._jobs._errors import JobRefusedError
from async_backfill._jobs._planning.measuring import SECONDS, release

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill._jobs._ends import JobEnds
    from async_backfill._jobs._plan import Plan
    from async_backfill._jobs._spec import JobSpec


def changes(
    plan: Plan, *, rows: int | None, schema: str | None, release: str, spec: JobSpec | None = None
) -> Sequence[str]:
    """Return a few words for each thing that is not as it was planned.

    :param rows: the number of rows now; ``None`` when the source does not say.
    :param spec: what the job file says now; ``None`` when there is none at hand.
    """
    said = []
    if spec is not None:
        names = [each.name for each in fields(spec)]
        said += [f"{name} is another" for name in names if getattr(spec, name) != getattr(plan.spec, name)]
    if schema != plan.schema:
        said.append("the source has other columns, or other types of them")
    if rows is not None and not plan.holds_for(rows):
        said.append(f"the source has {rows:,} rows, and had {plan.rows:,}")
    if release != plan.release:
        said.append(f"this is release {release}, and it was planned by {plan.release}")
    return said


async def require_unchanged(
    plan: Plan,
    ends: JobEnds[Any, Any],
    *,
    spec: JobSpec | None = None,
    counted: bool = True,
    seconds: float = SECONDS,
) -> None:
    """Check that the source is as it was planned: its columns, and its number of rows within 20 %.

    :param counted: whether its rows are counted, which may take a while.
    :raises JobRefusedError: when it is not, or ``spec`` is another.
    :raises JobError: when the source cannot be asked.
    """
    rows, schema, facts = None, plan.schema, ends.source_facts
    if facts is not None:
        schema = await answer(facts.schema, seconds, "the source's columns could not be read")
        if counted:
            rows, _ = await answer(facts.count, seconds, "the source's rows could not be counted")
    said = changes(plan, rows=rows, schema=schema, release=release(), spec=spec)
    if said:
        problem = "; ".join(said)
        raise JobRefusedError(f"the plan does not hold any more: {problem}: plan the job again")
