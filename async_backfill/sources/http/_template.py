"""The URL of one key: a template, and a key in one segment of it that never becomes more than that."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Final
from urllib.parse import quote, unquote_to_bytes, urlsplit, urlunsplit

from async_backfill._common.validation import text
from async_backfill.errors import ConfigurationError
from async_backfill.sources.http._answers import KeyTextError

_PLACE: Final = "{key}"
_ALLOWED: Final = "expected one such as https://host/items/{key}"
_UNPRINTABLE: Final = re.compile(r"[\x00-\x20\x7f\\]")
_ASCII: Final = bytes(range(0x21, 0x7F)).decode("ascii")
_SEPARATORS: Final = re.compile(r"[/\\]")


class KeyURL:
    """A URL with one ``{key}`` in its path or its query, in which the text of a key takes that place.

    ``shown`` is the template as errors show it: without user, password and the query. ``authorization``
    is the header that stands for the user and the password; a URL made of it has neither.

    :param template: ``http`` or ``https``.
    :raises ConfigurationError: for anything else; shows nothing of the template but its host and path.
    """

    def __init__(self, template: str) -> None:
        bare, self.authorization = without_user("url", template)
        bare = ascii_url(bare)
        before, place, after = bare.partition(_PLACE)
        if not place or _PLACE in after:
            raise ConfigurationError("url", f"{shown(bare)} has not exactly one {{key}}, {_ALLOWED}")
        parts = urlsplit(bare)
        self._in_query = "?" in before
        if _PLACE in parts.netloc or "#" in template:
            raise ConfigurationError("url", f"{shown(bare)}: {{key}} is in the path or the query, {_ALLOWED}")
        self.shown = shown(bare)
        self._before, self._after = before, after
        self._segment_start = before.rpartition("/")[2]
        self._segment_end = re.split(r"[/?]", after, maxsplit=1)[0]

    def of(self, key: str) -> str:
        """Return the URL of the key whose text is ``key``, percent-encoded (RFC 3986, section 2.1).

        :raises KeyTextError: for a key that no such URL can name. One that is empty, or a dot segment
            (``.`` or ``..``) by itself or between slashes, would name something else: servers remove such
            segments, also from what was percent-encoded. A lone surrogate is no text.
        """
        encoded = quote(utf8(key), safe="")
        if not self._in_query:
            segment = f"{self._segment_start}{key}{self._segment_end}"
            if not segment:
                raise KeyTextError("an empty key would be the URL of something else")
            if not {".", ".."}.isdisjoint(_SEPARATORS.split(segment)):
                raise KeyTextError("a key with the segment '.' or '..' would be the URL of something else")
        return f"{self._before}{encoded}{self._after}"


def utf8(key: str) -> bytes:
    """Return ``key`` as UTF-8.

    :raises KeyTextError: when it has half of a surrogate pair.
    """
    try:
        return key.encode("utf-8")
    except UnicodeEncodeError:
        raise KeyTextError("a key with a lone surrogate is no text that can be sent") from None


def ascii_url(url: str) -> str:
    """Return ``url`` with what is not ASCII percent-encoded, and nothing else changed.

    Of a host name it makes none: one that is not ASCII is given as it is registered (``xn--``).
    """
    return quote(url, safe=_ASCII, errors="surrogatepass")


def without_user(setting: str, url: str) -> tuple[str, str | None]:
    """Return ``url`` without user and password, and the value of the header that stands for them.

    The header is that of RFC 7617, "The 'Basic' HTTP Authentication Scheme".

    :raises ConfigurationError: when it is no URL of http or https; shows no more of it than it must.
    """
    try:
        parts = urlsplit(text(setting, url))
        port = parts.port  # raises what it is too late to raise later
    except ValueError:  # of urlsplit, whose text shows the whole
        raise ConfigurationError(setting, f"no URL, {_ALLOWED}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or _UNPRINTABLE.search(url):
        raise ConfigurationError(setting, f"no URL of http or https without blanks, {_ALLOWED}")
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, None
    token = b64encode(unquote_to_bytes(user if ":" in user else f"{user}:")).decode("ascii")
    return urlunsplit(parts._replace(netloc=host)), f"Basic {token}"


def shown(url: str) -> str:
    """Return ``url`` as errors show it: without user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}{'?...' if parts.query else ''}"
