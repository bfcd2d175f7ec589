"""Errors of Redis connections and servers; no text shows a password."""

from __future__ import annotations

from async_backfill.errors import AsyncBackfillError

__all__ = ["RedisError", "RedisReplyError", "RedisUnavailableError"]


class RedisError(AsyncBackfillError):
    """The base of all errors of a `RedisConnection`."""


class RedisUnavailableError(RedisError, ConnectionError):
    """No server could be reached, or the connection was lost: the command may have run or not."""


class RedisReplyError(RedisError):
    """The server refused a command; ``code`` is the first word of its reply, such as ``"OOM"``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code} {self.message}"
