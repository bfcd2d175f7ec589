"""Types of the Redis protocol: commands, their arguments, and replies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

Argument: TypeAlias = bytes | str | int | float
"""An argument of a command: ``float`` is sent as its shortest text, ``str`` as UTF-8."""

Command: TypeAlias = Sequence[Argument]
"""The name of a command and its arguments."""

Reply: TypeAlias = Any
"""A reply: ``bytes``, ``int``, ``None``, a list of replies, or a `RedisReplyError`."""
