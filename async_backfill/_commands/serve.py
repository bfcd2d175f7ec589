"""The command ``serve``: the operator's page of durable jobs, in a browser."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Final

import anyio
from cyclopts import Parameter

from async_backfill._commands.integers import integer
from async_backfill._common.extras import needed_by
from async_backfill._jobs._state.naming import STATE_VARIABLE, shown
from async_backfill._runner.display import ProgressBar
from async_backfill._runner.wording import one_line
from async_backfill.errors import AsyncBackfillError, ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractContextManager

    from async_backfill.admin import Access
    from async_backfill.jobs import Jobs

_Optional: Final = Parameter(show_default=False)
_Several: Final = Parameter(show_default=False, negative=())
_Whole: Final = Parameter(converter=integer)
_MOST_PORTS: Final = 65_535
_OPTIONS: Final = MappingProxyType(
    {"change_tokens": "token_env", "read_tokens": "read_token_env", "trusted_proxies": "trusted_proxy"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeCommand:
    """A server of the operator's page; implements `Command`."""

    state: str
    host: str
    port: int
    access: Access
    job_folder: str | None
    quiet: bool = False
    written: str = field(default="", init=False)

    def progress_bar(self) -> ProgressBar:
        """Return a bar that shows nothing: it has no end."""
        return ProgressBar(None)

    def run(self, _: Callable[[int, int], None], /) -> None:
        """Serve until Ctrl-C or SIGTERM."""
        with closing(self._listen()) as listener:
            try:
                anyio.run(partial(self._serve, listener))
            except KeyboardInterrupt:  # the usual end
                return

    def tell(self, _: None, /) -> None:
        """Print that it has ended."""
        print("ended")

    async def _serve(self, listener: socket.socket) -> None:
        with _needed():
            from async_backfill.admin import Application  # noqa: PLC0415 - the extra is optional
            from async_backfill.admin._server import serve_alone  # noqa: PLC0415 - as above
        from async_backfill.jobs import Jobs  # noqa: PLC0415 - it takes a third of a second to import

        async with Jobs(self.state) as jobs:
            named = shown(self.state)
            page = Application(
                jobs=jobs,
                access=self.access,
                job_folder=self.job_folder,
                state=self.state,
                metrics=_exposition_of(jobs),
            )
            if not self.quiet and sys.stdout is not None:
                print(one_line(f"{named}: {_url(listener)} (Ctrl-C ends it)"), flush=True)
            await serve_alone(page, listener)

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            return socket.create_server((self.host, self.port), family=family)
        except OSError as error:
            raise AsyncBackfillError(f"{self.host} port {self.port}: {error.strerror or error}") from error


def serve(  # noqa: PLR0913 - each is an option
    *,
    state: Annotated[str, Parameter(env_var=STATE_VARIABLE)] = "jobs.sqlite",
    host: str = "127.0.0.1",
    port: Annotated[int, _Whole] = 8765,
    job_folder: Annotated[str | None, _Optional] = None,
    token_env: Annotated[list[str] | None, _Several] = None,
    read_token_env: Annotated[list[str] | None, _Several] = None,
    user_header: Annotated[str | None, _Optional] = None,
    trusted_proxy: Annotated[list[str] | None, _Several] = None,
    may_change: Annotated[list[str] | None, _Several] = None,
    allow_host: Annotated[list[str] | None, _Several] = None,
    quiet: Annotated[bool, Parameter(negative=())] = False,
) -> ServeCommand:
    r"""Serve the operator's page: jobs in a browser, for this machine or for those you name.

    Without tokens and without a proxy it listens on this machine only, and
    whoever can reach it there may do everything, in the name of the user who
    started it. Examples:

        python -m async_backfill serve --job-folder jobs

        ADA=$(openssl rand -hex 16) python -m async_backfill serve \
            --host 0.0.0.0 --token-env ada=ADA --allow-host ops.example.com

    Parameters
    ----------
    state:
        The state of the jobs, as of `jobs`; it is made if it is not there.
    host:
        The address to listen on; another one than of this machine needs --token-env or --user-header.
    port:
        The port; 0 takes a free one, which is printed.
    job_folder:
        A folder with job files that may be planned in the browser; no other file can be.
    token_env:
        WHO=NAME: a person who may change something, and the variable of the environment with their token,
        of at least 16 characters. NAME alone is a person of that name.
    read_token_env:
        The same, for those who may only look.
    user_header:
        The header in which your proxy says who it has logged in.
    trusted_proxy:
        The address or network of that proxy; what comes from elsewhere is refused.
    may_change:
        With --user-header: a person who may change something; * is everybody.
    allow_host:
        A name under which the page is reached, such as ops.example.com, beside the address itself.
    quiet:
        Print errors only.
    """
    if not 0 <= port <= _MOST_PORTS:
        raise ConfigurationError("port", f"must be 0 to {_MOST_PORTS}, not {port}")
    with _needed():
        from async_backfill.admin._access import LOOPBACK_HOSTS, Access, is_loopback  # noqa: PLC0415 - an extra
    try:
        access = Access(
            change_tokens=_tokens("token_env", token_env or ()),
            read_tokens=_tokens("read_token_env", read_token_env or ()),
            user_header=user_header,
            trusted_proxies=trusted_proxy or (),
            may_change=may_change or (),
            hosts=(*LOOPBACK_HOSTS, _in_a_url(host), *(allow_host or ())),
        )
    except ConfigurationError as error:
        option = _OPTIONS.get(error.setting, error.setting)
        raise ConfigurationError(option, error.problem) from error
    is_open = not (access.has_tokens or access.user_header)
    if is_open and not (host == "localhost" or is_loopback(host)):
        raise ConfigurationError("host", f"{host} is reached by others: give --token-env, or --user-header")
    return ServeCommand(state=state, host=host, port=port, access=access, job_folder=job_folder, quiet=quiet)


def _exposition_of(jobs: Jobs) -> Callable[[], Awaitable[bytes]] | None:
    """Return what Prometheus is told of ``jobs``, or ``None`` without its extra."""
    try:
        from async_backfill.prometheus import exposition_of  # noqa: PLC0415 - the extra is optional
    except MissingExtraError:
        return None
    return exposition_of(jobs)


def _tokens(setting: str, given: Sequence[str]) -> dict[str, str]:
    tokens: dict[str, str] = {}
    for each in given:
        who, _, name = each.rpartition("=")
        token = os.environ.get(name)
        if token is None:
            raise ConfigurationError(setting, f"the variable {name!r:.60} is not in the environment")
        if (who or name) in tokens:
            raise ConfigurationError(setting, f"{who or name!r:.60} is given twice")
        tokens[who or name] = token
    return tokens


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{_in_a_url(host)}:{port}/"


def _needed() -> AbstractContextManager[None]:
    return needed_by("serve", "admin", "starlette", "jinja2", "markupsafe", "uvicorn")


def _in_a_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
