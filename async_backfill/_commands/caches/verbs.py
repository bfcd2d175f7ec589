"""The verbs of ``caches``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from cyclopts import Parameter

from async_backfill._commands.caches.options import USUAL, Options
from async_backfill._commands.caches.words import cache_line, cache_lines, key_lines
from async_backfill._commands.integers import integer
from async_backfill._commands.jobs.answers import FAILED, Answer, VerbError
from async_backfill._commands.jobs.numbers import read_words
from async_backfill._common.error_text import error_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_Name: TypeAlias = Annotated[str, Parameter(name="NAME")]
_Key: TypeAlias = Annotated[str, Parameter(name="KEY")]
_Type: TypeAlias = Annotated[str, Parameter(show_default=True)]
_Whole: Final = Parameter(name="N", converter=integer, show_default=False)
_SETTINGS: Final = ("threshold", "batch", "rate")


async def status(
    name: Annotated[str | None, Parameter(name="NAME", show_default=False)] = None,
    /,
    *,
    options: Options = USUAL,
) -> Answer:
    """Show a cache, or list all."""
    if name is not None:
        cache = await options.read("caches", name)
        return _answer(lambda: cache_lines(cache), cache)
    data = await options.read("caches")
    return _answer(lambda: [*map(cache_line, data["caches"])] or ["there are no caches"], data)


async def pause(name: _Name, /, *, reason: str, options: Options = USUAL) -> Answer:
    """Start no backfill by itself any more; the one that runs goes on.

    Parameters
    ----------
    reason:
        Why, for the audit log.
    """
    return await _ordered(options, name, "pause", reason=reason)


async def resume(name: _Name, /, *, reason: str, options: Options = USUAL) -> Answer:
    """Let backfills start by themselves again.

    Parameters
    ----------
    reason:
        Why, for the audit log.
    """
    return await _ordered(options, name, "resume", reason=reason)


async def cancel(name: _Name, /, *, reason: str, options: Options = USUAL) -> Answer:
    """End the backfills that run; what they have loaded stays.

    Parameters
    ----------
    reason:
        Why, for the audit log.
    """
    return await _ordered(options, name, "cancel", reason=reason)


async def approve(
    name: _Name, n: Annotated[int, _Whole], /, *, reason: str, options: Options = USUAL
) -> Answer:
    """Allow so many more automatic backfills.

    Parameters
    ----------
    n:
        How many.
    reason:
        Why, for the audit log.
    """
    return await _ordered(options, name, "approve", n=n, reason=reason)


async def revoke(
    name: _Name, n: Annotated[int | None, _Whole] = None, /, *, reason: str, options: Options = USUAL
) -> Answer:
    """Take approvals back that were not used.

    Parameters
    ----------
    n:
        How many at the most [all].
    reason:
        Why, for the audit log.
    """
    return await _ordered(options, name, "revoke", n=n, reason=reason)


async def off(name: _Name, /, *, reason: str, options: Options = USUAL) -> Answer:
    """Answer each read from the source, and keep nothing.

    Parameters
    ----------
    reason:
        Why, for the audit log.
    """
    return await _ordered(options, name, "off", reason=reason)


async def on(name: _Name, /, *, reason: str, options: Options = USUAL) -> Answer:
    """Keep values again.

    Parameters
    ----------
    reason:
        Why, for the audit log.
    """
    return await _ordered(options, name, "on", reason=reason)


async def invalidate(
    name: _Name, key: _Key, /, *, reason: str, key_type: _Type = "str", options: Options = USUAL
) -> Answer:
    """Remove a key.

    Parameters
    ----------
    key:
        The key as text. One that begins with a dash stands after --.
    reason:
        Why, for the audit log.
    key_type:
        What the text means: str, int, uuid, date, decimal or json; a list in JSON is a tuple.
    """
    return await _ordered(options, name, "invalidate", key=key, key_type=key_type, reason=reason)


async def explain(name: _Name, key: _Key, /, *, key_type: _Type = "str", options: Options = USUAL) -> Answer:
    """Say where a key is, how old, how it came, and why it left; nothing is loaded.

    Parameters
    ----------
    key:
        The key as text. One that begins with a dash stands after --.
    key_type:
        What the text means: str, int, uuid, date, decimal or json; a list in JSON is a tuple.
    """
    data = await options.order(name, "explain", {"key": key, "key_type": key_type})
    return _answer(lambda: key_lines(data["name"], data["answer"]), data)


async def retune(name: _Name, /, *settings: str, reason: str, options: Options = USUAL) -> Answer:
    """Change settings of backfills, from the next decision on.

    Example: retune prices threshold=0.3 rate=200 --reason "the source is slow"

    Parameters
    ----------
    settings:
        threshold (share of misses), batch (keys) or rate (keys a second); default is as the cache was made.
    reason:
        Why, for the audit log.
    """
    return await _ordered(options, name, "retune", **_settings_of(settings), reason=reason)


async def _ordered(options: Options, name: str, verb: str, **fields: Any) -> Answer:
    cache = await options.order(name, verb, fields)
    said = cache.get("answer")
    told = {
        "cancel": "a backfill was ended" if said else "no backfill ran",
        "revoke": f"{said} approvals were taken back",
        "invalidate": f"{said} is no longer kept",
    }
    return _answer(lambda: [told.get(verb, f"{verb}: done"), *cache_lines(cache)], cache)


def _answer(lines: Callable[[], list[str]], data: Any) -> Answer:
    """Return an answer of the lines that ``lines`` makes of what the server has said."""
    try:
        return Answer(lines=lines(), data=data)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError) as error:
        said = f"the server answers what this release does not understand: {error_line(error)}"
        raise VerbError(FAILED, said) from error


def _settings_of(words: Sequence[str]) -> dict[str, str]:
    """Return the settings in words such as ``rate=200``; the server looks at their values.

    :raises ConfigurationError: for a name that is not known.
    """
    expected = "threshold=SHARE, batch=NUMBER or rate=NUMBER"
    return read_words(words, _SETTINGS, lambda _, text: text or None, expected=expected)
