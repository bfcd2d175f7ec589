"""The options that all verbs of ``caches`` have, and the server that they name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import quote

from cyclopts import Parameter

from async_backfill._commands.caches.asking import ask
from async_backfill._common.validation import positive_seconds
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_URL: Final = "http://127.0.0.1:8765"
_LONGEST: Final = 86_400.0


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of each verb."""

    url: Annotated[str, Parameter(env_var="ASYNC_BACKFILL_URL")] = _URL
    """Where the operator's page of the caches is served, with the path if it is mounted at one."""

    token_env: Annotated[str | None, Parameter(show_default=False)] = None
    """The variable of the environment with your token, where people log in with tokens."""

    timeout: float = 35.0
    """Seconds until a server that does not answer is given up."""

    json: Annotated[bool, Parameter(negative=(), show_default=False)] = False
    """Print one JSON object, for programs."""

    program: Annotated[str, Parameter(parse=False)] = "python -m async_backfill"

    async def read(self, *path: str) -> Any:
        """Return what the API says at ``path``."""
        return await self._ask(path, None)

    async def order(self, cache: str, verb: str, fields: Mapping[str, Any]) -> Any:
        """Return what the API answers to an order to a cache; fields that are ``None`` are left out."""
        given = {name: value for name, value in fields.items() if value is not None}
        return await self._ask(("caches", cache, verb), given)

    async def _ask(self, path: tuple[str, ...], fields: Mapping[str, Any] | None) -> Any:
        timeout = positive_seconds("--timeout", self.timeout)
        if timeout > _LONGEST:  # no clock of the system counts for ever
            raise ConfigurationError("--timeout", f"{timeout:g} is more than {_LONGEST:,.0f} (a day)")
        address = "/".join([self.url.rstrip("/"), "api", *(quote(part, safe="") for part in path)])
        return await ask(address, fields, token=self._token(), timeout=timeout)

    def _token(self) -> str | None:
        if self.token_env is None:
            return None
        token = os.environ.get(self.token_env)
        if token is None:
            raise ConfigurationError(
                "--token-env", f"the variable {self.token_env!r:.60} is not in the environment"
            )
        if not (token.isprintable() and _fits_a_header(token)):
            problem = "is empty, or has a line end or another character that no token has"
            raise ConfigurationError("--token-env", f"the variable {self.token_env!r:.60} {problem}")
        return token


def _fits_a_header(text: str) -> bool:
    try:
        return bool(text.encode("latin-1"))
    except UnicodeEncodeError:
        return False


USUAL: Final = Options()
