"""The headers of a source: the same for each request, or made for each by a function."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import isawaitable
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from async_backfill.errors import ConfigurationError
from async_backfill.sources.http._answers import HTTPSourceError
from async_backfill.sources.http._request_parts import check_headers, lowered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

COMMON: Final = MappingProxyType(
    {"accept": "application/json", "accept-encoding": "gzip", "user-agent": "async-backfill"}
)

Made: TypeAlias = "Mapping[str, str] | Awaitable[Mapping[str, str]]"


class OwnHeaders:
    """The headers that only the service of the source gets.

    :param headers: the headers, or a function that returns or awaits those of one request.
    :param authorization: the header that carries the user and password of the URL, if there are any.
    :raises ConfigurationError: when they cannot be sent; the text never shows a value.
    """

    def __init__(
        self, headers: Mapping[str, str] | Callable[[], Made] | None, authorization: str | None
    ) -> None:
        self._authorization = authorization
        self._make: Callable[[], Made] | None = None
        if headers is not None and not isinstance(headers, Mapping):
            if not callable(headers):
                raise ConfigurationError("headers", "must be a mapping, or a function that returns one")
            self._make, headers = headers, None
        self._fixed = self._checked(headers or {})

    async def of_request(self, shown: str) -> Mapping[str, str]:
        """Return all headers of the next request.

        :param shown: the URL as errors show it.
        :raises HTTPSourceError: when the function fails; its error may hold a secret, so only its type shows.
        """
        if self._make is None:
            return self._fixed
        try:
            made = self._make()
            headers: object = await made if isawaitable(made) else made
        except Exception as error:  # noqa: BLE001 - the user's code
            problem = f"the function given as headers raised {type(error).__name__}"
        else:
            try:
                return self._checked(headers)
            except ConfigurationError as refused:
                problem = str(refused)
        # Raised outside of except: what the function raised is best not chained, as it may hold a secret.
        raise HTTPSourceError(f"no request to {shown} could be made: {problem}")

    def _checked(self, headers: object) -> Mapping[str, str]:
        if not isinstance(headers, Mapping):
            raise ConfigurationError("headers", f"must be a mapping, not a {type(headers).__name__}")
        check_headers(headers)
        own = lowered(headers)
        if self._authorization is not None:
            if "authorization" in own:
                raise ConfigurationError(
                    "headers", "must not have Authorization when the url has a user: give only one of them"
                )
            own["authorization"] = self._authorization
        return COMMON | own
