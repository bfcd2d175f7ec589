"""What a state of jobs is named by: the path of a file, or the URL of PostgreSQL."""

from __future__ import annotations

import re
from typing import Final

STATE_VARIABLE: Final = "ASYNC_BACKFILL_STATE"
"""The variable of the environment that names the usual state; a password in it is in no list of processes."""

_SERVER: Final = re.compile(r"postgres(ql)?(\+\w*)?://", re.IGNORECASE)
_PASSWORD: Final = re.compile(r"(?P<front>://[^:/?#]*:)(?P<password>.*)@", re.DOTALL)
_SETTING: Final = re.compile(r"(?P<front>[?&](?:ssl)?password=)(?P<password>[^&]*)", re.IGNORECASE)
_VARIABLE: Final = re.compile(r"\$\{\w+\}")


def is_of_server(name: str) -> bool:
    """Return whether ``name`` is the URL of a server, and not the path of a file."""
    return _SERVER.match(name) is not None


def shown(name: str) -> str:
    """Return ``name`` as it may be shown: without a password, unless that is ``${NAME}``."""
    if not is_of_server(name):
        return name
    name = _PASSWORD.sub(lambda found: f"{found['front']}{_hidden(found['password'])}@", name)
    return _SETTING.sub(lambda found: found["front"] + _hidden(found["password"]), name)


def _hidden(password: str) -> str:
    return password if _VARIABLE.fullmatch(password) else "***"
