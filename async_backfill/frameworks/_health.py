"""Whether an application may take traffic: the answer of a readiness probe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from async_backfill._cache import BackfillCache
from async_backfill.backfill.readiness import ReadinessState
from async_backfill.errors import CacheClosedError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping


def readiness_of(resources: Mapping[str, object]) -> tuple[bool, dict[str, Any]]:
    """Return whether all of ``resources`` may take traffic, and what to tell a probe; it waits for nothing.

    It holds their names and states only: no key, no address, no text of an error.
    """
    states = {name: _state(resource) for name, resource in resources.items()}
    is_ready = all(state["state"] not in {"closed", ReadinessState.WARMING} for state in states.values())
    return is_ready, {"ready": is_ready, "resources": states}


def _state(resource: object) -> dict[str, Any]:
    if not isinstance(resource, BackfillCache):
        return {"state": "closed" if resource is None else "open"}
    try:
        readiness = resource.readiness
    except CacheClosedError:
        return {"state": "closed"}
    except ConfigurationError:  # it has no history, so it is never warmed
        return {"state": "open"}
    return {"state": str(readiness.state), "coverage": round(readiness.coverage, 4)}
