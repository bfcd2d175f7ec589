"""What an operator asks of a cache, with a form or through the API."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
from anyio import fail_after

from async_backfill._common.error_text import key_text
from async_backfill.admin._refusals import RefusedError, logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from async_backfill._cache import BackfillCache
    from async_backfill.admin._forms import Form

    Cache: TypeAlias = BackfillCache[Any, Any]
    Verb: TypeAlias = Callable[[Cache, Form, str], Awaitable[object]]

_PATIENCE: Final = 30.0
_SLOW: Final = "It took longer than {:.0f} s, and may still be done: look at the audit log."
_AS_MADE: Final = "default"


async def _pause(cache: Cache, form: Form, by: str) -> None:
    await cache.control.pause(by=by, reason=form.required("reason"))


async def _resume(cache: Cache, form: Form, by: str) -> None:
    await cache.control.resume(by=by, reason=form.required("reason"))


async def _cancel(cache: Cache, form: Form, by: str) -> bool:
    return await cache.control.cancel(by=by, reason=form.required("reason"))


async def _approve(cache: Cache, form: Form, by: str) -> int:
    n, reason = form.whole("n") or 0, form.required("reason")
    await cache.control.approve(n, by=by, reason=reason)
    return n


async def _revoke(cache: Cache, form: Form, by: str) -> int:
    return await cache.control.revoke(form.whole("n"), by=by, reason=form.required("reason"))


async def _off(cache: Cache, form: Form, by: str) -> None:
    await cache.control.off(by=by, reason=form.required("reason"))


async def _on(cache: Cache, form: Form, by: str) -> None:
    await cache.control.on(by=by, reason=form.required("reason"))


async def _invalidate(cache: Cache, form: Form, by: str) -> str:
    key = form.key()
    await cache.control.invalidate(key, by=by, reason=form.required("reason"))
    return key_text(key)


async def _explain(cache: Cache, form: Form, by: str) -> Mapping[str, object]:
    del by
    explanation = await cache.control.explain(form.key())
    facts: Mapping[str, object] = msgspec.to_builtins(replace(explanation, key=key_text(explanation.key)))
    return facts


async def _retune(cache: Cache, form: Form, by: str) -> None:
    await cache.control.retune(
        threshold=_given(form, "threshold", form.number),
        batch=_given(form, "batch", form.whole),
        rate=_given(form, "rate", form.number),
        by=by,
        reason=form.required("reason"),
    )


async def _save_snapshot(cache: Cache, form: Form, by: str) -> None:
    del form
    await cache.save_snapshot()
    logger().info("%s had a snapshot saved", by)


async def _stop_restoring(cache: Cache, form: Form, by: str) -> None:
    del form
    cache.stop_restoring()
    logger().info("%s had the restoring of a snapshot stopped", by)


VERBS: Final[Mapping[str, Verb]] = MappingProxyType(
    {
        "pause": _pause,
        "resume": _resume,
        "cancel": _cancel,
        "approve": _approve,
        "revoke": _revoke,
        "off": _off,
        "on": _on,
        "invalidate": _invalidate,
        "explain": _explain,
        "retune": _retune,
        "snapshot": _save_snapshot,
        "stop-restoring": _stop_restoring,
    }
)
"""What may be asked of a cache, by the last word of the address."""

LOOKS: Final = frozenset({"explain"})
"""Those that change nothing: who may only look may ask them."""


async def do(verb: str, cache: Cache, form: Form, by: str) -> object:
    """Do one of `VERBS`, and return what it answers.

    :raises RefusedError: when it takes too long.
    """
    try:
        with fail_after(_PATIENCE):
            return await VERBS[verb](cache, form, by)
    except TimeoutError:
        raise RefusedError(504, _SLOW.format(_PATIENCE)) from None


def _given(form: Form, name: str, read: Callable[[str], Any]) -> Any:
    """Return a setting: ``...`` where the field is empty, ``None`` for what the cache was made with."""
    if form.text(name) == _AS_MADE:
        return None
    value = read(name)
    return ... if value is None else value
