"""What the API says of a cache, in lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from async_backfill._runner.wording import in_utc, share

if TYPE_CHECKING:
    from collections.abc import Mapping


def cache_line(cache: Mapping[str, Any]) -> str:
    """Return a cache in one line of a list."""
    stats = cache["stats"]
    budget = "  needs approval" if stats["budget"] == "needs_approval" else ""
    circuit = "" if stats["circuit"] in {None, "closed"} else f"  circuit {_words(stats['circuit'])}"
    return f"{cache['name']}  hit rate {share(stats['hit_rate'])}  {stats['size']:,} keys{budget}{circuit}"


def cache_lines(cache: Mapping[str, Any]) -> list[str]:
    """Return all that a person needs of a cache to decide what to do."""
    stats, control = cache["stats"], cache["control"]
    state = "off, reads go through" if control["is_off"] else "on"
    backfills = "paused" if control["is_paused"] else "start by themselves"
    permits = "without limit" if stats["permits_left"] is None else f"{stats['permits_left']:,} left"
    needs = ", needs approval" if stats["budget"] == "needs_approval" else ""
    rate, lookups, misses = share(stats["hit_rate"]), stats["lookups"], stats["misses"]
    started, denied, failed = (stats[name] for name in ("backfills", "backfills_denied", "backfills_failed"))
    tuned = (f"{name} {_or_none(control[name])}" for name in ("threshold", "batch", "rate"))
    lines = [
        f"cache {cache['name']}: {state}; backfills {backfills}; permits {permits}{needs}",
        f"  hit rate {rate} of {lookups:,} lookups, {misses:,} misses, {stats['size']:,} keys",
        f"  backfills: {started:,} started, {denied:,} denied, {failed:,} failed",
        f"  {', '.join(tuned)}",
    ]
    if stats["circuit"] not in {None, "closed"}:
        lines.append(f"  the source fails: its circuit is {_words(stats['circuit'])}")
    if stats["far"] and stats["far"]["circuit"] != "closed":
        lines.append(f"  the far tier fails: its circuit is {_words(stats['far']['circuit'])}")
    if cache["readiness"]:
        lines.append(f"  {_words(cache['readiness']['state'])}: {cache['readiness']['reason']}")
    if running := control["running"]:
        lines.append(
            f"  backfill {running['number']} runs since {in_utc(running['since'])}: "
            f"{running['loaded']:,} of {running['keys']:,} keys have come"
        )
    for verb, order in control["orders"].items():
        lines.append(f"  {verb}: by {order['by']}, {in_utc(order['time'])}: {order['reason']}")
    return lines


def key_lines(cache: str, key: Mapping[str, Any]) -> list[str]:
    """Return what is known of a key."""
    fresh = {True: "fresh", False: "stale", None: ""}[key["is_fresh"]]
    lines = [f"{key['key']} in cache {cache}: {key['where']}{f', {fresh}' if fresh else ''}"]
    for name, words in (("age", "age"), ("expires_in", "fresh for"), ("far_age", "age in the far tier")):
        if key[name] is not None:
            lines.append(f"  {words}: {key[name]:,.1f} s")
    if key["loaded_by"] is not None:
        lines.append(f"  came by: {key['loaded_by']}")
    if key["left_because"] is not None:
        ago = "" if key["left_ago"] is None else f", {key['left_ago']:,.1f} s ago"
        lines.append(f"  left: {_words(key['left_because'])}{ago}")
    if key["heat"] is not None:
        lines.append(f"  heat: {key['heat']:g}")
    if key["is_loading"]:
        lines.append("  it is being loaded")
    if key["is_absent"]:
        lines.append("  the source does not have it, as far as is known")
    if key["far_failed"] is not None:
        lines.append(f"  the far tier did not answer: {key['far_failed']}")
    return lines


def _words(value: str) -> str:
    return value.replace("_", " ")


def _or_none(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"
