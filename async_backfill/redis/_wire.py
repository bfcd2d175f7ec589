"""The words of the protocol: what a command is made of, and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

Argument: TypeAlias = bytes | str | int | float
"""A ``float`` travels as its shortest text, and ``str`` as UTF-8."""

Command: TypeAlias = Sequence[Argument]
"""The name of a command and its arguments."""

Reply: TypeAlias = Any
"""``bytes``, ``int``, ``None``, a list of replies, or an `async_backfill.redis.errors.RedisReplyError`."""
