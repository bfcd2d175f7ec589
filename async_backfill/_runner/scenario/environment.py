"""Replace ``${NAME}`` in a URL by an environment variable, so that a scenario holds no secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_VARIABLE: Final = re.compile(r"\$\{(?P<name>[^}]*)\}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def expand_url(url: str, environment: Mapping[str, str]) -> str:
    """Return ``url`` with each ``${NAME}`` replaced by that variable, percent-encoded.

    The encoding allows ``@`` and ``/`` in a password. There is no other syntax: no defaults, no nesting.

    :raises ConfigurationError: when a variable is not set or has an invalid name, or the URL itself seems to
        hold a password; the text never holds a value.
    """
    for match in _VARIABLE.finditer(url):
        name = match["name"]
        if _NAME.fullmatch(name) is None:
            raise ConfigurationError("url", "${...} must hold the name of an environment variable")
        if name not in environment:
            raise ConfigurationError("url", f"the environment variable {name} is not set")
    user_info = url.partition("://")[2].partition("/")[0].rpartition("@")[0]
    password = user_info.partition(":")[2]
    if password and _VARIABLE.fullmatch(password) is None:
        problem = "holds a password: write ${NAME} in its place, and set that environment variable"
        raise ConfigurationError("url", problem)
    return _VARIABLE.sub(lambda match: quote(environment[match["name"]], safe=""), url)
