"""Check the settings of a job that say nothing of its ends: ranges, hours, and what goes together."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

import msgspec

from async_backfill._common.validation import positive_seconds, positive_seconds_or_none, real, seconds, whole
from async_backfill._jobs._running.throttles import minutes_of
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from async_backfill._jobs._spec import JobSettings, JobSpec, ThrottleLimits

_LONGEST: Final = 100
_MOST_SHARDS: Final = 10_000
_MOST_LANES: Final = 1_000
_MOST_ROWS: Final = 1_000_000
_TIME: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_HOURS: Final = re.compile(rf"{_TIME}-(?:{_TIME}|24:00)")


def check_spec(spec: JobSpec) -> None:
    """Raise `ConfigurationError` for the first setting that is out of range; it is named with its path."""
    name: object = spec.name
    if not (isinstance(name, str) and 0 < len(name) <= _LONGEST and name.isprintable()):
        raise ConfigurationError("name", f"must be 1 to {_LONGEST} printable characters, not {name!r:.50}")
    positive_seconds_or_none("ttl", spec.ttl)
    real("ttl_jitter", spec.ttl_jitter, least=0.0, most=1.0)
    _most("shards", whole("shards", spec.shards, least=1), _MOST_SHARDS)
    whole("max_dead", spec.max_dead, least=0)
    check_settings(spec.settings, has_budget=spec.budget is not None)
    _check_throttle(spec.throttle)
    _check_kept(spec)


def check_settings(settings: JobSettings, *, has_budget: bool) -> None:
    """Raise `ConfigurationError` for the first of ``settings`` that is out of range, or needs a budget."""
    if settings.rate is not None and real("rate", settings.rate, least=0.0, most=math.inf) == 0.0:
        raise ConfigurationError("rate", "0 rows a second would never end: pause the job, or give no limit")
    if settings.batch != "auto":
        if isinstance(settings.batch, str):
            raise ConfigurationError("batch", f'must be "auto" or a whole number, not {settings.batch!r:.50}')
        _most("batch", whole("batch", settings.batch, least=1), _MOST_ROWS)
    _most("lanes", whole("lanes", settings.lanes, least=1), _MOST_LANES)
    if settings.pages is not None:
        if not has_budget:
            raise ConfigurationError("pages", "needs a budget, which counts those of all workers")
        _most("pages", whole("pages", settings.pages, least=1), _MOST_SHARDS)


def _check_throttle(limits: ThrottleLimits) -> None:
    if limits.hours is not None:
        if not _HOURS.fullmatch(limits.hours):
            problem = f'must be a begin and an end such as "22:00-06:00", not {limits.hours!r:.50}'
            raise ConfigurationError("throttle.hours", problem)
        minutes_of(limits.hours)
    if limits.source_latency is not None:
        real("throttle.source_latency", limits.source_latency, least=1.0, most=math.inf)
    if limits.max_lag is not None:
        seconds("throttle.max_lag", limits.max_lag)
    _share("throttle.store_memory", limits.store_memory)
    _share("throttle.error_rate", limits.error_rate)
    if limits.store_latency is not None:
        positive_seconds("throttle.store_latency", limits.store_latency)
    seconds("throttle.patience", limits.patience)
    asks = limits.load_query is not None or limits.load_url is not None
    if asks and limits.max_load is None:
        raise ConfigurationError("throttle.max_load", "is missing: the largest answer that is allowed")
    if limits.max_load is not None:
        if not asks:
            raise ConfigurationError(
                "throttle.max_load", "needs load_query or load_url, whose answer it limits"
            )
        real("throttle.max_load", limits.max_load, least=-math.inf, most=math.inf)
    if limits.load_url is not None and not limits.load_url.startswith(("http://", "https://")):
        raise ConfigurationError("throttle.load_url", "must begin with http:// or https://")


def _check_kept(spec: JobSpec) -> None:
    """Check that the spec can be kept, and comes back as it is."""
    try:
        msgspec.json.decode(msgspec.json.encode(spec), type=type(spec))
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise ConfigurationError("spec", f"{error}: it must be plain JSON values") from error


def _share(setting: str, value: float) -> None:
    if real(setting, value, least=0.0, most=1.0) == 0.0:
        raise ConfigurationError(setting, "must be above 0.0: with 0.0 it would wait for ever")


def _most(setting: str, number: int, most: int) -> None:
    if number > most:
        raise ConfigurationError(setting, f"must be at most {most}, not {number}")
