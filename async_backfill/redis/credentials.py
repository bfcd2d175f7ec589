"""Credentials that change while a process runs, such as tokens of a cloud's identity service."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from async_backfill._common.validation import convert, positive_seconds_or_none, text
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from async_backfill.contracts import Seconds

__all__ = ["Credentials"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A name and a password, or a token, with which a new socket is logged in.

    :param user: the name of the user in the server's ACL.
    :param password: his password, or a token; no ``repr`` and no log shows it.
    :param lasts: the seconds for which the server lets a socket stay that was logged in with it. After four
        fifths of them no command is begun on the socket, so that none is cut off. ``None`` is for ever.
    """

    user: str
    password: str = field(repr=False)
    lasts: Seconds | None = None

    def __post_init__(self) -> None:
        convert(self, user=text, lasts=positive_seconds_or_none)
        if not isinstance(self.password, str):  # and is not shown
            raise ConfigurationError("password", f"must be text, not a {type(self.password).__name__}")
