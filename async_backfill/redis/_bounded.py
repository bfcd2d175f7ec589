"""Stop reading an answer of the server when one of its texts is announced to be too long.

A server says how long a text is before it sends it. The parser would hold all of it, however long; so, once
an answer is longer than a single text may be, the lengths in it are looked at as they come.
"""

from __future__ import annotations

from typing import Final

from async_backfill.redis.errors import RedisError

_END: Final = b"\r\n"
_TEXT: Final = 0x24  # "$", which begins the length of a text


class TextTooLongError(RedisError):
    """The server's answer has a text that is longer than asked for."""

    def __str__(self) -> str:
        return "a text was announced that is longer than it may be"


class LengthWatch:
    """Looks for a text of more than ``most`` bytes in an answer of the protocol RESP 2.

    An answer that is no longer than that in all costs one addition for each piece of it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._unseen: list[bytes] = []
        self._left = b""
        self._skip = 0  # bytes to the next header: what is left of a text

    def finds_too_long(self, piece: bytes) -> bool:
        """Return whether the answer, up to and with ``piece``, announces a text that is too long."""
        self._size += len(piece)
        self._unseen.append(piece)
        if self._size <= self._most:
            return False
        data = self._left + b"".join(self._unseen)
        self._unseen = []
        at, length = self._skip, len(data)
        while at < length:
            end = data.find(_END, at)
            if end < 0:
                break
            announced = data[at + 1 : end]
            if data[at] == _TEXT and announced.isdigit():  # else it is nothing, or no text, or garbled
                if int(announced) > self._most:
                    return True
                end += int(announced) + len(_END)
            at = end + len(_END)
        self._left, self._skip = data[at:], max(0, at - length)
        return False
