"""Text of keys and errors that are not ours, whose ``str`` or ``repr`` may raise."""

from __future__ import annotations


def shown(thing: object) -> str:
    """Return the ``repr`` of ``thing``, or its type where that raises."""
    try:
        return repr(thing)
    except Exception:  # noqa: BLE001 - whatever it is, a message must not fail for it
        return f"<{type(thing).__name__} whose repr raises>"


def error_text(error: BaseException | None) -> str:
    """Return the type and the text of ``error``, as ``ValueError: bad row``; or the type alone."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - as above
        return f"{name} whose str raises"
    return f"{name}: {text}" if text else name
