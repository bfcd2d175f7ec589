"""Replace ``${NAME}`` in a URL by an environment variable, so that a scenario holds no secret."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote

from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_VARIABLE: Final = re.compile(r"\$\{(?P<name>[^}]*)\}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET: Final = re.compile(
    r"(?i)pass(word|wd|phrase)?$|pwd$|secret|token$|api[-_]?key$|access[-_]?key|signature$"
)
_NO_SECRET: Final = re.compile(r"(\$\{[^}]*\}|\{key\})+")
_CUT_OFF: Final = re.compile(r"\.\.\.|…|$")
_SHORT: Final = 8
_LEAST_CUT: Final = 4
_MOST_CAUSES: Final = 100


class Secrets:
    """The values that were taken from the environment: what is shown has ``${NAME}`` in their place."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def take(self, name: str, value: str) -> str:
        """Remember ``value`` of the variable ``name``, and return it percent-encoded."""
        if value:
            self._known[value] = f"${{{name}}}"
        return quote(value, safe="")

    def hidden(self, text: str) -> str:
        """Return ``text`` as it may be shown: with the names of variables in place of their values.

        A value is found plain, percent-encoded in part or in whole, escaped as in JSON or Python, in any case
        or cut off by a message. One of fewer than 8 letters is found only as a word of its own.
        """
        if not self._known:
            return text
        values = sorted(self._known, key=len, reverse=True)
        anywhere = re.compile("|".join(f"({_anywhere(value)})" for value in values), re.IGNORECASE)
        text = anywhere.sub(lambda found: self._known[values[(found.lastindex or 1) - 1]], text)
        for value in values:
            text = _without_its_start(text, value, self._known[value])
        return text

    def hide_in(self, error: BaseException) -> None:
        """Change the texts of ``error``, and of the errors that led to it, into those that may be shown."""
        if not self._known:
            return
        seen: set[int] = set()
        waiting: list[BaseException | None] = [error]
        while waiting and len(seen) < _MOST_CAUSES:
            each = waiting.pop()
            if each is None or id(each) in seen:
                continue
            seen.add(id(each))
            each.args = tuple(self.hidden(said) if isinstance(said, str) else said for said in each.args)
            if isinstance(each, ConfigurationError):
                each.problem = self.hidden(each.problem)
            waiting += [each.__cause__, each.__context__]


def expand_url(url: str, environment: Mapping[str, str], secrets: Secrets) -> str:
    """Return ``url`` with each ``${NAME}`` replaced by that variable, percent-encoded.

    The encoding allows ``@`` and ``/`` in a password. There is no other syntax: no defaults, no nesting.

    :param secrets: remembers the values.
    :raises ConfigurationError: when a variable is not set or has an invalid name, or the URL itself seems to
        hold a password; the text never holds a value.
    """
    check_url(url)
    return with_variables(url, environment, secrets)


def with_variables(
    url: str, environment: Mapping[str, str], secrets: Secrets | None = None, *, setting: str = "url"
) -> str:
    """Return ``url`` as `expand_url` does, although it may hold a password."""
    _check_names(url, setting)
    for match in _VARIABLE.finditer(url):
        value_of(match["name"], environment, setting=setting)
    taken = secrets or Secrets()
    return _VARIABLE.sub(lambda match: taken.take(match["name"], environment[match["name"]]), url)


def check_url(url: str) -> None:
    """Raise `ConfigurationError` when ``url`` itself seems to hold a password, or no name in ``${...}``."""
    _check_names(url, "url")
    if _holds_a_password(url):
        problem = "holds a password: write ${NAME} in its place, and set that environment variable"
        raise ConfigurationError("url", problem)


def name_of_secret(setting: str, text: str) -> str:
    """Return NAME of ``text``, which must be ``${NAME}``, or raise `ConfigurationError`."""
    found = _VARIABLE.fullmatch(text)
    if found is None or _NAME.fullmatch(found["name"]) is None:
        problem = "is a secret: write ${NAME} in its place, and set that environment variable"
        raise ConfigurationError(setting, problem)
    return found["name"]


def value_of(name: str, environment: Mapping[str, str], *, setting: str = "url") -> str:
    """Return the variable ``name`` of ``environment``, or raise `ConfigurationError`."""
    if name not in environment:
        raise ConfigurationError(setting, f"the environment variable {name} is not set")
    return environment[name]


def _check_names(url: str, setting: str) -> None:
    for match in _VARIABLE.finditer(url):
        if _NAME.fullmatch(match["name"]) is None:
            raise ConfigurationError(setting, "${...} must hold the name of an environment variable")


def _holds_a_password(url: str) -> bool:
    scheme, _, rest = url.partition("://")
    before, _, query = rest.partition("?")
    if scheme.lower() in {"http", "https"}:  # others take a slash in a password for a part of it
        before = before.partition("/")[0]
    password = before.rpartition("@")[0].partition(":")[2]
    if password and _VARIABLE.fullmatch(password) is None:
        return True
    settings = parse_qsl(query.partition("#")[0])
    return any(_SECRET.search(name) and not _NO_SECRET.fullmatch(value) for name, value in settings)


def _anywhere(value: str) -> str:
    text = "".join(_as_written(letter) for letter in value)
    if len(value) < _SHORT:  # such as a port: it is not hidden within another number or word
        begin = r"(?<![^\W_])" if value[0].isalnum() else ""
        end = r"(?![^\W_])" if value[-1].isalnum() else ""
        text = f"{begin}{text}{end}"
    return text


def _as_written(letter: str) -> str:
    """Return a pattern of all that may stand for ``letter`` in a URL or a message."""
    encoded = "".join(f"%{byte:02x}" for byte in letter.encode("utf-8", "surrogatepass"))
    forms = {letter, encoded, repr(letter)[1:-1], json.dumps(letter)[1:-1]}
    if letter in "'\"":  # with both in one text, Python escapes one
        forms.add(f"\\{letter}")
    if letter == " ":
        forms.add("+")
    if letter.isascii() and letter.isalnum():
        return f"(?:{letter}|{encoded})"
    return f"(?:{'|'.join(map(re.escape, sorted(forms, key=len, reverse=True)))})"


def _without_its_start(text: str, value: str, name: str) -> str:
    """Return ``text`` without the begin of ``value`` where it was cut off: at its end, or before dots."""
    forms = {value.lower(), quote(value, safe="").lower()}
    pieces, rest = [], 0
    for cut in _CUT_OFF.finditer(text):
        piece = text[rest : cut.start()]
        length = max(_shared(piece.lower(), form) for form in forms)
        pieces += [f"{piece[:-length]}{name}" if length >= _LEAST_CUT else piece, cut[0]]
        rest = cut.end()
    return "".join(pieces)


def _shared(text: str, form: str) -> int:
    """Return how many of the first letters of ``form`` end ``text``."""
    most = min(len(text), len(form) - 1)
    return next((length for length in range(most, 0, -1) if text.endswith(form[:length])), 0)
