"""The URL of one key, made from a template; the key never changes the rest of the URL."""

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
    """A URL template with one ``{key}`` in its path or query, the place for the text of a key.

    ``shown`` is the template as errors show it: without user, password and query; ``host`` is its host and
    port. ``authorization`` is the header that carries user and password; the made URLs have neither.

    :param template: an ``http`` or ``https`` URL.
    :raises ConfigurationError: for anything else; the text shows only the host and path of the template.
    """

    def __init__(self, template: str) -> None:
        bare, self.authorization = without_user("url", template)
        bare = ascii_url(bare)
        before, place, after = bare.partition(_PLACE)
        if not place or _PLACE in after:
            raise ConfigurationError("url", f"{shown(bare)} must have exactly one {{key}}, {_ALLOWED}")
        parts = urlsplit(bare)
        self._in_query = "?" in before
        if _PLACE in parts.netloc or "#" in template:
            raise ConfigurationError(
                "url", f"{shown(bare)} must have {{key}} in its path or query, {_ALLOWED}"
            )
        self.shown = shown(bare)
        self.host = parts.netloc
        self._before, self._after = before, after
        self._segment_start = before.rpartition("/")[2]
        self._segment_end = re.split(r"[/?]", after, maxsplit=1)[0]

    def of(self, key: str) -> str:
        """Return the URL of the key whose text is ``key``, percent-encoded (RFC 3986, section 2.1).

        :raises KeyTextError: for a key that no URL can hold: an empty one, one with a dot segment (``.`` or
            ``..``), alone or between slashes, or with a lone surrogate, which is not text.
        """
        # Servers remove dot segments even when they are percent-encoded: see decision 43 in notes.md.
        encoded = quote(utf8(key), safe="")
        if not self._in_query:
            segment = f"{self._segment_start}{key}{self._segment_end}"
            if not segment:
                raise KeyTextError("an empty key would be the URL of another resource")
            if not {".", ".."}.isdisjoint(_SEPARATORS.split(segment)):
                raise KeyTextError("a key with the segment '.' or '..' would be the URL of another resource")
        return f"{self._before}{encoded}{self._after}"


def key_text(key: object) -> str:
    """Return ``key`` as text, if it is text or a whole number.

    :raises KeyTextError: for any other key.
    """
    if isinstance(key, str):
        return key
    if isinstance(key, int) and not isinstance(key, bool):
        return int.__str__(key)
    raise KeyTextError(f"the key is a {type(key).__name__}, neither text nor a whole number: set key_text")


def utf8(key: str) -> bytes:
    """Return ``key`` as UTF-8.

    :raises KeyTextError: when it has a lone surrogate.
    """
    try:
        return key.encode("utf-8")
    except UnicodeEncodeError:
        raise KeyTextError("a key with a lone surrogate is not text and cannot be sent") from None


def ascii_url(url: str) -> str:
    """Return ``url`` with all characters beyond ASCII percent-encoded, and nothing else changed.

    That is wrong for a host name: one beyond ASCII must be given as it is registered (``xn--``).
    """
    return quote(url, safe=_ASCII, errors="surrogatepass")


def without_user(setting: str, url: object) -> tuple[str, str | None]:
    """Return ``url`` without user and password, and the value of the header that carries them.

    The header is that of RFC 7617, "The 'Basic' HTTP Authentication Scheme".

    :raises ConfigurationError: when ``url`` is not an http or https URL; the text shows nothing of it.
    """
    try:
        parts = urlsplit(given := text(setting, url))
        port = parts.port  # raises ValueError for a port that is not a number
    except ValueError:  # its text shows the whole URL, with the password
        raise ConfigurationError(setting, f"is not a URL, {_ALLOWED}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or _UNPRINTABLE.search(given):
        raise ConfigurationError(setting, f"is not an http or https URL without blanks, {_ALLOWED}")
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return given, None
    token = b64encode(unquote_to_bytes(user if ":" in user else f"{user}:")).decode("ascii")
    return urlunsplit(parts._replace(netloc=host)), f"Basic {token}"


def shown(url: str) -> str:
    """Return ``url`` as errors show it: without user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}{'?...' if parts.query else ''}"
